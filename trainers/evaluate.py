"""Score a trained model on clips that it never saw.

    python -m trainers.evaluate runs/flying_shapes/DATE-TIME-seed0
    python -m trainers.evaluate flying_shapes --objects 3 --components 5
    python -m trainers.evaluate flying_mnist --static --steps 50 --starts 4

MODEL is what is scored: a run folder, a .keras file, or a preset, which is the name of
one that ships with nem_tf or a folder that NeuralEM.save_to_preset wrote. Its clips are
as in its training but for what flags say; a line of the report names what differs. With
MODEL before it, --help has the flags of its clips, too.

AMI leaves out background and overlap, and divides by the larger entropy, as the paper
does. Written are results.json, overview.png, clip.gif, per_step.png (as the paper's
Figure 6) and covered.png (how well pixels are predicted that other objects cover).
"""

import dataclasses
import math
import pathlib
import re
import sys

from trainers import experiments
from trainers.training import (
    command_line,
    config_file,
    devices,
    differences,
    errors,
    machine,
    parts,
    progress,
    quiet,
    run_folder,
    settings,
    trained,
)
from trainers.training import report as closing
from trainers.training.files import replacing
from trainers.training.option import as_word, check, option
from trainers.training.parts import MOST_CLIPS
from trainers.training.recording import check_recording

CLIPS = "which clips"  # above their flags
FILES = ("results.json", "overview.png", "clip.gif", "per_step.png", "covered.png")
PRESETS = ", ".join(
    sorted(path.parent.name for path in trained.PRESETS.glob("*/model.json"))
)
MODEL = f"what is scored: a run folder, a .keras file or a preset ({PRESETS})"
SCORES = {  # of the table
    "ami": "AMI (max, the paper's)",
    "ami_arithmetic": "AMI (arithmetic)",
    "ari": "ARI",
}
PATHS = "data", "labels"  # settings that name a file or a folder
OF_TRAINING = {  # settings of clips that change nothing of those that are scored
    "test": ("train_steps", "object_size", "fill", "foreground"),
    "validation": ("object_size", "fill", "foreground"),
}


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
        "how many are scored; those of the training if not given",
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
    split: str = option(
        "test", "of the clips; test if not given", choices=("test", "validation")
    )
    debug: bool = option(False, "show where in the code an error happened")

    def __post_init__(self):
        check(self)


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command_line.Parser("trainers.evaluate", __doc__, "MODEL [flags]")
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    experiment = _experiment_of(sys.argv[1:] if arguments is None else arguments)
    flags = _flags(experiment)
    given = command_line.read_flags(parser, flags, arguments, defaults=False)
    model = given.pop("model")
    of_scoring = {field.name for field in dataclasses.fields(Config)}
    with parser.refusing(given):
        config = Config(**{key: given[key] for key in given.keys() & of_scoring})
        changed = {key: given[key] for key in given if key not in of_scoring}
        _check_changed(changed, experiment, config.split)
    return errors.exit_status(
        "trainers.evaluate",
        lambda: _main(model, config, changed),
        debug=config.debug,
        stopped="stopped; no scores were written",
    )


def _experiment_of(arguments):
    """The experiment whose clips a command line is about, as far as it can be told.

    Nothing is refused here: the model is read again, and then whole.
    """
    words = list(arguments)
    on = [word.partition("=")[2] for word in words if word.startswith("--on=")]
    on += [
        after for word, after in zip(words, words[1:], strict=False) if word == "--on"
    ]
    names = [*on, *(trained.experiment_of(word) for word in words)]
    known = [name for name in names if name in experiments.CLASSES]
    return experiments.find(known[0]) if known else None


def _flags(experiment):
    """The settings that have flags: of the scoring, and of an experiment's clips.

    Where nobody says which, of all of them: the model is what will be refused.
    """
    if experiment is not None:
        clips = settings.parts_of(experiment.Settings)["clips"]
    else:
        every = map(experiments.find, experiments.CLASSES)
        kinds = dict.fromkeys(settings.parts_of(x.Settings)["clips"] for x in every)
        clips = dataclasses.make_dataclass(
            "Clips", [], bases=tuple(kinds), frozen=True, namespace={"__doc__": CLIPS}
        )
    groups = [("scoring", Config), ("clips_of_model", clips)]
    return dataclasses.make_dataclass(
        "Flags",
        [
            (name, kind, dataclasses.field(default_factory=kind))
            for name, kind in groups
        ],
    )


def _check_changed(changed, experiment, split):
    """Raise ValueError unless clips of such settings can be had, before any is."""
    for name in OF_TRAINING[split]:
        if name in changed:
            raise ValueError(
                f"{name}: expected none, since it changes nothing of {split} clips and "
                f"of a trained model, received {changed[name]}; leave it out"
            )
    if changed.get("data") is not None:
        if isinstance(changed["data"], pathlib.Path):  # else its experiment looks
            check_recording(changed["data"])
        if experiment is not None:
            settings.check_none_made(experiment.Settings, changed)
        if "objects" in changed and (experiment is None or experiment.makes):
            raise ValueError(
                "objects: expected none with --data, whose clips are what they are, "
                f"received {changed['objects']}; leave it out"
            )


def _main(model, config, changed):
    phase = progress.Phase("importing TensorFlow")
    with errors.of_settings(), phase, quiet.startup():
        devices.check_backend()
        devices.choose(settings.Settings.of(strategy="one"))  # before TensorFlow begins
        phase.text = f"reading {model}"
        evaluation = Evaluation(trained.load(model), config, **changed)
        out = config.out or evaluation.default_out(model)
        run_folder.make(out)
    result = evaluation.run(out)
    print("\n".join(report(result)))
    written = [name for name in FILES if (out / name).is_file()]
    print(f"\n  in {out}: {', '.join(written)}")


class Evaluation:
    """A trained model, and the clips that it is scored on.

    Args:
        model: a `trained.Trained`.
        config: the settings of the scoring.
        changed: settings of the clips that are not as in the training, by name.

    Raises:
        ValueError: if the model does not say what it was trained on and `on` does not
            either, or if the settings do not fit the data.
    """

    def __init__(self, model, config=None, **changed):
        from nem_tf import NEMLoss, memory

        self.model = model
        self.config = config = config or Config()
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
        memory.check(clips.components, pixels, "a smaller --batch-size or --steps")
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
        if self.config.clips is not None:
            changed["test_size"] = self.config.clips
        batch_size = changed.get("batch_size", 1)
        changed["train_size"] = max(began.training.train_size, batch_size)
        for name in ("epochs", "learning_rates"):  # of stages that there may not be
            changed[name] = getattr(began.training, name)[-1:]
        return began, began.replaced(**changed)

    def _count(self):
        """Settle how many clips are scored, of an experiment that cannot make more."""
        asked, found = self.config.clips, self.settings.training.test_size
        if self._few_validate:
            size = asked or self.settings.training.validation_size
            self.settings = self.settings.replaced(test_size=size)
        elif asked is not None and found < asked:
            raise ValueError(
                f"clips: expected at most {found}, which test has, received {asked}; "
                "ask for fewer"
            )

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

    def clips(self, clips, batch_size=None):
        """The first `clips` clips, with masks of their objects where they are known."""
        arguments = {"clips": clips}
        if batch_size:
            arguments["batch_size"] = batch_size
        if self.settings.clips.data is None:
            frame = self.model.nem.cell.frame_shape
            arguments |= {"size": frame[:2], "masks": True}
        clips = self.experiment.clips(self.config.split, **arguments)
        if self.model.nem.cell.layered and "background" not in clips.element_spec:
            clips = clips.map(_over_black)
        return clips

    def differences(self):
        """What is not as in the training, as words for a file's name."""
        words = []
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
        if test_size != usual:
            words.append(f"clips{test_size}")
        return words

    def default_out(self, source):
        """Where results go if nobody says."""
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
        title = self.experiment.title + _of_starts(self.config.starts)
        sizes = self.settings.clips.batch_size, self.settings.training.test_size
        some = min(sizes)
        clips = self.clips(some, some)
        starts = self.config.starts
        with progress.Phase("drawing"):
            pictures.of_clip(self.model.nem, clips, title, out, starts=starts)
            pictures.of_scores(scores, title, out)
        with replacing(out / "results.json") as beside:
            beside.write_text(config_file.text(result), encoding="utf-8")
        return result

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

        trained_with, results = self.model.settings, self.model.results
        clips = {**vars(self.settings.clips), "data": None}
        test = scoring.summary(scores)
        clips["steps"] = len(
            test["per_step"]["next_step_bound"]
        )  # which the split decides, too
        return {
            **{key: results.get(key) for key in ("seconds", "updates", "resumes")},
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
                "static": self.settings.clips.still,
                "starts": self.config.starts,
                "split": self.config.split,
            },
            "terms": list(self.model.nem.loss.weights),  # of the loss
            "test": test,
        }


def _over_black(batch):
    """A batch of an experiment whose objects are before black, with that background."""
    import tensorflow as tf

    return {**batch, "background": tf.zeros_like(batch["clean"][:, 0])}


def _of_starts(starts):
    return f", the likeliest of {starts} starts" if starts > 1 else ""


def report(result):
    """The scores as lines of a table."""
    test, settings = result["test"], result["settings"]
    still = ", static" if settings["static"] else ""
    best = _of_starts(settings["starts"])
    objects = f"{settings['objects']} objects, " if "ami" in test else ""
    yield (
        f"\n{result['experiment']} ({result['data']}){still}: {objects}"
        f"K = {settings['components']}, T = {settings['steps']}, noise "
        f"{settings['noise']:g}, {test['clips']} {settings['split']} clips{best}"
    )
    if result["not_as_in_training"]:
        yield f"  {differences.as_line(result['not_as_in_training'])}"
    yield ""
    if "ami" in test:
        yield f"  {'':24}{'last step':>18}{'mean':>8}   quartiles, last step"
    for key, name in SCORES.items():
        if key not in test:  # there are no labels
            continue
        curve = test[key]
        yield (
            f"  {name:24}{curve['last']:10.3f} ± {curve['last_standard_error']:.3f}"
            f"{curve['mean']:8.3f}   {curve['lower_quartile'][-1]:.3f} to "
            f"{curve['upper_quartile'][-1]:.3f}"
        )
    for key, name in (
        ("confidence", "confidence"),
        ("distinct_components", "distinct components"),
        ("purity", "purity per object"),
    ):
        if key not in test:
            continue
        mean = sum(test["per_step"][key]) / len(test["per_step"][key])
        yield f"  {name:24}{test[key]:10.3f}{'':8}{mean:8.3f}"
    for key, name in (
        ("covered", "drawn, if covered"),
        ("visible", "drawn, if visible"),
        ("foreign", "drawn, of other objects"),
    ):
        curve = test.get("covered", {}).get(key)
        if curve:  # a single object is covered by none
            mean = sum(curve) / len(curve)
            yield f"  {name:24}{curve[-1]:10.3f}{'':8}{mean:8.3f}"
    yield from closing.over_background(test)
    terms = ", ".join(f"{name} {test[name]:.1f}" for name in result["terms"])
    layered = "psnr" in test
    yield (
        f"  loss {test['loss']:.1f} nats per clip ({terms}, unweighted)\n"
        f"  next-step {'error' if layered else 'bound'} {test['next_step_bound']:.2f} "
        "nats per frame"
    )


if __name__ == "__main__":
    sys.exit(main())
