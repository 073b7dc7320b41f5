"""Score a trained model on clips that it never saw.

    python -m trainers.evaluate runs/flying_shapes/DATE-TIME-seed0
    python -m trainers.evaluate flying_shapes --objects 3 --components 5
    python -m trainers.evaluate flying_mnist --static --steps 50 --starts 4
    python -m trainers.evaluate flying_shapes --objects 5 --components auto
    python -m trainers.evaluate flying_shapes --sweep

MODEL is what is scored: a run folder, a .keras file, or a preset, which is the name of
one that ships with nem_tf or a folder that NeuralEM.save_to_preset wrote. Its clips are
as in its training but for what flags say; a line of the report names what differs. With
MODEL before it, --help has the flags of its clips, too.

AMI leaves out background and overlap, and divides by the larger entropy, as the paper
does. Written are results.json, overview.png, clip.gif, per_step.png (as the paper's
Figure 6) and covered.png (how well pixels are predicted that other objects cover).
With --sweep written are results.json and sweep.png, heat maps of AMI, ARI, purity,
next-step bound and components used over the numbers of objects and of components.
"""

import dataclasses
import pathlib
import sys

from trainers import experiments
from trainers.evaluation import AUTO, Config, Evaluation
from trainers.training import (
    command_line,
    devices,
    errors,
    progress,
    quiet,
    report,
    run_folder,
    settings,
    trained,
)
from trainers.training.option import option
from trainers.training.recording import check_recording

CLIPS = "which clips"  # above their flags
FILES = ("results.json", "overview.png", "clip.gif", "per_step.png", "covered.png")
SWEEP_FILES = ("results.json", "sweep.png")
PRESETS = ", ".join(
    sorted(path.parent.name for path in trained.PRESETS.glob("*/model.json"))
)
MODEL = f"what is scored: a run folder, a .keras file or a preset ({PRESETS})"
OF_TRAINING = {  # settings of clips that change nothing of those that are scored
    "test": ("train_steps", "mirror", "object_size", "fill", "foreground", "flicker"),
    "validation": ("mirror", "object_size", "fill", "foreground", "flicker"),
}


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
    clips = _with_auto(clips)
    groups = [("scoring", Config), ("clips_of_model", clips)]
    return dataclasses.make_dataclass(
        "Flags",
        [
            (name, kind, dataclasses.field(default_factory=kind))
            for name, kind in groups
        ],
    )


def _with_auto(clips):
    """A part of the settings whose --components may also be auto."""
    field = clips.__dataclass_fields__["components"]
    reason = (
        "K, components that share a clip; auto: 8, for models whose components to "
        "spare stay empty"
    )
    auto = option(field.default, reason, kind=_components, often=True, metavar="N")
    space = {"__doc__": clips.__doc__}
    fields = [("components", int, auto)]
    return dataclasses.make_dataclass(
        clips.__name__, fields, bases=(clips,), frozen=True, namespace=space
    )


def _components(text):
    return text if text == AUTO else int(text)


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
        out = evaluation.out(model)
        run_folder.make(out)
    if config.sweep:
        lines, files = report.of_sweep(evaluation.sweep(out)), SWEEP_FILES
    else:
        lines, files = report.of_evaluation(evaluation.run(out)), FILES
    print("\n".join(lines))
    written = [name for name in files if (out / name).is_file()]
    print(f"\n  in {out}: {', '.join(written)}")


if __name__ == "__main__":
    sys.exit(main())
