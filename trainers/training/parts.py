"""The parts of the settings: each setting once, with its default and its reason.

Recipes and flags say what is otherwise. Nothing here imports TensorFlow.
"""

import dataclasses
import pathlib

from trainers.training.option import check, option
from trainers.training.recording import check_recording

MOST_CLIPS = 2**32  # a clip's random numbers are keyed by 32 bits of its index
MOST_EPOCHS = 2**24  # and 24 bits of the epoch
MOST_OBJECTS = 256  # more would not be seen in the frames of the experiments


class Part:
    """A dataclass of `option` fields, which are looked at when it is made."""

    def __post_init__(self):
        check(self)


@dataclasses.dataclass(frozen=True)
class Clips(Part):
    """which clips"""

    objects: int = option(
        3, "objects in a clip", least=1, most=MOST_OBJECTS, often=True
    )
    components: int = option(3, "K, components that share a clip", least=1, often=True)
    steps: int = option(20, "T, EM steps (frames) of a clip", least=1)
    noise: float = option(0.2, "chance that a pixel is noisy", least=0.0, most=1.0)
    batch_size: int = option(
        64, "clips per update, over all devices; the paper has 64", least=1
    )
    seed: int = option(
        0,
        "of weights and clips; the same seed, the same run",
        least=0,
        most=2**32 - 1,  # what NumPy takes
        often=True,
    )
    data: pathlib.Path | None = option(
        None,
        "read clips from this HDF5 file instead of making them (docs/extending.md says "
        "what it holds); a run whose file was moved is resumed with its new place",
        kind=pathlib.Path,
        about_run=True,
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_source()

    def check_source(self):
        """Raise ValueError if the clips cannot be had, as far as a look can tell."""
        if self.data is not None:
            check_recording(self.data)

    @property
    def stage_count(self):
        """How many stages a training on them has."""
        return 1

    @property
    def still(self):
        """Whether the objects do not move."""
        return False

    def stage_name(self, stage):
        """What a stage is called in the progress bar; nothing if there is one."""
        return ""

    def shared(self):
        """The keyword arguments that every data set takes."""
        names = ("components", "steps", "noise", "batch_size", "seed")
        return {name: getattr(self, name) for name in names}

    def made(self, stage=-1):
        """The further ones of the function that makes these clips, in a stage."""
        own = {name: getattr(self, name) for name in of_made_clips(type(self))}
        return {"objects": self.objects, **own}


@dataclasses.dataclass(frozen=True)
class Cell(Part):
    """the EM cell"""

    model: str = option("rnn-em", "M-step: a recurrent network, or n-em: a gradient")
    reads: str = option(
        "error",
        "what the encoder sees: the paper's gamma * (x - psi), or the component's own "
        "pixels, gamma * x, from which a place can be read whatever was predicted",
        choices=("error", "pixels"),
    )
    floor: float = option(
        0.0,
        "added to each P(x | psi) where components share the pixels that they see; "
        "with 0.02 a component that lost its object finds it again, with the paper's 0 "
        "it never does",
        least=0.0,
    )
    keep_floor: bool = option(
        False,
        "the floor is there when the model is used: a component that lost its object "
        "finds it again, and noise moves fewer pixels, but one to spare gets pixels of "
        "others",
    )
    floor_in_training: bool = option(True, "the floor is there in training")
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
    object_pixels: float = option(
        0.0,
        "about how many pixels of a frame an object has: but for updates, the "
        "weights pi of Eq. 1 then follow what components explain, and those to spare "
        "stay empty; the paper's 0 keeps them equal",
        least=0.0,
    )
    halo: float = option(
        0.0,
        "how far a component reaches beyond what it predicts, pixels: what none "
        "predicts goes to the nearest, all of it; for more objects than components",
        least=0.0,
    )
    fewest_components: int = option(
        0,
        "in an update, each clip begins with from so many up to K components, drawn "
        "anew, and object_pixels is on: for a K that is always more than there are "
        "objects; 0: K",
        least=0,
    )
    gamma_gradient: str = option(
        "off", "whether gradients flow through gamma", choices=("on", "off")
    )

    def arguments(self):
        """The keyword arguments of an `EMCell`, or of one of its kinds."""
        own = ("model", "gamma_gradient")
        return {name: value for name, value in vars(self).items() if name not in own}


@dataclasses.dataclass(frozen=True)
class Network(Part):
    """its network"""

    network: str = option(
        "paper",
        "the paper's of this experiment; `small` learns in minutes on a CPU; `narrow` "
        "has a theta too small for two objects; `places` is for things that move: it "
        "reads places and draws at places; `tracking` is for things of many kinds: "
        "each component follows one patch. nem_tf.networks has all",
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


@dataclasses.dataclass(frozen=True)
class Loss(Part):
    """the loss"""

    loss: str = option("eq5", "Eq. 5, or another one that nem_tf.losses has by name")
    inter_weight: float = option(
        1.0, "weight of the inter-cluster loss in Eq. 5", least=0.0
    )
    loss_steps: str = option(
        "all", "which EM steps the loss is taken at", choices=("last", "all")
    )

    def arguments(self):
        """The keyword arguments of the loss."""
        return {"inter_weight": self.inter_weight, "steps": self.loss_steps}


@dataclasses.dataclass(frozen=True)
class Training(Part):
    """the training"""

    epochs: tuple[int, ...] = option(
        (500,),
        "at most so many, one number for all stages or one per stage",
        least=1,
        most=MOST_EPOCHS,
        often=True,
    )
    learning_rates: tuple[float, ...] = option(
        (0.001,), "Adam's step size, one for all stages or one per stage", least=0.0
    )
    clip_norm: float = option(
        0.0, "longest gradient, over all weights; 0: as long as it is", least=0.0
    )
    schedule: str = option(
        "constant",
        "learning rate over a stage: as it is, or a short rise and a cosine fall to 0",
        choices=("constant", "cosine"),
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
    precision: str = option(
        "float32",
        "of products; bfloat16 is 1.2 times faster on a CPU that has it, tf32 needs a "
        "GPU; weights, losses and the E-step are float32 in each",
        choices=("float32", "tf32", "bfloat16"),
    )
    deterministic: bool = option(
        False, "the same seed gives the same bits; slower on a GPU"
    )


@dataclasses.dataclass(frozen=True)
class Run(Part):
    """the run"""

    out: pathlib.Path | None = option(
        None,
        "new folder of the run; default runs/EXPERIMENT/DATE-TIME-seedN",
        kind=pathlib.Path,
        anew=True,
        often=True,
    )
    resume: str = option(
        "",
        "continue the run in this folder; auto: the one in --out, if it was begun",
        anew=True,
        metavar="RUN",
        often=True,
    )
    recipe: str = option(
        "paper",
        "settings that flags then change: the best known, the paper's, or those for a "
        "first look",
        choices=("ours", "paper", "quick"),
        old_flag="--preset",
        often=True,
    )
    level_epochs: int = option(
        0,
        "stop a stage whose AMI of the validation clips stayed within 0.01 for so many "
        "epochs, although the loss still falls; 0: never",
        least=0,
        about_run=True,
    )
    save_minutes: float = option(
        10.0,
        "the state is saved so often and after each epoch; 0: after each update",
        least=0.0,
        about_run=True,
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
        super().__post_init__()
        if self.resume == "auto" and self.out is None:
            raise ValueError("resume: auto continues the run in --out; add --out DIR")
        if self.strategy != "hosts":
            for name, unset in (("coordinator", ""), ("hosts", 1), ("host_index", 0)):
                if getattr(self, name) != unset:
                    raise ValueError(
                        f"{name}: expected only with --strategy hosts, received "
                        f"{getattr(self, name)} with {self.strategy}; add the strategy"
                    )
            return
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(
                f"coordinator: expected HOST:PORT of host 0, received "
                f"{self.coordinator!r}; for example --coordinator 10.0.0.1:1234"
            )
        if self.hosts < 2:
            raise ValueError(
                f"hosts: expected at least 2 with --strategy hosts, received "
                f"{self.hosts}; leave the strategy out on one machine"
            )
        if self.host_index >= self.hosts:
            raise ValueError(
                f"host_index: expected 0 to {self.hosts - 1}, received "
                f"{self.host_index}; count hosts from 0"
            )


def of_made_clips(part):
    """Names of the settings of `Clips` that say which clips are made on the fly."""
    return [f.name for f in dataclasses.fields(part) if f.metadata["of_made_clips"]]
