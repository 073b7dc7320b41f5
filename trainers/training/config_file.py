"""Settings in config.json: how they are written, read, and compared with flags."""

import json
import math
import pathlib
import typing

from trainers.training import settings
from trainers.training.option import as_text

OLD_NAMES = {"preset": "recipe"}  # of settings, in runs of earlier versions


def as_json(config):
    """The settings as plain values that `json` can write; paths are absolute."""
    return {
        name: str(value.absolute()) if isinstance(value, pathlib.Path) else value
        for name, value in config.flat().items()
    }


def text(content):
    """JSON that every reader takes: what is no number becomes null."""
    return json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"


def _without_nan(content):
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    no_number = isinstance(content, float) and not math.isfinite(content)
    return None if no_number else content


def read(folder, experiment):
    """The settings of the run in `folder`, as config.json has them.

    Raises:
        ValueError: if there is no run of `experiment` that can be read.
    """
    path = pathlib.Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(
            f"resume: no run in {folder}; name a folder with a config.json"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        theirs, values = content["experiment"], dict(content["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"resume: {path} cannot be read ({error}); restore it or begin anew"
        ) from None
    if theirs != experiment:
        raise ValueError(
            f"resume: expected a run of {experiment}, received {folder}, a run of "
            f"{theirs}; use trainers.{theirs}"
        )
    return values


def from_json(experiment, values, resumed=False):
    """The settings that `as_json` wrote; what only says how it ran is left out.

    Args:
        experiment: a subclass of `Experiment`.
        values: as `read` returns them; what they lack is as in the paper.
        resumed: whether the run goes on, and with it how it ran: all but what has to be
            said anew, as where it is and on which hosts.

    Raises:
        ValueError: if a setting is unknown here or has another type.
    """
    fields = settings.fields_of(experiment.Settings)
    kinds = settings.types_of(experiment.Settings)
    found = {}
    for name, value in values.items():
        name = OLD_NAMES.get(name, name)
        if name not in fields:
            raise ValueError(
                f"{name}: a setting that this version of nem_tf does not have; resume "
                "with the version that began the run"
            )
        if not fields[name].metadata["anew" if resumed else "about_run"]:
            found[name] = _from_json(name, value, kinds[name])
    kind = experiment.Settings
    return kind.of(**kind.merged(experiment.recipes.get("paper", {}), found))


def _from_json(name, value, kind):
    if isinstance(value, list):
        value = tuple(value)
    number = (typing.get_args(kind) or (kind,))[0]
    if value is None and type(None) in typing.get_args(kind):
        return None
    if number is pathlib.Path and isinstance(value, str):
        return pathlib.Path(value)
    wanted = (int, float) if number is float else (number,)
    for one in value if typing.get_origin(kind) is tuple else (value,):
        if not isinstance(one, wanted) or (isinstance(one, bool) != (number is bool)):
            raise ValueError(
                f"{name}: expected {number.__name__} in config.json, received "
                f"{value!r}; restore the file or begin anew"
            )
    return value


def check_same(config, given, folder):
    """Raise ValueError if flags ask for something else than the run in `folder`.

    Args:
        config: the settings of the run.
        given: dict from settings to the values asked for now.
    """
    began = config.flat()
    for name in sorted(given.keys() - about_run(type(config))):
        if given[name] != began[name]:
            raise ValueError(
                f"{name}: expected {as_text(began[name])}, with which {folder} was "
                f"begun, received {as_text(given[name])}; leave it out, go on with "
                f"--resume {folder} alone, or begin a new run"
            )


def check_data(began, given, folder):
    """Raise ValueError if only one of a run and its flags has clips from a file.

    Args:
        began: `data` of the run in config.json.
        given: `data` that is asked for now.
        folder: of the run.
    """
    if bool(began) != bool(given):
        raise ValueError(
            f"data: expected {began or 'none'}, with which {folder} was begun, "
            f"received {given or 'none'}; go on with --resume {folder} alone, or "
            "begin a new run"
        )


def of_result(kind, values):
    """The settings that say what was computed, not where and how it was carried out.

    Args:
        kind: a `Settings` class.
        values: dict from settings to values, as config.json has them.
    """
    left_out = about_run(kind)
    named = {OLD_NAMES.get(name, name): value for name, value in values.items()}
    return {name: value for name, value in named.items() if name not in left_out}


def about_run(kind):
    """Names of the settings of a `Settings` class that a resumed run may change."""
    fields = settings.fields_of(kind)
    return {name for name, field in fields.items() if field.metadata["about_run"]}
