"""Ship a reproduced training as a preset: its best weights, with a model card.

    python -m trainers.paper.make_preset static_shapes ours/static_shapes/rnn-em-k3

The second word is SETTINGS/EXPERIMENT/TRAINING, as in trainers.reproduce's folders.
Among its seeds the one of the lowest validation loss is taken. The scores in the card
are those of the weights as they are shipped, in float16.
"""

import argparse
import pathlib
import sys
import tempfile

from trainers import evaluate, experiments
from trainers.paper import reported
from trainers.paper.archive import Archive, made_on, sample
from trainers.training import command_line, config_file, errors, quiet, trained
from trainers.training.option import as_flags
from trainers.training.settings import MOST_CLIPS


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command_line.Parser(
        "trainers.paper.make_preset",
        __doc__,
        "NAME SETTINGS/EXPERIMENT/TRAINING [flags]",
    )
    parser.add_argument("name", metavar="NAME", help="of the preset, or a new folder")
    parser.add_argument("source", metavar="TRAINING", help="see above")
    for flag, default, meaning in (
        ("--out", "results", "where trainers.reproduce keeps results"),
        ("--runs", "runs/reproduce", "where its run folders are"),
    ):
        parser.add_argument(
            flag, type=pathlib.Path, default=pathlib.Path(default), metavar="DIR",
            help=f"{meaning} ({default})",
        )  # fmt: skip
    parser.add_argument(
        "--clips", type=_clips, default=10_000, metavar="N", help="to score (10000)"
    )
    given = parser.parse_args(arguments)

    def action():
        archive = Archive(given.out, given.runs)
        with errors.of_settings(ValueError, RuntimeError):
            folder = make(given.name, given.source, archive, given.clips)
        files = sorted(path.name for path in folder.iterdir())
        print(f"{folder}: {', '.join(files)}")

    return errors.exit_status("trainers.paper.make_preset", action)


def _clips(text):
    if not text.isdecimal() or not 0 < int(text) <= MOST_CLIPS:
        raise argparse.ArgumentTypeError(f"expected clips, received {text!r}")
    return int(text)


def make(name, source, archive, clips):
    """Write the preset and return its folder.

    Raises:
        ValueError: if the training was not reproduced, or its models are not there.
    """
    settings, training = _find(source)
    seed = archive.best_seed(settings, training)
    if seed is None:
        raise ValueError(
            f"{source}: no run of it in {archive.out}; trainers.reproduce makes some"
        )
    with quiet.startup():
        from nem_tf import preset

        run = trained.load(archive.run(settings, training, seed))
    folder = pathlib.Path(name) if "/" in name else preset.SHIPPED / name
    kind = experiments.find(training.experiment)
    settings_of_run = config_file.of_result(kind.Settings, run.settings)
    about = {
        "experiment": run.name,
        "settings": {**settings_of_run, "test_size": clips},
        "data": run.data,
        "commit": run.commit,
    }
    with tempfile.TemporaryDirectory() as rounded:  # the weights as they will be
        run.nem.save_to_preset(rounded, training=about)
        rounded_model = trained.load(rounded)
    result = evaluate.Evaluation(rounded_model, evaluate.Config(clips=clips)).score()
    result |= {key: run.results[key] for key in ("seconds", "updates")}
    about["results"] = result
    card = _card(folder.name, source, archive, settings, training, seed, result)
    run.nem.save_to_preset(folder, card, about)
    return folder


def _find(source):
    """The settings' name and the `Training` of SETTINGS/EXPERIMENT/TRAINING."""
    trainings = {score.training for part in reported.PARTS.values() for score in part}
    known = {
        f"{settings}/{training.experiment}/{training.name}": (settings, training)
        for training in trainings
        for settings in training.recipes
    }
    if source not in known:
        raise ValueError(
            f"TRAINING: expected one such as {min(known)}, received {source!r}"
        )
    return known[source]


def _card(name, source, archive, settings, training, seed, result):
    test, clips = result["test"], result["settings"]
    score = next(
        score
        for part in reported.PARTS.values()
        for score in part
        if score.training == training and not score.test
    )
    kept = archive.results(settings, score)
    over_seeds = sample(one["test"]["ami"]["last"] for one in kept.values())
    config = archive.read_config(settings, training, seed)
    kind = experiments.find(training.experiment)
    names = {**kind.recipes[settings], **training.settings}
    usual = kind.configured().flat()
    used = {**usual, **config["settings"]}  # an older run lacks newer settings
    chosen = {name: used[name] for name in names}
    flags = " ".join(as_flags(chosen))
    predicts = "and predicts the next frame"
    if training.experiment == "static_shapes":
        predicts = "and predicts them without their noise"
    which_seed = (
        f"Of the seeds {', '.join(map(str, kept))} the one with the lowest validation "
        f"loss, {seed}."
        if len(kept) > 1
        else f"One seed, {seed}."
    )
    lines = [
        f"# {name}",
        "",
        f"`NeuralEM.from_preset({name!r})`: groups the pixels of "
        f"{kind.size[0]} x {kind.size[1]} frames by object "
        f"{predicts}, without having seen labels.",
        "",
        "## Data",
        "",
        f"{training.experiment.replace('_', ' ')} of `nem_tf.data`, source "
        f"{config['data']}: {clips['objects']} objects, noise {clips['noise']:g}; "
        f"{config['settings']['train_size']} training clips.",
        "",
        "## Training",
        "",
        f"`python -m trainers.{training.experiment} --recipe {settings} --seed {seed}` "
        f"with `{flags}`.",
        f"K = {clips['components']}, T = {clips['steps']}. {result['updates']} updates "
        f"in {result['seconds'] / 60:.1f} minutes on "
        f"{made_on(config)}. {which_seed} Weights are rounded to float16.",
        "",
        "## Scores",
        "",
        f"`python -m trainers.evaluate {name}`, {test['clips']} test clips, these "
        "weights:",
        "",
        "| score | last step | mean over steps |",
        "|---|---|---|",
        *(
            f"| {title} | {test[key]['last']:.3f} | {test[key]['mean']:.3f} |"
            for key, title in evaluate.SCORES.items()
        ),
        "",
        f"AMI at the last step over the seeds of this training ({over_seeds.seeds}): "
        f"{over_seeds}. The paper: {kind.paper}.",
        "",
        "## Limits",
        "",
        _LIMITS[training.experiment],
    ]
    return "\n".join(lines) + "\n"


_LIMITS = {
    "static_shapes": "Binary images of 28 x 28 pixels with the paper's three outlined "
    "shapes, on a black background. Identical shapes that cover each other are told "
    "apart less well, and pixels that several objects share belong to one of them at "
    "random. It is not a model of natural images.",
    "flying_shapes": "Binary video of 28 x 28 pixels with the paper's three outlined "
    "shapes, at most one pixel per frame fast. Its first three frames are grouped less "
    "well. It is not a model of natural video.",
    "flying_mnist": "Grey video of 24 x 24 pixels with halved MNIST digits on a black "
    "background, at most one pixel per frame fast. Its first frames are grouped less "
    "well, and so are digits that do not move apart. It is not a model of natural "
    "video.",
}


if __name__ == "__main__":
    sys.exit(main())
