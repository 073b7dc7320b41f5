"""Score a trained model on clips that it never saw.

    python -m trainers.evaluate runs/flying_shapes/DATE-TIME-seed0
    python -m trainers.evaluate flying_shapes --objects 3 --components 5
    python -m trainers.evaluate flying_mnist --static --steps 50 --starts 4

MODEL is a run folder, a .keras file, or a preset: one that ships with nem_tf, or a
folder that NeuralEM.save_to_preset wrote. What no flag says is as in its training.

AMI leaves out background and overlap, and divides by the larger entropy, as the paper
does. Written are results.json, overview.png, clip.gif, per_step.png (as the paper's
Figure 6) and covered.png (how well pixels are predicted that other objects cover).
"""

import dataclasses
import pathlib
import sys

from trainers import (
    command_line,
    config_file,
    devices,
    experiments,
    faults,
    options,
    quiet,
    run_folder,
    trained,
)
from trainers.options import option

OF_CLIPS = (  # settings of the training that may be changed
    "objects",
    "components",
    "steps",
    "noise",
    "seed",
    "composition",
    "threshold",
    "digit_size",
    "box",
    "speed",
)
OF_DIGITS = (  # flying MNIST alone
    *("digits", "pool", "composition", "threshold"),
    *("digit_size", "box", "speed"),
)
FILES = ("results.json", "overview.png", "clip.gif", "per_step.png", "covered.png")

SCORES = {
    "ami": "AMI (max, the paper's)",
    "ami_arithmetic": "AMI (arithmetic)",
    "ari": "ARI",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What a model is scored on; None is as in its training."""

    on: str | None = option(
        None,
        "clips of another experiment",
        choices=tuple(experiments.CLASSES),
        of_made_clips=True,
    )
    objects: int | None = option(
        None,
        "objects in a clip",
        least=1,
        most=options.MOST_OBJECTS,
        of_made_clips=True,
    )
    components: int | None = option(None, "K", least=1)
    steps: int | None = option(None, "T, EM steps (frames) of a clip", least=1)
    static: bool = option(
        False, "objects that do not move: one frame repeated", of_made_clips=True
    )
    clips: int | None = option(None, "so many", least=1, most=options.MOST_CLIPS)
    noise: float | None = option(None, "chance that a pixel is noisy", least=0, most=1)
    starts: int = option(
        1,
        "random starts of each clip; the one whose predictions were likeliest counts. "
        "4 take four times as long",
        least=1,
    )
    split: str = option("test", "of the clips", choices=("test", "validation"))
    seed: int | None = option(None, "of the clips", least=0, most=2**32 - 1)
    digits: str | None = option(
        None,
        "of flying MNIST",
        choices=("auto", "mnist", "sklearn-digits"),
        of_made_clips=True,
    )
    pool: int | None = option(
        None,
        "digits to draw from; the last stage's if not given",
        least=1,
        of_made_clips=True,
    )
    composition: str | None = option(
        None,
        "of pixels where digits meet",
        choices=("maximum", "sum"),
        of_made_clips=True,
    )
    threshold: float | None = option(
        None,
        "brightness from which a digit covers a pixel",
        least=1 / 255,
        most=1.0,
        of_made_clips=True,
    )
    digit_size: int | None = option(
        None,
        "side of the largest digit, pixels",
        least=1,
        most=20,
        of_made_clips=True,
    )
    box: int | None = option(
        None,
        "side of the square, pixels, that bounces with a digit in its middle; 14 is "
        "MNIST's image, halved; 0: each digit's own",
        least=0,
        of_made_clips=True,
    )
    speed: int | None = option(
        None,
        "pixels per frame that a digit moves along an axis at most",
        least=1,
        of_made_clips=True,
    )
    data: pathlib.Path | None = option(
        None, "score on this HDF5 file of the original instead"
    )
    batch_size: int | None = option(None, "clips at a time", least=1)
    out: pathlib.Path | None = option(
        None,
        "folder for results and figures; default: the run's, or a folder inside it "
        "that says what differs, or for a preset runs/evaluate/PRESET",
    )
    debug: bool = option(False, "show where in the code an error happened")

    def __post_init__(self):
        options.check(self)
        if self.data is not None:
            options.check_recording(self.data)
            options.check_none_made(Config, dataclasses.asdict(self))
        if self.static and self.speed:
            raise ValueError(
                f"speed: expected none with --static, received {self.speed}; leave one "
                "of them out"
            )


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command_line.Parser("trainers.evaluate", __doc__, "MODEL [flags]")
    parser.add_argument("model", metavar="MODEL", help="run, .keras file or preset")
    given = command_line.read_flags(parser, Config, arguments)
    model = given.pop("model")
    config = command_line.checked(parser, Config, given)
    try:
        with faults.of_settings(), quiet.startup():
            devices.check_backend()
            devices.choose(options.Config(strategy="one"))  # before TensorFlow begins
            evaluation = Evaluation(trained.load(model), config)
            out = config.out or evaluation.default_out(model)
            run_folder.make(out)
        result = evaluation.run(out)
    except KeyboardInterrupt:
        print("trainers.evaluate: stopped; no scores were written", file=sys.stderr)
        return faults.CTRL_C
    except Exception as error:
        problem = faults.explain(error, again="run it again")
        if problem is None or config.debug:
            raise
        print(f"trainers.evaluate: {problem.line}", file=sys.stderr)
        return problem.status
    print("\n".join(report(result)))
    written = [name for name in FILES if (out / name).is_file()]
    print(f"\n  in {out}: {', '.join(written)}")
    return 0


class Evaluation:
    """A trained model, and the clips that it is scored on.

    Args:
        model: a `trained.Trained`.
        config: the settings.

    Raises:
        ValueError: if the model does not say what it was trained on and `on` does not
            either, or if the settings do not fit the data.
    """

    def __init__(self, model, config):
        from nem_tf import NEMLoss

        self.model = model
        self.config = config
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
        for setting in OF_DIGITS:
            if getattr(config, setting) is not None and name != "flying_mnist":
                raise ValueError(
                    f"{setting}: expected none with {name}, received "
                    f"{getattr(config, setting)}; leave it out"
                )
        self.began, self.settings = self._settings(name)
        self.experiment = experiments.find(name)(self.settings)
        chosen = devices.choose(
            dataclasses.replace(
                self.settings,
                strategy="one",
                deterministic=False,
                precision="float32",  # a model in bfloat16 is so by itself
            )
        )
        self.lanes = chosen.lanes
        self._check_frames()

    def _settings(self, name):
        """The experiment's settings as in the training, and as they are now."""
        model, config = self.model, self.config
        kind = experiments.find(name)
        same = name == model.name
        settings = dict(model.settings) if same else {}
        recorded = settings.pop("data", None)
        settings.setdefault("components", model.nem.cell.components)
        began = config_file.from_json(kind.Config, settings)
        changes = {"data": config.data}
        made = any(getattr(config, one) for one in options.of_made_clips(Config))
        if recorded and not made:
            changes["data"] = config.data or pathlib.Path(recorded)
        if name == "flying_mnist":
            changes["digits"] = config.digits or self._digits()
        for one in (*OF_CLIPS, "batch_size"):
            if getattr(config, one) is not None:
                changes[one] = getattr(config, one)
        if config.clips is not None:
            changes["test_size"] = config.clips
        changes["train_size"] = max(began.train_size, config.batch_size or 1)
        return began, dataclasses.replace(began, **changes)

    def _check_frames(self):
        """Raise ValueError unless there are such clips, of the model's frame size."""
        self.clips(self.settings.test_size)
        clip = next(iter(self.clips(1, batch_size=1)))["clean"]
        wanted = self.model.nem.cell.frame_shape
        if tuple(clip.shape[2:]) != wanted:
            raise ValueError(
                f"MODEL: expected one for frames of {tuple(clip.shape[2:])}, which the "
                f"clips have, received one for {wanted}; choose other clips with --on "
                "or --data"
            )

    def _digits(self):
        source = self.model.data
        return source if source in ("mnist", "sklearn-digits") else "auto"

    @property
    def still(self):
        """Whether the objects do not move."""
        settings = self.settings
        trained_still = getattr(settings, "static", not getattr(settings, "speed", 1))
        name = self.experiment.name
        return self.config.static or trained_still or name == "static_shapes"

    def clips(self, clips, batch_size=None):
        """The first `clips` clips, with masks of their objects where they are known."""
        settings = {"clips": clips}
        if batch_size:
            settings["batch_size"] = batch_size
        if self.settings.data is None:
            frame = self.model.nem.cell.frame_shape
            settings |= {"size": frame[:2], "masks": True}
            if self.config.static and self.experiment.name != "static_shapes":
                settings["speed"] = 0
            if self.config.pool is not None:
                settings["pool"] = self.config.pool
        return self.experiment.clips(self.config.split, **settings)

    def differences(self):
        """What is not as in the training, as words for a file's name."""
        words = []
        if self.experiment.name != self.model.name:
            words.append(self.experiment.name)
        elif self.model.settings.get("data") and self.settings.data is None:
            words.append("generated")
        words += ["static"] if self.config.static else []
        for name in OF_CLIPS:
            value = getattr(self.settings, name, None)
            if value != getattr(self.began, name, None):
                words.append(f"{name}{value}")
        for name in ("digits", "pool", "data"):
            value = getattr(self.config, name)
            if value is not None:
                words.append(trained.short_name(pathlib.Path(str(value)).stem))
        words += [f"starts{self.config.starts}"] if self.config.starts > 1 else []
        words += [self.config.split] if self.config.split != "test" else []
        if self.settings.test_size != self.began.test_size:
            words.append(f"clips{self.settings.test_size}")
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
        from trainers import pictures

        scores = self._collect()
        result = self._result(scores)
        title = self.experiment.title + _of_starts(self.config.starts)
        some = min(self.settings.batch_size, self.settings.test_size)
        clips = self.clips(some, some)
        pictures.of_clip(self.model.nem, clips, title, out, starts=self.config.starts)
        pictures.of_scores(scores, title, out)
        with run_folder.replacing(out / "results.json") as beside:
            beside.write_text(config_file.text(result), encoding="utf-8")
        return result

    def score(self):
        """What results.json would say."""
        return self._result(self._collect())

    def _collect(self):
        from trainers import scoring

        nem, settings = self.model.nem, self.settings
        nem.lanes = self.lanes
        print(f"scoring {settings.test_size} clips ...", file=sys.stderr)
        clips = self.clips(settings.test_size)
        return scoring.collect(nem, clips, settings.objects, self.config.starts)

    def _result(self, scores):
        from trainers import scoring

        settings, results = self.settings, self.model.results
        return {
            **{key: results.get(key) for key in ("seconds", "updates", "resumes")},
            "experiment": self.experiment.name,
            "data": self.experiment.source,
            "trained_on": self.model.data,
            "preset": self.model.settings.get("preset"),
            "seed": self.model.settings.get("seed"),
            "scored_by": run_folder.commit(),
            "settings": {
                **{
                    name: getattr(settings, name)
                    for name in OF_CLIPS
                    if hasattr(settings, name)
                },
                "static": self.still,
                "starts": self.config.starts,
                "split": self.config.split,
            },
            "test": scoring.summary(scores),
        }


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
        f"{settings['noise']:g}, {test['clips']} {settings['split']} clips{best}\n"
    )
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
        mean = sum(test["per_step"][key]) / settings["steps"]
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
    yield (
        f"  loss {test['loss']:.1f} nats per clip (intra {test['intra']:.1f}, inter "
        f"{test['inter']:.1f} unweighted)\n"
        f"  next-step bound {test['next_step_bound']:.2f} nats per frame"
    )


if __name__ == "__main__":
    sys.exit(main())
