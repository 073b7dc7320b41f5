"""From a command line to a Config: one flag per field.

Nothing here imports TensorFlow, so `--help` and a wrong flag answer at once.
"""

import argparse
import dataclasses
import pathlib
import sys
import typing

from trainers import config_file, options

PRESET = "ours"  # of a command without the flag


def parse(config_class, presets, name, module_doc, arguments=None):
    """Turn a command line into a Config; a wrong one ends the program.

    Args:
        config_class: a subclass of `Config`.
        presets: dict from preset to the settings in which it differs from the defaults.
        name: of the trainer's module.
        module_doc: docstring of the trainer: its first line describes the command, the
            rest follows the flags.
        arguments: list of strings, `sys.argv[1:]` if None.

    Returns:
        the Config. On a wrong flag or value: one line on stderr and exit status 2.
    """
    usage = f"[--preset {'|'.join(presets)}] [flags]"
    parser = Parser(f"trainers.{name}", module_doc, usage)
    given = read_flags(parser, config_class, arguments, presets)
    try:
        return _configured(config_class, presets, name, given)
    except ValueError as error:
        if given.get("debug"):
            raise
        parser.error(str(error))


def read_flags(parser, config_class, arguments=None, presets=None):
    """The flags that were given, as a dict from fields of `config_class` to values.

    Args:
        parser: a `Parser`; gets one flag per field.
        config_class: a dataclass of `options.option` fields.
        arguments: list of strings, `sys.argv[1:]` if None.
        presets: see `parse`.
    """
    fields = dataclasses.fields(config_class)
    for field in sorted(fields, key=lambda field: field.name != "preset"):
        flag = "--" + field.name.replace("_", "-")
        how = {
            "dest": field.name,
            "default": argparse.SUPPRESS,
            "help": _help(field, presets or {}),
        }
        if isinstance(field.default, bool):
            on = _presets_with(field, presets or {})
            action = argparse.BooleanOptionalAction if on else "store_true"
            parser.add_argument(flag, action=action, **how)
        else:
            parser.add_argument(
                flag,
                type=_converter(config_class, field.name),
                metavar=_metavar(config_class, field),
                **how,
            )
    return vars(parser.parse_args(arguments))


def checked(parser, config_class, given):
    """The Config of the given flags; a value that it refuses ends the program."""
    try:
        return config_class(**given)
    except ValueError as error:
        if given.get("debug"):
            raise
        parser.error(str(error))


def _configured(config_class, presets, name, given):
    """The Config of the given flags, or of the run that they resume."""
    resumed = given.get("resume", "")
    if resumed and resumed != "auto":
        settings = config_file.read(resumed, name)
        if "data" in given:  # it may have been moved
            config_file.check_data(settings.get("data"), given["data"], resumed)
            settings["data"] = str(given["data"])
        began = config_file.from_json(config_class, settings, resumed=True)
        if given.get("out", pathlib.Path(resumed)) != pathlib.Path(resumed):
            raise ValueError(
                f"out: expected none or {resumed}, which is resumed, received "
                f"{given['out']}; a resumed run stays in its folder"
            )
        about_run = config_file.about_run(config_class)
        other = {key: given[key] for key in given.keys() & about_run}
        out = pathlib.Path(resumed)
        config = dataclasses.replace(began, **{**other, "out": out})
        config_file.check_same(config, given, resumed)
        return config
    given = {"preset": PRESET, **given}
    preset = given["preset"]
    if preset not in presets:
        raise ValueError(
            f"preset: expected {' or '.join(presets)}, received {preset!r}"
        )
    return config_class(**config_class.of_preset(presets[preset], given))


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr and exit status 2.

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
        )

    def error(self, message):
        print(f"{self.prog}: {message} (--help lists the flags)", file=sys.stderr)
        sys.exit(2)


def _converter(config_class, name):
    kind = _kind(config_class, name)
    if typing.get_origin(kind) is tuple:
        number = typing.get_args(kind)[0]

        def convert(text):
            return tuple(number(part) for part in text.split(",") if text)

    elif kind in (int, float, str):
        convert = kind
    else:

        def convert(text):
            return pathlib.Path(text).expanduser()  # a shell leaves --data=~/x alone

    def checked(text):
        if not text:
            raise argparse.ArgumentTypeError(
                "expected a value, received ''; give one or leave the flag out"
            )
        try:
            return convert(text)
        except ValueError:
            what = "numbers between commas" if "," in text else "a number"
            raise argparse.ArgumentTypeError(
                f"expected {what}, received {text!r}"
            ) from None

    return checked


def _kind(config_class, name):
    """The type of a setting, where it is not None."""
    kind = typing.get_type_hints(config_class)[name]
    others = [one for one in typing.get_args(kind) if one is not type(None)]
    return others[0] if type(None) in typing.get_args(kind) else kind


def _metavar(config_class, field):
    if field.metadata["choices"]:
        return "|".join(field.metadata["choices"])
    kind = _kind(config_class, field.name)
    if typing.get_origin(kind) is tuple:
        return "N,N,..."
    return field.metadata["metavar"] or {int: "N", float: "X"}.get(kind, "PATH")


def _presets_with(field, presets):
    """The presets that set a flag which is off by default."""
    return [name for name, settings in presets.items() if settings.get(field.name)]


def _help(field, presets):
    reason = field.metadata["reason"].replace("%", "%%")
    if field.default is False and (on := _presets_with(field, presets)):
        return f"{reason} (off; on in {', '.join(on)})"
    if any(field.default is unset for unset in ("", None, False)):
        return reason
    default = PRESET if presets and field.name == "preset" else field.default
    values = [options.as_text(default)] if default != () else []
    for name, settings in presets.items():
        if field.name in settings:
            values.append(f"{name}: {options.as_text(settings[field.name])}")
    return f"{reason} ({'; '.join(values)})" if values else reason
