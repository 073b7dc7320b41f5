"""All settings of a training, in the parts that they belong to.

    clips      keyword arguments of a data set          (an experiment has its own)
    cell       of the EM cell
    network    of the networks inside it
    loss       of `NEMLoss`
    training   how long, how fast, on how many clips
    run        where and on what it runs

Nothing here imports TensorFlow, so `--help` and a wrong flag answer at once.
"""

import dataclasses
import typing

from trainers.training.option import as_text
from trainers.training.parts import (
    Cell,
    Clips,
    Loss,
    Network,
    Run,
    Training,
    of_made_clips,
)


def _default(kind):
    return dataclasses.field(default_factory=kind)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings; an experiment has its own `clips` and rules.

    No two parts have a setting of the same name: config.json, recipes and flags name
    them without their part, and so do `of`, `flat` and `replaced`.
    """

    clips: Clips = _default(Clips)
    cell: Cell = _default(Cell)
    network: Network = _default(Network)
    loss: Loss = _default(Loss)
    training: Training = _default(Training)
    run: Run = _default(Run)

    given = None  # names of those that were asked for; None if nobody knows

    def __post_init__(self):
        batch, training = self.clips.batch_size, self.training
        if batch > training.train_size:
            raise ValueError(
                f"batch_size: expected at most train_size ({training.train_size}), "
                f"received {batch}"
            )
        if self.run.lanes and batch % self.run.lanes:
            raise ValueError(
                f"lanes: expected a divisor of batch_size ({batch}), received "
                f"{self.run.lanes}"
            )
        for name in ("learning_rates", "epochs"):
            count = len(getattr(training, name))
            if count not in (1, self.clips.stage_count):
                raise ValueError(
                    f"{name}: expected one for all stages or one per stage "
                    f"({self.clips.stage_count}), received {count}"
                )

    @classmethod
    def of(cls, **values):
        """The settings of the given names, and of the others the defaults."""
        parts = {}
        for name, kind in parts_of(cls).items():
            names = {field.name for field in dataclasses.fields(kind)}
            parts[name] = kind(**{key: values[key] for key in names & values.keys()})
        unknown = values.keys() - fields_of(cls).keys()
        if unknown:
            raise ValueError(f"{min(unknown)}: no such setting")
        return cls(**parts)

    @classmethod
    def of_recipe(cls, recipe, given):
        """The settings of a recipe with those that are given instead.

        Args:
            recipe: dict from settings to values.
            given: the same.

        Raises:
            ValueError: if clips are read from a file and it is said which to make.
        """
        if given.get("data") is not None:
            check_none_made(cls, given)
        found = cls.of(**cls.merged(recipe, given))
        object.__setattr__(found, "given", frozenset(given))
        return found

    @classmethod
    def merged(cls, recipe, given):
        """What `of_recipe` takes from both, a dict; an experiment may have rules."""
        return {**recipe, **given}

    @classmethod
    def asked(cls, given):
        """What flags, a dict, ask of a run that goes on: a dict to be compared."""
        return given

    def flat(self):
        """A dict from all settings to their values."""
        found = {}
        for part in dataclasses.fields(self):
            found |= vars(getattr(self, part.name))
        return found

    def replaced(self, **values):
        """These settings with other values."""
        found = self.of(**{**self.flat(), **values})
        object.__setattr__(found, "given", self.given)
        return found

    def per_stage(self, name):
        """The values of `learning_rates` or `epochs`, one per stage."""
        values = getattr(self.training, name)
        return values * self.clips.stage_count if len(values) == 1 else values

    @property
    def updates_per_epoch(self):
        training = self.training
        return training.epoch_updates or training.train_size // self.clips.batch_size


def parts_of(kind):
    """The parts of a `Settings` class: a dict from names to their dataclasses."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def fields_of(kind):
    """The settings of a `Settings` class: a dict from names to dataclass fields."""
    return {
        field.name: field
        for part in parts_of(kind).values()
        for field in dataclasses.fields(part)
    }


def types_of(kind):
    """The types of the settings of a `Settings` class, by name."""
    found = {}
    for part in parts_of(kind).values():
        found |= typing.get_type_hints(part)
    return found


def check_none_made(kind, given):
    """Raise ValueError if `given`, a dict from settings, says which clips to make."""
    for name in of_made_clips(parts_of(kind)["clips"]):
        if given.get(name):
            raise ValueError(
                f"{name}: expected none with --data, whose clips are what they are, "
                f"received {as_text(given[name])}; leave it out"
            )
