"""What a trainer left behind, or a preset: the model and what is known of it."""

import json
import pathlib
import re
from typing import Any, NamedTuple

from trainers.training.errors import reason

MODEL = "model.keras"
PRESETS = pathlib.Path(__file__).parents[2] / "nem_tf" / "presets"


class Trained(NamedTuple):
    """A trained model with its history."""

    nem: Any  # nem_tf.NeuralEM
    name: str  # of the experiment, or of the file
    settings: dict  # of the training, empty if unknown
    data: str  # where the training clips came from
    commit: str | None
    results: dict  # results.json, empty if unknown
    folder: pathlib.Path | None  # the run's, where it may be written into

    @property
    def steps(self):
        return self.settings.get("steps", 20)


def load(source, compiled=True) -> Trained:
    """Read a run folder, a .keras file alone, or a preset.

    Args:
        source: a path, or the name of a preset that ships with nem_tf.
        compiled: whether a .keras file's loss is wanted; it must then be of nem_tf.

    Raises:
        ValueError: if there is no model, it cannot be read, or a weight is NaN.
    """
    from nem_tf import preset

    path = pathlib.Path(source)
    if path.suffix == ".keras" or (path / MODEL).is_file():
        return _of_run(path, compiled)
    if is_preset(source):
        about = preset.describe(source)
        return Trained(
            preset.load(source),
            about.get("experiment", preset.find(source).name),
            about.get("settings", {}),
            about.get("data", "unknown"),
            about.get("commit"),
            about.get("results", {}),
            None,
        )
    raise ValueError(
        f"{source}: neither a run folder with a {MODEL} nor a preset "
        f"({', '.join(preset.names())}); check the path"
    )


def is_trained(source):
    """Whether `load` would find something under this name."""
    path = pathlib.Path(source)
    return path.suffix == ".keras" or (path / MODEL).is_file() or is_preset(source)


def experiment_of(source):
    """The experiment that a model says it was trained on; None if it does not.

    Without TensorFlow: the model itself is not read, and nothing is refused.
    """
    path = pathlib.Path(source)
    folder = path.parent if path.suffix == ".keras" else path
    for file, part in (
        (folder / "config.json", ()),
        (folder / "model.json", ("training",)),
        (PRESETS / str(source) / "model.json", ("training",)),
    ):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            for key in part:
                content = content[key]
            return content["experiment"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def is_preset(source):
    """Whether `source` is the name or the folder of a preset."""
    from nem_tf import preset

    try:
        preset.find(source)
    except ValueError:
        return False
    return True


def short_name(source):
    """A name for files about the model: the preset's, or the path without slashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(source)).strip("-.") or "model"


def _of_run(path, compiled):
    import keras

    from nem_tf import NeuralEM

    file = path if path.suffix == ".keras" else path / MODEL
    if not file.is_file():
        raise ValueError(f"{path}: no such file; check the path")
    try:
        nem = keras.saving.load_model(file, compile=compiled)
    except Exception as error:  # zip, HDF5 and Keras each have their own
        raise ValueError(
            f"{file}: cannot be read ({reason(error)}); train again or take another "
            "copy"
        ) from None
    if not isinstance(nem, NeuralEM):
        raise ValueError(f"{file}: expected a NeuralEM, received {type(nem).__name__}")
    try:
        nem.check_weights()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    folder = file.parent
    config, results = _read(folder / "config.json"), _read(folder / "results.json")
    return Trained(
        nem,
        config.get("experiment") or _name_of(file),
        config.get("settings", {}),
        config.get("data", "unknown"),
        config.get("commit"),
        results,
        folder if config and file.name == MODEL else None,
    )


def _name_of(file):
    """What to call a model that came without its config.json."""
    return file.stem if file.name != MODEL else file.resolve().parent.name


def _read(path):
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: is no JSON object; restore or remove it")
    return found
