"""Trained models in folders: small, readable, loaded without a network.

model.json    the model's and the loss's configuration, and how it was trained
weights.npz   the weights by name, float16
README.md     the model card: data, settings, seeds, scores, limits

Some ship inside the package, in `nem_tf/presets`.
"""

import json
import pathlib
import tempfile

import keras
import numpy as np

from nem_tf.losses import NEMLoss

__all__ = [
    "describe",
    "find",
    "load",
    "names",
    "save",
]

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
    name = str(preset)
    folder = SHIPPED / name if name in names() else pathlib.Path(preset).expanduser()
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
    try:
        model = keras.saving.deserialize_keras_object(content["model"])
        loss = keras.saving.deserialize_keras_object(content["loss"])
        with open(folder / WEIGHTS, "rb") as file, np.load(file) as arrays:
            weights = [arrays[name] for name in sorted(arrays.files)]
    except Exception as error:  # JSON, zip, zlib, NumPy and Keras each have their own
        raise _unreadable(folder, error) from error
    _assign(model, weights, folder / WEIGHTS)
    model.compile("adam", loss=loss)
    return model


def save(model, folder, card=None, training=None):
    """Write a preset; see `NeuralEM.save_to_preset`."""
    if not isinstance(getattr(model, "loss", None), NEMLoss):
        raise ValueError(
            "save_to_preset: expected a model with a NEMLoss, received "
            f"{getattr(model, 'loss', None)!r}; call compile first"
        )
    folder = pathlib.Path(folder).expanduser()
    if str(folder) in names():
        raise ValueError(
            f"save_to_preset: expected a name of its own, received {folder}, which "
            "ships with nem_tf and would be loaded instead; choose another name"
        )
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MODEL).is_file():
        raise ValueError(
            f"save_to_preset: {folder} holds something else; choose a new folder"
        )
    weights = _weights(model)
    text = _text(model, training)
    card = card or _bare_card(model, folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    # All are written before one is replaced: a full disk leaves what was there.
    with tempfile.TemporaryDirectory(prefix=".part", dir=folder) as beside:
        beside = pathlib.Path(beside)
        np.savez_compressed(beside / WEIGHTS, **weights)
        (beside / MODEL).write_text(text, encoding="utf-8")
        (beside / CARD).write_text(card, encoding="utf-8")
        for name in (WEIGHTS, MODEL, CARD):
            (beside / name).replace(folder / name)


def _weights(model):
    """The model's weights in their order, float16, as a dict from names.

    Names change with the layers that were made before; the order does not.
    """
    weights = {}
    for place, variable in enumerate(model.weights):
        value = keras.ops.convert_to_numpy(variable)
        if not np.all(np.abs(value) <= LARGEST):  # NaN compares false
            raise ValueError(
                f"save_to_preset: expected weights of at most {LARGEST:.0f} in size, "
                f"received {np.abs(value).max()} in {variable.path}; keep a .keras "
                "file instead"
            )
        weights[f"{place:03d}/{variable.path}"] = value.astype("float16")
    return weights


def _text(model, training):
    """What model.json holds."""
    content = {
        "model": keras.saving.serialize_keras_object(model),
        "loss": keras.saving.serialize_keras_object(model.loss),
        "training": training or {},
    }
    for part in ("compile_config", "build_config"):  # what `load` does itself
        content["model"].pop(part, None)
    try:
        return json.dumps(content, indent=1) + "\n"
    except TypeError as error:
        raise ValueError(
            f"training: expected what JSON can hold, received {error}; use numbers and "
            "strings"
        ) from None


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
        for part in ("model", "loss", "training"):
            if not isinstance(content[part], dict):
                raise TypeError(f"{part} is no object")
    except (OSError, ValueError, KeyError, TypeError) as error:
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
