"""What a trainer left behind: the trained model and what is known about it."""

import json
import pathlib
from typing import Any, NamedTuple

MODEL = "model.keras"


class Run(NamedTuple):
    """A trained model with its history."""

    nem: Any  # nem_tf.NeuralEM
    name: str  # of the experiment, or of the file
    settings: dict  # of the training, empty if unknown
    data: str  # where the training clips came from
    commit: str | None
    results: dict  # results.json, empty if unknown

    @property
    def steps(self):
        return self.settings.get("steps", 20)


def is_run(path):
    """Whether `path` is a run folder or a .keras file."""
    path = pathlib.Path(path)
    return path.suffix == ".keras" or (path / MODEL).is_file()


def load(path) -> Run:
    """Read a run folder, or a .keras file alone.

    Raises:
        ValueError: if there is no model, or it cannot be read.
    """
    import keras

    from nem_tf import NeuralEM

    path = pathlib.Path(path)
    file = path if path.suffix == ".keras" else path / MODEL
    if not file.is_file():
        raise ValueError(
            f"{path}: no {MODEL} in it; name the folder that a trainer wrote, such as "
            "runs/flying_shapes/DATE-TIME-seed0"
        )
    try:
        nem = keras.saving.load_model(file, compile=False)
    except Exception as error:  # zip, HDF5 and Keras each have their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{file}: cannot be read ({reason}); train again or take another copy"
        ) from None
    if not isinstance(nem, NeuralEM):
        raise ValueError(f"{file}: expected a NeuralEM, received {type(nem).__name__}")
    folder = file.parent
    config, results = _read(folder / "config.json"), _read(folder / "results.json")
    return Run(
        nem,
        config.get("experiment") or _name_of(file),
        config.get("settings", {}),
        config.get("data", "unknown"),
        config.get("commit"),
        results,
    )


def _name_of(file):
    """What to call a model that came without its config.json."""
    return file.stem if file.name != MODEL else file.resolve().parent.name


def _read(path):
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except json.JSONDecodeError:
        raise ValueError(f"{path}: is no JSON; restore or remove it") from None
