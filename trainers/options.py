"""Settings of a run: a frozen dataclass per experiment.

Nothing here imports TensorFlow, so a wrong setting is refused at once.
"""

import dataclasses
import pathlib
from typing import ClassVar

import psutil

MOST_CLIPS = 2**32  # a clip's random numbers are keyed by 32 bits of its index
MOST_EPOCHS = 2**24  # and 24 bits of the epoch
HDF5 = b"\x89HDF\r\n\x1a\n"  # what such a file begins with
MOST_OBJECTS = 256  # more would not be seen in the frames of the experiments


def option(
    default,
    reason,
    *,
    least=None,
    most=None,
    choices=None,
    grows=False,
    about_run=False,
    anew=False,
    of_made_clips=False,
    metavar=None,
):
    """A field of a Config: its default, why, and what it may be.

    Args:
        default: the `paper` preset's value.
        reason: what it is and why the default, shown by `--help`.
        least, most: the range of a number, or of each number of a tuple.
        choices: the strings it may be.
        grows: whether a tuple must grow from left to right.
        about_run: whether it says how a run is carried out, not what it computes; it
            may then differ when the run is resumed.
        anew: whether, of these, a resumed run has to be told again.
        of_made_clips: whether it says which clips are made on the fly; there is nothing
            for it to say where they are read from a file.
        metavar: what stands for the value of a string in `--help`.
    """
    metadata = {
        "reason": reason,
        "least": least,
        "most": most,
        "choices": choices,
        "grows": grows,
        "about_run": about_run or anew,
        "anew": anew,
        "of_made_clips": of_made_clips,
        "metavar": metavar,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """What all experiments share; each one restates the defaults it changes."""

    size: ClassVar[tuple[int, int]] = (28, 28)  # (H, W) of the clips, pixels

    objects: int = option(3, "objects in a clip", least=1, most=MOST_OBJECTS)
    components: int = option(3, "K, components that share a clip", least=1)
    steps: int = option(20, "T, EM steps (frames) of a clip", least=1)
    noise: float = option(0.2, "chance that a pixel is noisy", least=0.0, most=1.0)
    inter_weight: float = option(
        1.0, "weight of the inter-cluster loss in Eq. 5", least=0.0
    )
    network: str = option(
        "paper",
        "the paper's network; a small one that learns in minutes on a CPU; ours for "
        "things that move, which reads places and draws at places; ours for things of "
        "many kinds, each component of which follows one patch",
        choices=("paper", "small", "places", "tracking"),
    )
    reads: str = option(
        "error",
        "what the encoder sees: the paper's gamma * (x - psi), or the component's own "
        "pixels, gamma * x, from which a place can be read whatever was predicted",
        choices=("error", "pixels"),
    )
    floor: float = option(
        0.0,
        "added to each P(x | psi) where components share the pixels that they see, in "
        "training; with 0.02 a component that lost its object finds it again, with the "
        "paper's 0 it never does",
        least=0.0,
    )
    keep_floor: bool = option(
        False,
        "the floor is there when the model is used, too: a component that lost its "
        "object finds it again, but one to spare gets pixels of others",
    )
    start: str = option(
        "random",
        "what the components begin with: the original's random share of every pixel, "
        "or one side of the frame each, at a random angle, which groups earlier and "
        "more clips",
        choices=("random", "sides"),
    )
    theta_noise: float = option(
        0.0,
        "in training, noise on theta on its way to psi; with 0.5 theta holds one digit "
        "rather than parts of two",
        least=0.0,
    )
    units: int = option(
        0,
        "M, the size of theta, in `tracking` without the place; 0: the network's own",
        least=0,
    )
    features: int = option(
        0,
        "width of the dense layers around theta; 0: the network's own, or none",
        least=0,
    )
    learning_rates: tuple[float, ...] = option(
        (0.001,), "Adam's step size, one per stage", least=0.0
    )
    schedule: str = option(
        "constant",
        "learning rate over a stage: as it is, or a short rise and a cosine fall to 0",
        choices=("constant", "cosine"),
    )
    batch_size: int = option(
        64, "clips per update over all devices, as in the paper", least=1
    )
    epochs: tuple[int, ...] = option(
        (500,),
        "at most so many, one number for all stages or one per stage",
        least=1,
        most=MOST_EPOCHS,
    )
    epoch_updates: int = option(
        0,
        "updates between validations; 0: one pass over the training clips",
        least=0,
        most=10**6,
    )
    patience: int = option(
        10,
        "stop a stage after so many epochs without a better validation loss",
        least=1,
    )
    train_size: int = option(
        50_000, "training clips, made on the fly", least=1, most=MOST_CLIPS
    )
    validation_size: int = option(
        1000,
        "validation clips; the original stops early on so many",
        least=1,
        most=MOST_CLIPS,
    )
    test_size: int = option(
        10_000, "clips that results.json is scored on", least=1, most=MOST_CLIPS
    )
    seed: int = option(
        0,
        "of weights and clips; the same seed, the same run",
        least=0,
        most=2**32 - 1,  # what NumPy takes
    )
    precision: str = option(
        "float32",
        "of products; bfloat16 is 1.2 times faster on a CPU that has it, tf32 needs a "
        "GPU; weights, losses and the E-step are float32 in each",
        choices=("float32", "tf32", "bfloat16"),
    )
    compile: str = option(
        "auto",
        "whether XLA compiles the update; auto: on one GPU, not on a CPU, where it was "
        "several times slower (docs/speed.md)",
        choices=("auto", "on", "off"),
        about_run=True,
    )
    unroll: bool = option(
        False,
        "a copy of the cell per step instead of a loop: a few percent faster on a CPU, "
        "half a minute slower to start",
        about_run=True,
    )
    lanes: int = option(
        0,
        "shares of a batch that are computed side by side; 0: one per CPU core, or one "
        "in all on a GPU",
        least=0,
        about_run=True,
    )
    deterministic: bool = option(
        False, "the same seed gives the same bits; slower on a GPU"
    )
    data: pathlib.Path | None = option(
        None,
        "read clips from this HDF5 file of the original instead of making them; a run "
        "whose file was moved is resumed with its new place",
        about_run=True,
    )
    preset: str = option(
        "paper",
        "settings that flags then change: the paper's, the best known, or those for a "
        "first look; the values in brackets are the paper's",
        choices=("paper", "ours", "quick"),
    )
    out: pathlib.Path | None = option(
        None,
        "new folder of the run; default runs/EXPERIMENT/DATE-TIME-seedN",
        anew=True,
    )
    resume: str = option(
        "",
        "continue the run in this folder; auto: the one in --out, if it was begun",
        anew=True,
        metavar="RUN",
    )
    save_minutes: float = option(
        10.0,
        "the state is saved so often and after each epoch; 0: after each update",
        least=0.0,
        about_run=True,
    )
    strategy: str = option(
        "auto",
        "auto uses every GPU of this machine; hosts: this process is one of --hosts",
        choices=("auto", "one", "mirrored", "hosts"),
        anew=True,
    )
    coordinator: str = option(
        "",
        "address of host 0, with --strategy hosts",
        anew=True,
        metavar="HOST:PORT",
    )
    hosts: int = option(1, "how many, with --strategy hosts", least=1, anew=True)
    host_index: int = option(
        0, "which of them this is, from 0; host 0 writes", least=0, anew=True
    )
    debug: bool = option(False, "show where in the code an error happened", anew=True)

    def __post_init__(self):
        check(self)
        if self.batch_size > self.train_size:
            raise ValueError(
                f"batch_size: expected at most train_size ({self.train_size}), "
                f"received {self.batch_size}"
            )
        if self.data is not None:
            check_recording(self.data)
        if self.resume == "auto" and self.out is None:
            raise ValueError("resume: auto continues the run in --out; add --out DIR")
        if self.lanes and self.batch_size % self.lanes:
            raise ValueError(
                f"lanes: expected a divisor of batch_size ({self.batch_size}), "
                f"received {self.lanes}"
            )
        _check_hosts(self)
        _check_memory(self)
        for name in ("learning_rates", "epochs"):
            count = len(getattr(self, name))
            if count not in (1, self.stage_count):
                raise ValueError(
                    f"{name}: expected one for all stages or one per stage "
                    f"({self.stage_count}), received {count}"
                )

    @classmethod
    def of_preset(cls, settings, given):
        """The settings of a preset with those that are given instead.

        Raises:
            ValueError: if clips are read from a file and it is said which to make.
        """
        if given.get("data") is not None:
            check_none_made(cls, given)
        return {**settings, **given}

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


def check(config):
    """Raise ValueError unless every setting is what its `option` allows, or None."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is not None:
            _check(field, value)


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


def _check_hosts(config):
    """Raise ValueError unless the flags about hosts belong together."""
    if config.strategy != "hosts":
        for name, unset in (("coordinator", ""), ("hosts", 1), ("host_index", 0)):
            if getattr(config, name) != unset:
                raise ValueError(
                    f"{name}: expected only with --strategy hosts, received "
                    f"{getattr(config, name)} with {config.strategy}; add the strategy"
                )
        return
    host, _, port = config.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            f"coordinator: expected HOST:PORT of host 0, received "
            f"{config.coordinator!r}; for example --coordinator 10.0.0.1:1234"
        )
    if config.hosts < 2:
        raise ValueError(
            f"hosts: expected at least 2 with --strategy hosts, received "
            f"{config.hosts}; leave the strategy out on one machine"
        )
    if config.host_index >= config.hosts:
        raise ValueError(
            f"host_index: expected 0 to {config.hosts - 1}, received "
            f"{config.host_index}; count hosts from 0"
        )


def check_recording(path):
    """Raise ValueError unless there is an HDF5 file."""
    if not path.is_file():
        raise ValueError(
            f"data: no such file, {path}; check the path, give its new one with --data"
        )
    try:
        with open(path, "rb") as file:  # h5py says of a busy one that it is no HDF5
            start = file.read(2**20 + len(HDF5))
    except OSError as error:
        raise ValueError(
            f"data: {path} cannot be read ({error.strerror}); make it readable"
        ) from None
    places = (0, *(2**power for power in range(9, 21)))  # after a user's block
    if not any(start.startswith(HDF5, place) for place in places):
        raise ValueError(
            f"data: expected an HDF5 file, received {path}; fetch or export it again"
        )


def of_made_clips(config_class):
    """Names of the settings that say which clips are made on the fly."""
    fields = dataclasses.fields(config_class)
    return [field.name for field in fields if field.metadata["of_made_clips"]]


def check_none_made(config_class, given):
    """Raise ValueError if `given`, a dict from settings, says which clips to make."""
    for name in of_made_clips(config_class):
        if given.get(name):
            raise ValueError(
                f"{name}: expected none with --data, whose clips are what they are, "
                f"received {as_text(given[name])}; leave it out"
            )


def _check_memory(config):
    """Refuse what cannot be computed here, before hours or the machine are lost."""
    pixels = config.size[0] * config.size[1]
    count = config.batch_size * config.steps * config.components * pixels
    needed = 2 * 4 * count  # psi and gamma, float32: a fraction of what training takes
    here = psutil.virtual_memory().total
    if needed > here * config.hosts:
        raise ValueError(
            f"components: {config.components} with {config.steps} steps and a "
            f"batch_size of {config.batch_size} take {needed / 1e9:.0f} GB for psi and "
            f"gamma alone, and this machine has {here / 1e9:.0f} GB; lower one of them"
        )


def as_text(value):
    """A setting as it stands on a command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
