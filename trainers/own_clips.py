"""Train on clips of one's own: films, pictures, arrays, in colour, of any size.

    python -m trainers.own_clips FOLDER [--components K] [--size H,W] [--recipe quick]
    python -m trainers.own_clips clips.npy --labels labels.npy --out runs/mine

PATH is a folder of films or of folders of pictures, a film, an .npy or .npz file, HDF5,
TFRecord, or tfds:NAME of a prepared data set. Labels are only scored. What was found in
the clips, and what was chosen from it, is printed first and drawn into data.png. The
camera has to stand still.
"""

import dataclasses
import pathlib
import sys

import numpy as np

from reading.kinds import KINDS, PICTURES
from trainers.experiment import Experiment
from trainers.training import command, parts, settings
from trainers.training.option import option

LARGEST = 1.3  # objects that `tracking` draws, in sides of a typical one
FOUND = (
    "model",
    "size",
    "channels",
    "components",
    "steps",
    "object_size",
    "fill",
    "foreground",
)


def _components(text):
    return 0 if text == "auto" else int(text)


@dataclasses.dataclass(frozen=True)
class Clips(parts.Clips):
    """which clips"""

    data: str | None = option(  # type: ignore[assignment]
        None,
        "PATH, if it is not the first word; a run whose clips were moved is resumed "
        "with their new place",
        kind=str,
        about_run=True,
        metavar="PATH",
    )
    labels: str | None = option(
        None,
        "labels for the scores, laid out as PATH: 0 is background, 1..n are objects",
        kind=str,
        about_run=True,
        often=True,
        metavar="PATH",
    )
    size: tuple[int, ...] = option(
        (0,),
        "rows and columns that are trained on; 0: so that a typical object is about 11 "
        "pixels wide, 7 with rnn-em",
        least=0,
        most=512,
        often=True,
        metavar="H,W",
    )
    channels: int = option(
        0, "1: grey, 3: colour; 0: colour if any frame has some", least=0, most=3
    )
    components: int = option(
        0,
        "K, the most objects there can be at a time; 0 or auto: as many as seem to "
        "move, and one more but with rnn-em",
        kind=_components,
        least=0,
        often=True,
        metavar="N",
    )
    steps: int = option(
        0,
        "T of the clips that are scored; 0: 20, or the most that clips of the usual "
        "length have",
        least=0,
    )
    train_steps: int = option(
        8, "T of the windows that are trained on; 19 with rnn-em", least=1
    )
    stride: int = option(
        0, "frames from one window to the next; 0: half a window", least=0
    )
    axes: str = option(
        "auto",
        "of an array of clips: which axis comes first",
        choices=("auto", "clips-first", "time-first"),
    )
    pictures: str = option(
        "auto",
        "of a folder of PNG or JPEG files: frames of a film, or images of their own; "
        "auto: images if neighbours are not alike",
        choices=PICTURES,
    )
    mirror: str = option(
        "off",
        "whether clips are also learned from mirrored, left to right and top to "
        "bottom, and backwards; off where that looks or moves otherwise",
        choices=("on", "off"),
    )
    background: str = option(
        "auto",
        "what is behind the objects of a clip: one colour, or a still image",
        choices=KINDS,
    )
    object_size: float = option(
        0.0,
        "about an object's side, pixels of the size trained on; 0: as seen",
        least=0.0,
    )
    fill: float = option(
        0.0,
        "share of its box that an object covers, strokes less than discs; 0: as seen",
        least=0.0,
        most=1.0,
    )
    foreground: float = option(
        0.0,
        "distance from the background, over all channels, from which on a pixel is an "
        "object's, 0 to 1; 0: by the noise of the clips",
        least=0.0,
    )
    flicker: str = option(
        "off",
        "whether that distance is larger where the same pixels of all clips flicker "
        "more than the others; clips are not mirrored then, unless asked for",
        choices=("on", "off"),
    )
    noise: float = option(0.0, "chance that a pixel is noisy", least=0.0, most=1.0)
    batch_size: int = option(
        16, "clips per update, over all devices; 32 with rnn-em", least=1
    )
    objects: int = option(8, "labels that the metrics expect", least=1, most=256)

    def check_source(self):
        if len(self.size) > 2 or (len(self.size) == 2 and 0 in self.size):
            raise ValueError(
                f"size: expected rows and columns, received {self.size}; for example "
                "--size 48,64"
            )
        if self.channels == 2:
            raise ValueError(
                "channels: expected 1, grey, or 3, colour, received 2; or leave it out"
            )
        path = str(self.data or "")
        there = pathlib.Path(path).expanduser().exists()
        if path and not path.startswith("tfds:") and not there:
            raise ValueError(
                f"PATH: no such file or folder, {path}; check it, or give its new "
                "place with --data"
            )


@dataclasses.dataclass(frozen=True)
class Cell(parts.Cell):
    """the EM cell"""

    model: str = option(
        "auto",
        "windows: components with a place and a window each, as many as there are; "
        "rnn-em: the paper's, K at all times, with the network `tracking`; auto: "
        "rnn-em for up to three grey objects, which only their shapes tell apart",
        choices=("auto", "windows", "rnn-em", "n-em"),
        often=True,
    )
    variance: float = option(
        0.02, "sigma^2 of a pixel, squared intensity, in the E-step", least=1e-4
    )
    grid: int = option(12, "points of a window along each axis", least=2)
    likeness: float = option(
        0.2,
        "how unlike in colour pixels may be that one component begins with, as 1 minus "
        "the cosine of what they add to the background; 0: colours do not matter",
        least=0.0,
    )
    distinct: float = option(
        0.25,
        "a component rests if no more than this share of what it draws is its own",
        least=0.0,
        most=0.99,
    )

    def arguments(self):
        found = super().arguments()
        del found["variance"]  # of the E-step
        return found


@dataclasses.dataclass(frozen=True)
class Run(parts.Run):
    """the run"""

    recipe: str = option(
        "ours",
        "settings that flags then change: the best known, four to fifteen minutes on "
        "one core, or those for a first look",
        choices=("ours", "quick"),
        often=True,
    )


@dataclasses.dataclass(frozen=True)
class Settings(settings.Settings):
    """All settings."""

    clips: Clips = dataclasses.field(default_factory=Clips)
    cell: Cell = dataclasses.field(default_factory=Cell)
    run: Run = dataclasses.field(default_factory=Run)

    @classmethod
    def asked(cls, given):
        """Without what the clips decide, and what they may have had fewer of."""
        fewer = ("train_steps", "batch_size", "train_size")
        fewer += ("validation_size", "test_size")
        found = {key: value for key, value in given.items() if key not in fewer}
        if len(found.get("size", ())) == 1:
            found["size"] *= 2
        return {
            key: value
            for key, value in found.items()
            if not (key in FOUND and value in (0, (0, 0), "auto"))
        }


OF_MODEL: dict[str, dict] = {  # settings of a model, unless asked for otherwise
    "windows": {},
    "n-em": {},
    "rnn-em": {
        "network": "tracking",
        "reads": "pixels",
        "floor": 0.02,
        "start": "sides",
        "learning_rates": (0.004,),
        "batch_size": 32,
        "train_steps": 19,
    },
}
SHAPES_TAKE = 2  # times the epochs: what only shapes tell apart takes longer
_TRAINING = {
    "mirror": "on",
    "flicker": "on",
    "learning_rates": (0.002,),
    "schedule": "cosine",
    "clip_norm": 20.0,
}
RECIPES: dict[str, dict] = {
    "ours": {
        **_TRAINING,
        "epochs": (6,),
        "epoch_updates": 150,
        "validation_size": 64,
        "test_size": 1000,
    },
    "quick": {
        **_TRAINING,
        "epochs": (4,),
        "epoch_updates": 100,
        "validation_size": 32,
        "test_size": 64,
    },
}


def _of_model(model, config, asked):
    """What a model has in the place of settings that nobody asked for: a dict."""
    found = dict(OF_MODEL[model])
    if model == "rnn-em":
        epochs = config.training.epochs
        found["epochs"] = tuple(SHAPES_TAKE * n for n in epochs)
        found["batch_size"] = min(found["batch_size"], config.training.train_size)
    return {"model": model, **{x: found[x] for x in found.keys() - set(asked)}}


class OwnClips(Experiment):
    """People's own clips, with `WindowCell` or the paper's cells over a background."""

    name = "own_clips"
    Settings = Settings
    recipes = RECIPES
    paper_network = "flying_mnist"
    paper = "has no such clips"
    makes = False

    def __init__(self, config):
        from reading.own import OwnClips as Decoded
        from trainers.training import look

        clips = config.clips
        if clips.data is None:
            raise ValueError(
                "PATH: expected clips, received none; python -m trainers.own_clips PATH"
            )
        path = str(clips.data)
        if not path.startswith("tfds:"):
            path = str(pathlib.Path(path).expanduser().absolute())
        labels = clips.labels
        if labels is not None:
            labels = str(pathlib.Path(labels).expanduser().absolute())
        asked = {
            "channels": clips.channels or None,
            "labels": labels,
            "axes": clips.axes,
            "pictures": clips.pictures,
            "background": clips.background,
        }
        size = clips.size if len(clips.size) == 2 else clips.size * 2
        if any(size):
            decoded = Decoded(path, size=size, **asked)
        else:
            decoded = Decoded(path, later=True, **asked)
        self.findings = look.look(decoded)
        self.chosen = look.choices(self.findings, config.cell.model, fixed=any(size))
        if not any(size):
            decoded = Decoded(path, size=self.chosen.size, **asked)
        self.decoded = decoded
        self.asked_clips = clips  # before what was found
        self.asked_model = config.cell.model
        self.size, self.channels = decoded.size, decoded.channels
        config = self._resolved(config)
        super().__init__(config.replaced(data=path, labels=labels))
        self.source = path

    def _resolved(self, config):
        """The settings with what was chosen in the place of 0."""
        from trainers.training import look

        asked = config.given or ()
        model = self.chosen.model
        if config.given is not None or config.cell.model == "auto":
            config = config.replaced(**_of_model(model, config, asked))
        if model != "windows" and "fill" in asked:
            raise ValueError(
                f"fill: expected none with model {model}, which takes none, received "
                f"{config.clips.fill:g}; leave it out"
            )
        clips, training, chosen = config.clips, config.training, self.chosen
        most = 20 if self.decoded.still else min(20, look.longest(self.decoded))
        steps = clips.steps or most
        if "train_steps" in asked and clips.train_steps > steps:
            raise ValueError(
                f"train_steps: expected at most {steps}, T of the clips that are "
                f"scored, received {clips.train_steps}; ask for fewer"
            )
        if clips.object_size > min(self.size):
            raise ValueError(
                f"object_size: expected at most {min(self.size)}, the shorter side of "
                f"frames of {self.size[0]} x {self.size[1]}, received "
                f"{clips.object_size:g}; give pixels of the size trained on"
            )
        train_steps = min(clips.train_steps, steps)
        stride = clips.stride or None
        counts = {
            split: len(self.decoded.windows(split, length, stride))
            for split, length in (
                ("train", train_steps),
                ("validation", train_steps),
                ("test", steps),
            )
        }
        train_size = min(training.train_size, counts["train"])
        least = clips.foreground or chosen.foreground
        self.foreground = least
        if clips.flicker == "on":
            self.foreground = look.distances(self.decoded, least)
        mirror = clips.mirror
        if np.ndim(self.foreground) and "mirror" not in asked:
            mirror = "off"
        found = config.replaced(
            mirror=mirror,
            size=tuple(self.size),
            channels=self.channels,
            components=clips.components or chosen.components,
            steps=steps,
            train_steps=train_steps,
            object_size=clips.object_size or min(chosen.object_size, min(self.size)),
            fill=clips.fill or round(self.findings.fill, 3),
            foreground=least,
            batch_size=min(clips.batch_size, train_size),
            train_size=train_size,
            validation_size=min(training.validation_size, counts["validation"]),
            test_size=min(training.test_size, counts["test"]),
        )
        object.__setattr__(found, "given", None)  # all is chosen now
        return found

    @property
    def still(self):
        return self.decoded.still

    @property
    def likelihood(self):
        from nem_tf.likelihoods import Gaussian

        return Gaussian(self.config.cell.variance)

    def cell_arguments(self):
        clips = self.config.clips
        return {
            "object_size": clips.object_size,
            "foreground": self.foreground,
            "background": self.decoded.background_kind,
            "fill": clips.fill,
        }

    @property
    def object_size(self):
        side = round(LARGEST * self.config.clips.object_size)
        return (max(2, min(side, *self.size)),) * 2

    def fingerprint(self):
        return {"clips": len(self.decoded), "digest": self.decoded.frames_digest}

    def show(self, folder):
        """Print what was found and chosen, and draw data.png into the run's folder."""
        from trainers.training import look

        clips, given = self.config.clips, self.asked_clips
        reasons = dict(self.chosen.reasons)
        for name in ("components", "object_size", "foreground"):
            if getattr(given, name):
                reasons[name] = "as it was asked for"
        if self.asked_model != "auto":
            reasons["model"] = "as it was asked for"
        if given.background != "auto":
            reasons["background"] = "as it was asked for"
        if np.ndim(self.foreground):
            more = 100 * (self.foreground > clips.foreground).mean()
            reasons["foreground"] += (
                f"; up to {self.foreground.max():.2f} in {max(more, 1):.0f} % of the "
                "pixels, which flicker"
            )
        chosen = self.chosen._replace(
            size=tuple(self.size),
            components=clips.components,
            object_size=clips.object_size,
            foreground=clips.foreground,
            background=self.decoded.background_kind,
            reasons=reasons,
        )
        print("\n".join(look.lines(self.findings, chosen)), file=sys.stderr)
        findings = self.findings
        if given.foreground:
            findings = findings._replace(foreground=given.foreground)
        least = np.maximum(self.foreground, findings.foreground)
        look.draw(self.decoded, findings, folder / "data.png", least)

    def read(self, split, asked):
        from nem_tf import data

        windows = asked.pop("clips", None)
        if split != "test":
            asked["steps"] = self.config.clips.train_steps
        stride = self.config.clips.stride or None
        asked["mirror"] = self.config.clips.mirror == "on"
        return data.from_folder(
            self.decoded, split, stride=stride, windows=windows, **asked
        )


def main(arguments=None):
    """The command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-"):
        words[0] = f"--data={words[0]}"
    return command.main(OwnClips, __doc__, words, usage="PATH [flags]")


if __name__ == "__main__":
    sys.exit(main())
