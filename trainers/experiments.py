"""The experiments by name, imported when they are asked for."""

import importlib

CLASSES = {
    "static_shapes": "StaticShapes",
    "flying_shapes": "FlyingShapes",
    "flying_mnist": "FlyingMNIST",
    "own_clips": "OwnClips",
}


def find(name):
    """The subclass of `Experiment` called `name`.

    Raises:
        ValueError: if there is none.
    """
    if name not in CLASSES:
        raise ValueError(
            f"experiment: expected one of {', '.join(CLASSES)}, received {name!r}"
        )
    return getattr(importlib.import_module(f"trainers.{name}"), CLASSES[name])
