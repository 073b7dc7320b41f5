"""Ship a reproduced training as a preset: its best weights, with a model card.

    python -m trainers.paper.make_preset static_shapes ours/static_shapes/rnn-em-k3

The second word is RECIPE/EXPERIMENT/TRAINING, as in trainers.reproduce's folders.
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
from trainers.paper.tables import spread
from trainers.training import (
    command_line,
    config_file,
    errors,
    quiet,
    report,
    trained,
)
from trainers.training.option import as_flags
from trainers.training.parts import MOST_CLIPS


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command_line.Parser(
        "trainers.paper.make_preset",
        __doc__,
        "NAME RECIPE/EXPERIMENT/TRAINING [flags]",
    )
    parser.add_argument("name", metavar="NAME", help="of the preset, or a new folder")
    parser.add_argument("source", metavar="TRAINING", help="see below")
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
        try:
            with errors.of_settings(ValueError):
                folder = make(given.name, given.source, archive, given.clips)
        except RuntimeError as error:  # no MNIST to score it on
            raise errors.Failed(errors.sentence(error)) from error
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
    recipe, training = _find(source)
    seed = archive.best_seed(recipe, training)
    if seed is None:
        raise ValueError(
            f"{source}: no run of it in {archive.out}; trainers.reproduce makes some"
        )
    with quiet.startup():
        from nem_tf import preset

        run = trained.load(archive.run(recipe, training, seed))
    folder = pathlib.Path(name) if "/" in name else preset.SHIPPED / name
    kind = experiments.find(training.experiment)
    settings = config_file.of_result(kind.Settings, run.settings)
    about = {
        "experiment": run.name,
        "settings": {**settings, "test_size": clips},
        "data": run.data,
        "commit": run.commit,
    }
    with tempfile.TemporaryDirectory() as rounded:  # the weights as they will be
        run.nem.save_to_preset(rounded, training=about)
        rounded_model = trained.load(rounded)
    result = evaluate.Evaluation(rounded_model, evaluate.Config(clips=clips)).score()
    result |= {key: run.results[key] for key in ("seconds", "updates")}
    about["results"] = result
    card = _card(folder.name, archive, recipe, training, seed, result)
    run.nem.save_to_preset(folder, card, about)
    return folder


def _find(source):
    """The recipe's name and the `Training` of RECIPE/EXPERIMENT/TRAINING."""
    trainings = {score.training for part in reported.PARTS.values() for score in part}
    known = {
        f"{recipe}/{training.experiment}/{training.name}": (recipe, training)
        for training in trainings
        for recipe in training.recipes
    }
    if source not in known:
        raise ValueError(
            f"TRAINING: expected one such as {min(known)}, received {source!r}"
        )
    return known[source]


def _card(name, archive, recipe, training, seed, result):
    test, clips = result["test"], result["settings"]
    score = next(
        score
        for part in reported.PARTS.values()
        for score in part
        if score.training == training and not score.test
    )
    kept = archive.results(recipe, score)
    over_seeds = sample(one["test"]["ami"]["last"] for one in kept.values())
    config = archive.read_config(recipe, training, seed)
    kind = experiments.find(training.experiment)
    usual = kind.configured().flat()
    used = {**usual, **config["settings"]}  # an older run lacks newer settings
    flags, own = (
        " ".join(as_flags({name: used[name] for name in names}))
        for names in (kind.recipes[recipe], training.flags(recipe))
    )
    task, limits = _ABOUT[training.experiment]
    which = f"Seed {seed}, the only one."
    if len(kept) > 1:
        seeds = ", ".join(map(str, kept))
        which = f"Seed {seed}: of {seeds} it has the lowest validation loss."
    digits = ""
    if config["data"] != "generated":
        digits = f' with `digits="{config["data"]}"`'
    lines = [
        f"# {name}",
        "",
        f"Groups the pixels of {kind.size[0]} x {kind.size[1]} {task}. It was trained "
        "without labels.",
        "",
        "```python",
        f'nem = NeuralEM.from_preset("{name}")',
        "```",
        "",
        "## Data",
        "",
        f"`nem_tf.data.{training.experiment}`{digits}: {clips['objects']} objects, "
        f"noise {clips['noise']:g}, {config['settings']['train_size']} training clips.",
        "",
        "## Training",
        "",
        f"`python -m trainers.{training.experiment} --recipe {recipe} {own} "
        f"--seed {seed}` with T = {clips['steps']}: {result['updates']} updates, "
        f"{result['seconds'] / 60:.1f} minutes on {made_on(config)}. {which} Weights "
        "are rounded to float16.",
        "",
        f"`--recipe {recipe}` stands for `{flags}`.",
        "",
        "## Scores",
        "",
        f"These weights on {test['clips']} test clips "
        f"(`python -m trainers.evaluate {name}`):",
        "",
        "| score | last step | mean over steps |",
        "|---|---|---|",
        *(
            f"| {title} | {test[key]['last']:.3f} | {test[key]['mean']:.3f} |"
            for key, title in report.SCORES.items()
        ),
        "",
        f"AMI at the last step, all seeds of this training ({over_seeds.seeds}): "
        f"{spread(over_seeds)}. The paper: {kind.paper}.",
        "",
        "## Limits",
        "",
        limits,
    ]
    return "\n".join(lines) + "\n"


_ABOUT = {  # what it does to frames, and what it is not for
    "static_shapes": (
        "binary images by object, and predicts the images without their noise",
        "The model knows the paper's three outlined shapes on black. Of two identical "
        "shapes that overlap it tells the parts apart less well. A pixel that several "
        "objects share goes to one of them at random. Natural images are out of reach.",
    ),
    "flying_shapes": (
        "binary video by object, and predicts the next frame",
        "The model knows the paper's three outlined shapes on black, moving by at most "
        "one pixel a frame. It groups the first three frames less well. Natural video "
        "is out of reach.",
    ),
    "flying_mnist": (
        "grey video by object, and predicts the next frame",
        "The model knows MNIST digits of half the size on black, moving by at most one "
        "pixel a frame. It groups the first frames less well, and digits that do not "
        "move apart. Natural video is out of reach.",
    ),
}


if __name__ == "__main__":
    sys.exit(main())
