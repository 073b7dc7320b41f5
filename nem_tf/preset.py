"""Trained models in folders: small, readable, loaded without a network.

model.json    the model's and the loss's configuration, and how it was trained
weights.npz   the weights by name, float16
README.md     the model card: data, settings, seeds, scores, limits

Some ship inside the package, in `nem_tf/presets`.
"""

import json
import pathlib
import zipfile

import keras
import numpy as np

from nem_tf.losses import NEMLoss

SHIPPED = pathlib.Path(__file__).parent / "presets"
MODEL, WEIGHTS, CARD = "model.json", "weights.npz", "README.md"
LARGEST = float(np.finfo("float16").max)


def names():
    """The presets that ship inside the package, sorted."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MODEL}"))


def find(preset):
    """The folder of a preset.

    Args:
        preset: a name of `names`, or a folder that `save` wrote.

    Raises:
        ValueError: if it is neither.
    """
    for folder in (SHIPPED / str(preset), pathlib.Path(preset)):
        if (folder / MODEL).is_file():
            return folder
    raise ValueError(
        f"preset: expected {', '.join(names())} or a folder that save_to_preset wrote, "
        f"received {str(preset)!r}"
    )


def describe(preset):
    """How the model was trained: the `training` that `save` was given.

    Raises:
        ValueError: if there is no such preset, or its model.json cannot be read.
    """
    return _read(find(preset))["training"]


def load(preset):
    """The compiled `NeuralEM` of a preset; see `NeuralEM.from_preset`."""
    folder = find(preset)
    content = _read(folder)
    path = folder / WEIGHTS
    try:
        model = keras.saving.deserialize_keras_object(content["model"])
        loss = keras.saving.deserialize_keras_object(content["loss"])
        with np.load(path) as arrays:
            _assign(model, [arrays[name] for name in sorted(arrays.files)], path)
    except (OSError, zipfile.BadZipFile, TypeError, KeyError) as error:
        raise _unreadable(folder, error) from error
    model.compile("adam", loss=loss)
    return model


def save(model, folder, card=None, training=None):
    """Write a preset; see `NeuralEM.save_to_preset`."""
    if not isinstance(getattr(model, "loss", None), NEMLoss):
        raise ValueError(
            "save_to_preset: expected a model compiled with a NEMLoss, received "
            f"{getattr(model, 'loss', None)!r}; call compile first"
        )
    # Names change with the layers made before; the order of a model's weights does not.
    values = {
        f"{place:03d}/{variable.path}": keras.ops.convert_to_numpy(variable)
        for place, variable in enumerate(model.weights)
    }
    for name, value in values.items():
        if not np.all(np.abs(value) <= LARGEST):  # NaN compares false
            raise ValueError(
                f"save_to_preset: expected weights of at most {LARGEST:.0f} in size, "
                f"received {np.abs(value).max()} in {name}; keep a .keras file instead"
            )
    folder = pathlib.Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MODEL).is_file():
        raise ValueError(
            f"save_to_preset: {folder} holds something else; choose a new folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.astype("float16") for name, value in values.items()}
    np.savez_compressed(folder / WEIGHTS, **halves)
    (folder / CARD).write_text(card or _bare_card(model, folder.name), encoding="utf-8")
    content = {
        "model": keras.saving.serialize_keras_object(model),
        "loss": keras.saving.serialize_keras_object(model.loss),
        "training": training or {},
    }
    for part in ("compile_config", "build_config"):  # what `load` does itself
        content["model"].pop(part, None)
    text = json.dumps(content, indent=1) + "\n"
    (folder / MODEL).write_text(text, encoding="utf-8")


def _assign(model, weights, path):
    shapes = [tuple(variable.shape) for variable in model.weights]
    if [value.shape for value in weights] != shapes:
        raise ValueError(
            f"{path}: expected the {len(shapes)} weights that {MODEL} describes, "
            f"received {len(weights)} of other shapes; restore the folder"
        )
    for variable, value in zip(model.weights, weights, strict=True):
        if not np.isfinite(value).all():
            raise ValueError(
                f"{path}: expected finite numbers, received others in {variable.path}; "
                "restore the folder"
            )
        variable.assign(value.astype("float32"))


def _read(folder):
    try:
        content = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        missing = {"model", "loss", "training"} - content.keys()
        if missing:
            raise KeyError(f"{', '.join(sorted(missing))} missing")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _unreadable(folder, error) from error
    return content


def _unreadable(folder, error):
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ValueError(
        f"{folder}: the preset cannot be read ({reason}); restore the folder"
    )


def _bare_card(model, name):
    return (
        f"# {name}\n\n{model.count_params()} weights, K = {model.cell.components}. "
        "Nothing else was written down about it.\n"
    )
