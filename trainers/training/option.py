"""A setting: one field of a dataclass, with its default, its reason and its range.

Nothing here imports TensorFlow, so `--help` and a wrong flag answer at once.
"""

import argparse
import dataclasses
import math
import pathlib

import simple_parsing


def option(
    default,
    reason,
    *,
    kind=None,
    least=None,
    most=None,
    choices=None,
    grows=False,
    often=False,
    about_run=False,
    anew=False,
    of_made_clips=False,
    excludes=(),
    old_flag=None,
    metavar=None,
):
    """A field of a dataclass of settings, and its flag.

    Args:
        default: where no recipe and no flag says otherwise.
        reason: what it is and why the default, shown by `--help`.
        kind: type of its value, or of each number of a tuple; that of the default if
            not given.
        least, most: the range of a number, or of each number of a tuple.
        choices: the strings it may be.
        grows: whether a tuple must grow from left to right.
        often: whether `--help` shows it among what most people use.
        about_run: whether it says how a run is carried out, not what it computes; it
            may then differ when the run is resumed.
        anew: whether, of these, a resumed run has to be told again.
        of_made_clips: whether it says which clips are made on the fly; there is nothing
            for it to say where they are read from a file.
        excludes: settings that must not be given together with it.
        old_flag: another name of its flag.
        metavar: what stands for its value in `--help`.
    """
    metadata = {
        "reason": reason,
        "least": least,
        "most": most,
        "among": choices,  # not "choices", which simple_parsing reads
        "grows": grows,
        "often": often,
        "about_run": about_run or anew,
        "anew": anew,
        "of_made_clips": of_made_clips,
        "excludes": excludes,
        "old_flag": old_flag,
    }
    how = {"default": default, "help": reason.replace("%", "%%"), "metadata": metadata}
    if old_flag:
        how["alias"] = old_flag
    if isinstance(default, bool):
        return simple_parsing.field(**how, action=OnOff)
    several = isinstance(default, tuple)
    kind = kind or type(default[0] if several else default)
    if metavar is None:
        usual = {int: "N", float: "X", pathlib.Path: "PATH"}.get(kind, "NAME")
        usual = f"{usual},{usual},..." if several else usual
        metavar = "|".join(choices or ()) or usual
    return simple_parsing.field(
        **how, type=_converter(kind, several), nargs=None, metavar=metavar
    )


class OnOff(argparse.BooleanOptionalAction):
    """--x and --no-x, without a value."""

    def __init__(self, option_strings, dest, default=None, help=None, **_):
        super().__init__(option_strings, dest, default, help=help)


def _converter(kind, several):
    """From a flag's text to a value of `kind`, or to a tuple of such."""

    def convert(text):
        if not text:
            raise argparse.ArgumentTypeError(
                "expected a value, received ''; give one or leave the flag out"
            )
        try:
            if several:
                return tuple(kind(part) for part in text.split(","))
            # A shell leaves --data=~/x alone.
            return kind(text).expanduser() if kind is pathlib.Path else kind(text)
        except ValueError:
            what = "numbers between commas" if "," in text else "a number"
            raise argparse.ArgumentTypeError(
                f"expected {what}, received {text!r}"
            ) from None

    return convert


def check(part):
    """Raise ValueError unless every field of a dataclass is what its `option` allows.

    None passes: it stands for what is not set.
    """
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if value is not None:
            _check(field.name, field.metadata, value)


def _check(name, meta, value):
    if meta["among"] and value not in meta["among"]:
        choices = " or ".join(meta["among"])
        raise ValueError(f"{name}: expected {choices}, received {value!r}")
    for number in value if isinstance(value, tuple) else (value,):
        least, most = meta["least"], meta["most"]
        if least is not None and not number >= least:
            raise ValueError(f"{name}: expected at least {least}, received {number}")
        if most is not None and not number <= most:
            raise ValueError(f"{name}: expected at most {most}, received {number}")
        if isinstance(number, float) and math.isinf(number):
            raise ValueError(f"{name}: expected a finite number, received {number}")
    if isinstance(value, tuple):
        if not value:
            raise ValueError(f"{name}: expected at least one number, received none")
        pairs = zip(value, value[1:], strict=False)
        if meta["grows"] and any(a >= b for a, b in pairs):
            raise ValueError(
                f"{name}: expected growing numbers, received {as_text(value)}; put the "
                "smallest stage first"
            )


def as_text(value):
    """A setting as it stands on a command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def as_word(name, value):
    """A setting as a word for a file's name: static, steps50, threshold0.1."""
    return name if value is True else f"{name}{as_text(value)}"


def as_flags(settings):
    """Settings as a command line; flags that are on or off have no value."""
    line = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            line += [f"--{flag}", as_text(value)]
    return line
