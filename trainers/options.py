"""Settings of a run: a frozen dataclass per experiment, one flag per field.

Nothing here imports TensorFlow, so `--help` and a wrong flag answer at once.
"""

import argparse
import dataclasses
import pathlib
import sys
import typing


def option(default, reason, *, least=None, most=None, choices=None, grows=False):
    """A field of a Config: its default, why, and what it may be.

    Args:
        default: the `paper` preset's value.
        reason: what it is and why the default, shown by `--help`.
        least, most: the range of a number, or of each number of a tuple.
        choices: the strings it may be.
        grows: whether a tuple must grow from left to right.
    """
    metadata = {
        "reason": reason,
        "least": least,
        "most": most,
        "choices": choices,
        "grows": grows,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """What all experiments share; each one restates the defaults it changes."""

    objects: int = option(3, "objects in a clip", least=1)
    components: int = option(3, "K, components that share a clip", least=1)
    steps: int = option(20, "T, EM steps (frames) of a clip", least=1)
    noise: float = option(0.2, "chance that a pixel is noisy", least=0.0, most=1.0)
    inter_weight: float = option(
        1.0, "weight of the inter-cluster loss in Eq. 5", least=0.0
    )
    network: str = option(
        "paper",
        "the paper's network, or a small one that learns in minutes on a CPU",
        choices=("paper", "small"),
    )
    learning_rates: tuple[float, ...] = option(
        (0.001,), "Adam's step size, one per stage", least=0.0
    )
    schedule: str = option(
        "constant",
        "learning rate over a stage: as it is, or a short rise and a cosine fall to 0",
        choices=("constant", "cosine"),
    )
    batch_size: int = option(64, "clips per update, as in the paper", least=1)
    epochs: tuple[int, ...] = option(
        (500,), "at most so many, one number for all stages or one per stage", least=1
    )
    epoch_updates: int = option(
        0, "updates between validations; 0: one pass over the training clips", least=0
    )
    patience: int = option(
        10,
        "stop a stage after so many epochs without a better validation loss",
        least=1,
    )
    train_size: int = option(50_000, "training clips, made on the fly", least=1)
    validation_size: int = option(
        1000, "validation clips; the original stops early on so many", least=1
    )
    test_size: int = option(10_000, "clips that results.json is scored on", least=1)
    seed: int = option(0, "of weights and clips; the same seed, the same run", least=0)
    data: pathlib.Path | None = option(
        None, "read clips from this HDF5 file of the original instead of making them"
    )
    out: pathlib.Path | None = option(
        None, "new folder of the run; default runs/EXPERIMENT/DATE-TIME-seedN"
    )
    preset: str = option(
        "paper", "settings that flags then change", choices=("paper", "quick")
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.batch_size > self.train_size:
            raise ValueError(
                f"batch_size: expected at most train_size ({self.train_size}), "
                f"received {self.batch_size}"
            )
        if self.data is not None and not self.data.is_file():
            raise ValueError(f"data: no such file, {self.data}; check the path")
        for name in ("learning_rates", "epochs"):
            count = len(getattr(self, name))
            if count not in (1, self.stage_count):
                raise ValueError(
                    f"{name}: expected one for all stages or one per stage "
                    f"({self.stage_count}), received {count}"
                )

    @property
    def stage_count(self):
        """How many stages the experiment trains in."""
        return 1

    def per_stage(self, name):
        """The values of `learning_rates` or `epochs`, one per stage."""
        values = getattr(self, name)
        return values * self.stage_count if len(values) == 1 else values

    @property
    def updates_per_epoch(self):
        return self.epoch_updates or self.train_size // self.batch_size


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
    summary, _, rest = module_doc.partition("\n")
    parser = Parser(
        prog=f"trainers.{name}",
        usage=f"python -m trainers.{name} [--preset {'|'.join(presets)}] [flags]",
        description=summary,
        epilog=rest,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fields = dataclasses.fields(config_class)
    for field in sorted(fields, key=lambda field: field.name != "preset"):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            dest=field.name,
            default=argparse.SUPPRESS,
            type=_converter(config_class, field.name),
            metavar=_metavar(config_class, field),
            help=_help(field, presets),
        )
    given = vars(parser.parse_args(arguments))
    preset = given.get("preset", "paper")
    try:
        if preset not in presets:
            raise ValueError(
                f"preset: expected {' or '.join(presets)}, received {preset!r}"
            )
        return config_class(**{**presets[preset], **given})
    except ValueError as error:
        parser.error(str(error))


def as_json(config):
    """The settings as plain values that `json` can write."""
    values = dataclasses.asdict(config)
    return {
        name: str(value) if isinstance(value, pathlib.Path) else value
        for name, value in values.items()
    }


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr and exit status 2."""

    def error(self, message):
        print(f"{self.prog}: {message} (--help lists the flags)", file=sys.stderr)
        sys.exit(2)


def _check(field, value):
    meta, name = field.metadata, field.name
    if meta["choices"] and value not in meta["choices"]:
        choices = " or ".join(meta["choices"])
        raise ValueError(f"{name}: expected {choices}, received {value!r}")
    for number in value if isinstance(value, tuple) else (value,):
        least, most = meta["least"], meta["most"]
        if least is not None and not number >= least:
            raise ValueError(f"{name}: expected at least {least}, received {number}")
        if most is not None and not number <= most:
            raise ValueError(f"{name}: expected at most {most}, received {number}")
        if isinstance(number, float) and number == float("inf"):
            raise ValueError(f"{name}: expected a finite number, received {number}")
    if isinstance(value, tuple):
        if not value:
            raise ValueError(f"{name}: expected at least one number, received none")
        if meta["grows"] and any(
            a >= b for a, b in zip(value, value[1:], strict=False)
        ):
            raise ValueError(
                f"{name}: expected growing numbers, received "
                f"{','.join(map(str, value))}; put the smallest stage first"
            )


def _converter(config_class, name):
    kind = typing.get_type_hints(config_class)[name]
    if typing.get_origin(kind) is tuple:
        number = typing.get_args(kind)[0]

        def convert(text):
            return tuple(number(part) for part in text.split(",") if text)

    elif kind in (int, float, str):
        convert = kind
    else:
        convert = pathlib.Path

    def checked(text):
        try:
            return convert(text)
        except ValueError:
            what = "numbers between commas" if "," in text else "a number"
            raise argparse.ArgumentTypeError(
                f"expected {what}, received {text!r}"
            ) from None

    return checked


def _metavar(config_class, field):
    if field.metadata["choices"]:
        return "|".join(field.metadata["choices"])
    kind = typing.get_type_hints(config_class)[field.name]
    if typing.get_origin(kind) is tuple:
        return "N,N,..."
    return {int: "N", float: "X"}.get(kind, "PATH")


def _help(field, presets):
    reason = field.metadata["reason"].replace("%", "%%")
    if field.name in ("out", "data"):
        return reason
    values = [_text(field.default)] if field.default != () else []
    for name, settings in presets.items():
        if field.name in settings:
            values.append(f"{name}: {_text(settings[field.name])}")
    return f"{reason} ({'; '.join(values)})" if values else reason


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
