"""How the clips that a model is scored on differ from those of its training."""

import json

from trainers.training.option import as_text
from trainers.training.parts import of_made_clips

LETTERS = {"components": "K =", "steps": "T ="}
SKIPPED = ("batch_size", "seed", "data", "digits")  # the source of the data says more


def find(model, experiment, began):
    """What differs.

    Args:
        model: a `trained.Trained`.
        experiment: the `Experiment` whose clips it is scored on.
        began: the `Settings` of its training, if that was of this experiment.

    Returns:
        dict from a setting, or `experiment` or `data`, to a pair: here, in the
        training. What the model does not say of its training is left out.
    """
    clips = experiment.config.clips
    skipped = set(SKIPPED)
    if clips.data or model.settings.get("data"):  # a file's clips are what they are
        skipped |= {"objects", *of_made_clips(type(clips))}
    here = {key: value for key, value in vars(clips).items() if key not in skipped}
    here |= {"experiment": experiment.name, "data": experiment.source}
    then = {}
    if model.settings:
        same = experiment.name == model.name  # older runs lack newer settings
        then |= began.flat() if same else model.settings
        then |= {"labels": model.settings.get("labels")}
        then |= {"experiment": model.name, "data": _data_of(model, experiment)}
    then["components"] = model.nem.cell.components
    pairs = {name: (_plain(here[name]), _plain(then.get(name))) for name in here}
    return {
        name: pair
        for name, pair in pairs.items()
        if pair[1] is not None and pair[0] != pair[1]
    }


def _data_of(model, experiment):
    """Where the clips of the training were, in words that fit `experiment.source`."""
    data = None if model.data == "unknown" else model.data
    if experiment.config.clips.data is None or model.folder is None:
        return data
    config = json.loads((model.folder / "config.json").read_text(encoding="utf-8"))
    clips, place = config.get("clips"), experiment.source
    if clips is None:
        return data
    if clips == experiment.fingerprint():  # which may have been moved
        return place
    return "other clips in its place" if data == place else data


def _plain(value):
    """A setting as JSON has it."""
    return as_text(value) if isinstance(value, tuple | list) else value


def as_line(found):
    """What `find` returned as a line of a report: "K = 5 (3), noise 0.1 (0.2)"."""
    parts = [
        f"{LETTERS.get(name, name.replace('_', ' '))} {_word(here)} ({_word(then)})"
        for name, (here, then) in found.items()
    ]
    return f"not as in training: {', '.join(parts)}"


def _word(value):
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
