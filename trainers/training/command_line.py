"""From a command line to settings: one flag for each.

Nothing here imports TensorFlow, so `--help` and a wrong flag answer at once.
"""

import argparse
import contextlib
import copy
import dataclasses
import pathlib
import sys
import typing

import simple_parsing

from trainers.training import config_file
from trainers.training.option import as_text

RECIPE = "ours"  # of a command without the flag
OFTEN = "what most people set"


def parse(experiment, module_doc, arguments=None, usage=None):
    """Turn a trainer's command line into settings; a wrong one ends the program.

    Args:
        experiment: a subclass of `Experiment`.
        module_doc: docstring of the trainer: its first line describes the command, the
            rest follows the flags.
        arguments: list of strings, `sys.argv[1:]` if None.
        usage: what follows the command; None is the recipes and flags.

    Returns:
        its `Settings`. On a wrong flag or value: one line on stderr and exit status 2.
    """
    usage = usage or f"[--recipe {'|'.join(experiment.recipes)}] [flags]"
    parser = Parser(f"trainers.{experiment.name}", module_doc, usage)
    given = read_flags(parser, experiment.Settings, arguments, experiment.recipes)
    with parser.refusing(given):
        return _settings(experiment, given)


def read_flags(parser, kind, arguments=None, recipes=None, defaults=True):
    """The flags that were given, as a dict from settings to values.

    Args:
        parser: a `Parser`; gets one flag per setting.
        kind: a dataclass of `option` fields, or of such dataclasses.
        arguments: list of strings, `sys.argv[1:]` if None.
        recipes: dict from a recipe to its settings, for `--help`.
        defaults: whether `--help` shows the defaults, where there are no recipes.
    """
    parser.kind, parser.recipes, parser.defaults = kind, recipes or {}, defaults
    parser.add_arguments(kind, dest="settings", default=argparse.SUPPRESS)
    found = vars(parser.parse_args(arguments))
    given = _flat(found.pop("settings", {}))
    for name, (field, _) in _titled_fields(kind):
        for other in field.metadata["excludes"] if given.get(name) else ():
            if other in given:
                parser.error(
                    f"{other}: expected none with --{name}, received "
                    f"{as_text(given[other])}; leave one of them out"
                )
    return {**found, **given}


def _flat(values):
    """A dict of dicts as one."""
    found = {}
    for name, value in values.items():
        found |= _flat(value) if isinstance(value, dict) else {name: value}
    return found


def _settings(experiment, given):
    """The settings of the given flags, or of the run that they resume."""
    resumed = given.get("resume", "")
    if resumed and resumed != "auto":
        return of_resumed(experiment, pathlib.Path(resumed), given)
    return experiment.configured(**{"recipe": RECIPE, **given})


def of_resumed(experiment, folder, given):
    """The settings of a run that goes on, with those flags that may differ.

    Args:
        experiment: a subclass of `Experiment`.
        folder: of the run.
        given: dict from the settings that are asked for now to their values.

    Raises:
        ValueError: if there is no such run, or something else is asked of it.
    """
    values = config_file.read(folder, experiment.name)
    if "data" in given:  # it may have been moved
        config_file.check_data(values.get("data"), given["data"], folder)
        values["data"] = str(given["data"])
    began = config_file.from_json(experiment, values, resumed=True)
    if given.get("out", folder) != folder:
        raise ValueError(
            f"out: expected none or {folder}, which is resumed, received "
            f"{given['out']}; a resumed run stays in its folder"
        )
    about_run = config_file.about_run(experiment.Settings)
    other = {key: given[key] for key in given.keys() & about_run}
    found = began.replaced(**{**other, "out": folder})
    config_file.check_same(found, experiment.Settings.asked(given), folder)
    return found


class Parser(simple_parsing.ArgumentParser):
    """A parser whose errors are one line on stderr and exit status 2.

    Args:
        module: that is run; its name begins the line.
        doc: the module's docstring, for `--help`.
        usage: what follows the module's name on the command line.
    """

    def __init__(self, module, doc, usage):
        summary, _, rest = doc.partition("\n")
        super().__init__(
            prog=module,
            usage=f"python -m {module} {usage}",
            description=summary,
            epilog=rest,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_option_string_dash_variants=simple_parsing.DashVariant.DASH,
        )
        self.kind, self.recipes, self.defaults = None, {}, True  # for `--help`

    def error(self, message):
        print(f"{self.prog}: {message} (--help lists the flags)", file=sys.stderr)
        sys.exit(2)

    @contextlib.contextmanager
    def refusing(self, given):
        """Context in which a ValueError ends the program, as a wrong flag does.

        Args:
            given: dict of flags; with `debug`, the error is raised.
        """
        try:
            yield
        except ValueError as error:
            if given.get("debug"):
                raise
            self.error(str(error))

    def format_help(self):
        """The flags in groups: what most people set, then part by part."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, [])
        formatter.add_text(self.description)
        for title, actions in self._groups().items():
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _groups(self):
        """A dict from titles to actions; argparse has no public list of these."""
        fields = dict(_titled_fields(self.kind)) if self.kind else {}
        groups: dict[str, list] = {"options": [], OFTEN: []}
        for action in self._actions:
            field, title = fields.get(action.dest.rpartition(".")[2], (None, "options"))
            if field is not None:
                action = _shown(action, field, self.recipes, self.defaults)
                title = OFTEN if field.metadata["often"] else title
            groups.setdefault(title, []).append(action)
        groups[OFTEN].sort(key=lambda action: ".run." not in action.dest)
        return {title: actions for title, actions in groups.items() if actions}


def _titled_fields(kind):
    """Pairs of a setting's name and its (dataclass field, title of its part)."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _titled_fields(hints[field.name])
        else:
            yield field.name, (field, kind.__doc__)


def _shown(action, field, recipes, defaults):
    """A flag as `--help` shows it: without its old names, and without an idle --no-."""
    shown = copy.copy(action)
    shown.help = _help(field, recipes, defaults)
    hidden = {field.metadata["old_flag"]}
    if not any(recipe.get(field.name) for recipe in recipes.values()):
        hidden.add("--no-" + field.name.replace("_", "-"))
    shown.option_strings = [x for x in action.option_strings if x not in hidden]
    return shown


def _help(field, recipes, defaults):
    """A setting's reason, its default, and what recipes say instead."""
    reason = field.metadata["reason"].replace("%", "%%")
    set_by = {name: r[field.name] for name, r in recipes.items() if field.name in r}
    if isinstance(field.default, bool):
        on = [name for name, value in set_by.items() if value]
        return f"{reason} (off; on in {', '.join(on)})" if on else reason
    values = []
    if field.name == "recipe" and recipes:
        values.append(RECIPE)
    elif defaults and field.default not in ("", None) and "paper" not in set_by:
        values.append(as_text(field.default))
    values += [f"{name}: {as_text(value)}" for name, value in set_by.items()]
    return f"{reason} ({'; '.join(values)})" if values else reason
