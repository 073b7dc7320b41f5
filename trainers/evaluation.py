"""A trained model and the clips that it is scored on: one evaluation, or a sweep.

The command is trainers.evaluate. TensorFlow is imported by methods only, after the
flags have been read.
"""

import dataclasses
import math
import pathlib
import re

from trainers import experiments
from trainers.training import (
    config_file,
    devices,
    differences,
    machine,
    parts,
    progress,
    report,
    trained,
)
from trainers.training.files import replacing
from trainers.training.option import as_word, check, option
from trainers.training.parts import MOST_CLIPS

PATHS = "data", "labels"  # settings that name a file or a folder
OF_TRAINING = "seconds", "updates", "ended", "resumes"  # stays in results.json
OBJECTS = tuple(range(1, 7))  # of a sweep, in a clip
COMPONENTS = tuple(range(1, 9))  # of a sweep, K
AUTO = "auto"  # K, where those to spare stay empty
OF_A_CELL = 100  # clips; a sweep of a model that ships then takes minutes on two cores


@dataclasses.dataclass(frozen=True)
class Config:
    """the scoring"""

    out: pathlib.Path | None = option(
        None,
        "folder for results and figures; default: the run's, or a folder inside it "
        "that says what differs, or for a preset runs/evaluate/PRESET",
        kind=pathlib.Path,
        often=True,
    )
    on: str | None = option(
        None,
        "clips of another experiment",
        kind=str,
        choices=tuple(experiments.CLASSES),
        often=True,
    )
    clips: int | None = option(
        None,
        "how many are scored; those of the training if not given, at most "
        f"{OF_A_CELL} a cell of a sweep",
        kind=int,
        least=1,
        most=MOST_CLIPS,
        often=True,
    )
    starts: int = option(
        1,
        "random starts of each clip, 1 if not given; the one whose predictions were "
        "likeliest counts. 4 take four times as long",
        least=1,
        often=True,
    )
    sweep: bool = option(
        False,
        f"score {OBJECTS[0]} to {OBJECTS[-1]} objects with K = {COMPONENTS[0]} to "
        f"{COMPONENTS[-1]}, each with each, in place of one pair",
        often=True,
        excludes=("objects", "components"),
    )
    split: str = option(
        "test", "of the clips; test if not given", choices=("test", "validation")
    )
    debug: bool = option(False, "show where in the code an error happened")

    def __post_init__(self):
        check(self)


class Evaluation:
    """A trained model, and the clips that it is scored on.

    Args:
        model: a `trained.Trained`.
        config: the settings of the scoring.
        changed: settings of the clips that are not as in the training, by name;
            `components` may be "auto", see `inference.used.most`.

    Raises:
        ValueError: if "auto" is asked of a cell that cannot, if the model does not say
            what it was trained on and `on` does not either, or if the settings do not
            fit the data.
    """

    def __init__(self, model, config=None, **changed):
        from nem_tf import NEMLoss, memory
        from nem_tf.inference.used import most

        self.model = model
        self.config = config = config or Config()
        if changed.get("components") == AUTO:
            changed["components"] = most(model.nem.cell)
        self.changed = changed
        name = config.on or (model.name if model.settings else None)
        if name not in experiments.CLASSES:
            raise ValueError(
                f"on: the model does not say what it was trained on ({model.name}); "
                f"add one of {', '.join(experiments.CLASSES)}"
            )
        if not isinstance(model.nem.loss, NEMLoss):
            raise ValueError(
                f"MODEL: expected one that was compiled with a NEMLoss, received "
                f"{model.nem.loss!r}; compile and save it again"
            )
        kind = experiments.find(name)
        self.began, self.settings = self._settings(kind)
        clips = self.settings.clips
        if clips.data is None and not kind.makes:
            raise ValueError(
                f"data: expected the clips of {name}, received none; add --data PATH"
            )
        pixels = clips.batch_size * clips.steps * math.prod(model.nem.cell.frame_shape)
        most = max(COMPONENTS) if config.sweep else clips.components
        memory.check(most, pixels, "a smaller --batch-size or --steps")
        self.experiment = kind(self.settings)
        self.settings = self.experiment.config  # with what the clips decide
        self._count()
        chosen = devices.choose(
            self.settings.replaced(
                strategy="one",
                deterministic=False,
                precision="float32",  # a model in bfloat16 is so by itself
            )
        )
        self.lanes = chosen.lanes
        self._check_frames()

    def _settings(self, kind):
        """The experiment's settings as in the training, and as they are now."""
        model, changed = self.model, dict(self.changed)
        values = dict(model.settings) if kind.name == model.name else {}
        recorded, labels = (values.pop(name, None) for name in PATHS)
        values.setdefault("components", model.nem.cell.components)
        began = config_file.from_json(kind, values)
        made = [*parts.of_made_clips(type(began.clips)), "objects"]
        remade = kind.makes and changed.keys() & set(made)
        if recorded and "data" not in changed and not remade:
            changed["data"] = recorded
        if changed.get("data"):
            changed["data"] = pathlib.Path(changed["data"])
            places = str(changed["data"]), str(changed["data"].expanduser().absolute())
            if labels and recorded in places:  # else they are of other clips
                changed.setdefault("labels", labels)
        known = kind.of_source(model.data)  # what "auto" was, for instance
        changed = {**known, **changed}
        usual = self._usual(began.training.test_size)
        changed["test_size"] = self.config.clips or usual
        batch_size = changed.get("batch_size", 1)
        changed["train_size"] = max(began.training.train_size, batch_size)
        for name in ("epochs", "learning_rates"):  # of stages that there may not be
            changed[name] = getattr(began.training, name)[-1:]
        return began, began.replaced(**changed)

    def _count(self):
        """Settle how many clips are scored, of an experiment that cannot make more."""
        asked, found = self.config.clips, self.settings.training.test_size
        if self._few_validate:
            size = asked or self._usual(self.settings.training.validation_size)
            self.settings = self.settings.replaced(test_size=size)
        elif asked is not None and found < asked:
            raise ValueError(
                f"clips: expected at most {found}, which test has, received {asked}; "
                "ask for fewer"
            )

    def _usual(self, clips):
        """How many of so many clips are scored if nobody says."""
        return min(clips, OF_A_CELL) if self.config.sweep else clips

    @property
    def _few_validate(self):
        """Whether validation clips are scored, of which there may be few."""
        return self.config.split == "validation" and not self.experiment.makes

    def _check_frames(self):
        """Raise ValueError unless there are such clips, of the model's frame size."""
        try:
            self.clips(self.settings.training.test_size)
        except ValueError as error:  # what is the setting of a training, is --clips
            problem = re.sub(
                r"^(windows|\w+_size): expected at", "clips: expected at", str(error)
            )
            raise ValueError(problem) from None
        clip = next(iter(self.clips(1, batch_size=1)))["clean"]
        self.steps = clip.shape[1] - 1  # which the split decides, too
        wanted = self.model.nem.cell.frame_shape
        if tuple(clip.shape[2:]) != wanted:
            remedy = "choose other clips with --on or --data"
            if hasattr(self.settings.clips, "size"):
                height, width, channels = wanted
                size = f"--size {height},{width} --channels {channels}"
                remedy = f"add {size}, or {remedy}"
            raise ValueError(
                f"MODEL: expected one for frames of {tuple(clip.shape[2:])}, which the "
                f"clips have, received one for {wanted}; {remedy}"
            )

    def clips(self, clips, batch_size=None, objects=None):
        """The first `clips` clips, with masks of their objects where they are known.

        With `objects`, that many in each, and no masks.
        """
        arguments = {"clips": clips}
        if batch_size:
            arguments["batch_size"] = batch_size
        if self.settings.clips.data is None:
            frame = self.model.nem.cell.frame_shape
            arguments |= {"size": frame[:2], "masks": objects is None}
            arguments |= {} if objects is None else {"objects": objects}
        clips = self.experiment.clips(self.config.split, **arguments)
        if self.model.nem.cell.layered and "background" not in clips.element_spec:
            clips = clips.map(_over_black)
        return clips

    def differences(self):
        """What is not as in the training, as words for a file's name."""
        words = ["sweep"] if self.config.sweep else []
        if self.experiment.name != self.model.name:
            words.append(self.experiment.name)
        elif self.model.settings.get("data") and self.settings.clips.data is None:
            words.append("generated")
        began = self.began.flat()
        for name, value in self.changed.items():
            if name in PATHS and value:
                words.append(trained.short_name(pathlib.Path(value).stem))
            elif name != "batch_size" and value != began[name]:
                words.append(as_word(name, value))
        words += [f"starts{self.config.starts}"] if self.config.starts > 1 else []
        words += [self.config.split] if self.config.split != "test" else []
        test_size, training = self.settings.training.test_size, self.began.training
        usual = training.validation_size if self._few_validate else training.test_size
        if test_size != self._usual(usual):
            words.append(f"clips{test_size}")
        return words

    def out(self, source):
        """Where results go.

        Args:
            source: what the model was called.

        Raises:
            ValueError: if a sweep would take the place of a run's own scores.
        """
        out, run = self.config.out, self.model.folder
        if out is None:
            return self._default_out(source)
        if self.config.sweep and run is not None and out.resolve() == run.resolve():
            raise ValueError(
                f"out: expected another folder than the run's own for a sweep, "
                f"received {out}; leave it out"
            )
        return out

    def _default_out(self, source):
        words = "-".join(self.differences())
        if self.model.folder is None:
            name = trained.short_name(pathlib.Path(source).name)
            return pathlib.Path("runs", "evaluate", name, words or "as-trained")
        folder = self.model.folder
        if words or not self.model.results:  # results.json says that a run is complete
            return folder / "evaluate" / (words or "unfinished")
        return folder

    def run(self, out):
        """Score and draw into the folder `out`; returns what results.json says."""
        from trainers.training import pictures

        scores = self._collect()
        result = self._result(scores)
        title = self._title
        sizes = self.settings.clips.batch_size, self.settings.training.test_size
        some = min(sizes)
        clips = self.clips(some, some)
        starts = self.config.starts
        with progress.Phase("drawing"):
            pictures.of_clip(self.model.nem, clips, title, out, starts=starts)
            pictures.of_scores(scores, title, out)
        _write(result, out)
        return result

    def sweep(self, out, objects=OBJECTS, components=COMPONENTS):
        """Score and draw each number of objects with each K into the folder `out`.

        Args:
            objects: numbers of objects in a clip. Where clips are what they are, as in
                a file, it is one row, of all of them.
            components: numbers of components, K.

        Returns:
            what results.json says: `sweep` has `objects`, `components`, how many
            `clips` a cell has, `as_trained`, the objects and K of the training as far
            as they are known, and a table for each score: rows objects, columns K.
        """
        from trainers.training import sweep

        count, clips = self.settings.training.test_size, self.settings.clips
        objects = list(objects) if clips.data is None else [None]
        components = list(components)
        self.model.nem.lanes = self.lanes
        tables = sweep.collect(
            self.model.nem,
            lambda number: self.clips(count, objects=number),
            objects,
            components,
            clips=count,
            seed=clips.seed,
            split=self.config.split,
            starts=self.config.starts,
        )
        found = {
            "objects": objects,
            "components": components,
            "clips": count,
            "as_trained": self._as_trained(objects),
            **{name: table.round(6).tolist() for name, table in tables.items()},
        }
        result = self._about()
        for name in ("objects", "components"):
            del result["settings"][name]
        result["sweep"] = found
        with progress.Phase("drawing"):
            sweep.draw(found, self._title, out)
        _write(result, out)
        return result

    def _as_trained(self, objects):
        """The objects and K of the training; None for a number that is not known."""
        known = self.experiment.name == self.model.name and objects != [None]
        known = known and not self.model.settings.get("data")
        number = self.began.clips.objects if known else None
        return [number, self.model.nem.cell.components]

    @property
    def _title(self):
        """Names the experiment and the source of its data, for pictures."""
        return self.experiment.title + report.of_starts(self.config.starts)

    def score(self):
        """What results.json would say."""
        return self._result(self._collect())

    def _collect(self):
        from trainers.training import scoring

        nem, count = self.model.nem, self.settings.training.test_size
        nem.lanes = self.lanes
        clips = progress.Counted(self.clips(count), "scoring {} clips", count)
        objects = self.settings.clips.objects
        return scoring.collect(nem, clips, objects, self.config.starts)

    def _result(self, scores):
        from trainers.training import scoring

        return {
            **self._about(),
            "terms": list(self.model.nem.loss.weights),  # of the loss
            "test": scoring.summary(scores),
        }

    def _about(self):
        """What results.json says of the model and of the clips, before the scores."""
        trained_with, results = self.model.settings, self.model.results
        clips = {**vars(self.settings.clips), "data": None, "steps": self.steps}
        return {
            **{key: results.get(key) for key in OF_TRAINING},
            "experiment": self.experiment.name,
            "data": self.experiment.source,
            "trained_on": self.model.data,
            "recipe": trained_with.get("recipe", trained_with.get("preset")),
            "seed": trained_with.get("seed"),
            "scored_by": machine.commit(),
            "not_as_in_training": differences.find(
                self.model, self.experiment, self.began
            ),
            "settings": {
                **{name: value for name, value in clips.items() if value is not None},
                "static": self.experiment.still,
                "starts": self.config.starts,
                "split": self.config.split,
            },
        }


def _write(result, folder):
    with replacing(folder / "results.json") as beside:
        beside.write_text(config_file.text(result), encoding="utf-8")


def _over_black(batch):
    """A batch of an experiment whose objects are before black, with that background."""
    import tensorflow as tf

    return {**batch, "background": tf.zeros_like(batch["clean"][:, 0])}
