"""Figures 3 to 7 of the paper, and the time to its score, from reproduced runs.

What needs a model (Figures 3, 4 and 7) is drawn where its run folder is at hand; else
the picture that was kept before stays.
"""

import sys

import numpy as np

from nem_tf import data, plots
from trainers import evaluate
from trainers.paper import learning, reported
from trainers.training import pictures, quiet, trained

IMAGES = 6  # of Figure 3
GROUPINGS = "Figure 3: groupings of the first test images"


def draw(archive, parts):
    """Draw the figures of some parts.

    Args:
        archive: an `archive.Archive`; figures go to its `out / "figures"`.
        parts: keys of `reported.PARTS`.

    Returns:
        dict from parts to lists of (caption, path).
    """
    folder = archive.out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        part: list(_OF_PART[part](archive, folder, part))
        for part in parts
        if part in _OF_PART
    }


def _static_shapes(archive, folder, part):
    yield from _time_to_score(archive, folder, part)
    yield from _kept(_groupings, archive, folder / "figure3.png", GROUPINGS)


def _groupings(archive, path):
    """Figure 3: the first images of the test set, not chosen, and their groupings."""
    found = {}
    for recipe in reported.RECIPES:
        for score in reported.PARTS["static_shapes"]:
            settings = score.training.settings
            if settings["components"] != 3:
                continue
            run = _best_run(archive, recipe, score)
            if run is None:
                continue
            evaluation = evaluate.Evaluation(run, seed=0)
            batch = _batch(evaluation, IMAGES)
            gamma = run.nem.predict_on_batch(batch)["gamma"][:, -1]
            name = settings["model"].upper()
            found[f"{name}\n({recipe})"] = gamma
    if not found:
        return False
    title = "Static shapes: input and grouping after the last step, first test images"
    images, groups = batch["clean"][:, -1], batch["groups"][:, -1]
    plots.groupings(images, found, title, groups=groups).savefig(path)
    return True


def _sequence(archive, folder, part):
    """Figures 4 and 7: one clip, for each recipe that was run."""
    score = reported.PARTS[part][0]
    for recipe in reported.RECIPES:
        path = folder / f"{part}-{recipe}.png"
        caption = f"{reported.TITLES[part]}, recipe {recipe}"

        def clip(archive, path, recipe=recipe):
            run = _best_run(archive, recipe, score)
            if run is None:
                return False
            evaluation = evaluate.Evaluation(run, **score.test)
            clips = evaluation.clips(64, batch_size=64)
            title = f"{reported.TITLES[part]} ({evaluation.experiment.source})"
            pictures.of_clip(run.nem, clips, title, folder, names=(path.stem,) * 2)
            return True

        yield from _kept(clip, archive, path, caption)


def _prediction(archive, folder, part):
    """Figure 5, of the recipe that has most of it."""
    found = {
        recipe: [
            (x, y) for x in reported.PARTS[part] if (y := archive.results(recipe, x))
        ]
        for recipe in reported.RECIPES
    }
    recipe = max(found, key=lambda name: len(found[name]))
    series: dict[str, list] = {}
    for score, tests in found[recipe]:
        settings = score.training.settings
        name = f"{score.label.split(',')[0]}, K = {settings['components']}"
        bounds = [one["test"]["next_step_bound"] for one in tests.values()]
        series.setdefault(name, []).append((settings["objects"], np.mean(bounds)))
    if series:
        figure = plots.curves(
            {name: tuple(np.array(points).T) for name, points in series.items()},
            f"{reported.TITLES[part]}, recipe {recipe}",
            x_label="objects",
            y_label="bound, nats per frame (lower is better)",
            limits=None,
        )
        path = folder / "figure5.png"
        figure.savefig(path)
        yield "Figure 5", path


def _fifty_steps(archive, folder, part):
    """Figure 6: mean over seeds of the mean and the quartiles over clips."""
    (score,) = reported.PARTS[part]
    for recipe in reported.RECIPES:
        tests = [one["test"]["ami"] for one in archive.results(recipe, score).values()]
        if tests:
            keys = ("per_step", "lower_quartile", "upper_quartile")
            mean = [np.mean([test[key] for test in tests], axis=0) for key in keys]
            title = f"{reported.TITLES[part]}: recipe {recipe}, n = {len(tests)}"
            path = folder / f"{part}-{recipe}.png"
            plots.quartiles(*mean, title).savefig(path)
            yield title, path


def _time_to_score(archive, folder, part):
    """Validation AMI against minutes of training, in four curves at most."""
    curves = learning.few(learning.curves(archive, part))
    if not curves:
        return
    recipes = {one.recipe for one in curves}
    machines = {one.where for one in curves}
    series, levels = {}, {}
    for one in curves:
        name = one.name(len(recipes) > 1, len(machines) > 1)
        series[name] = (one.minutes, *one.ami)
        if one.score.paper:
            levels.setdefault(one.score.paper[0], []).append(name)
    common = [f"recipe {x}" for x in recipes if len(recipes) == 1]
    common += [x for x in machines if len(machines) == 1]
    what = reported.TITLES[part].partition(" (")[0]
    lowest = min(one.ami[1].min() for one in curves)
    figure = plots.curves(
        series,
        ", ".join([f"{what}: AMI while training", *common]),
        x_label="minutes (logarithmic)",
        y_label="validation AMI, last step (band: all seeds)",
        lines={
            f"the paper {level:.3f}": (level, *names) if len(names) == 1 else level
            for level, names in levels.items()
        },
        limits=(np.floor(10 * lowest) / 10, 1.02),
        log_x=True,
    )
    path = folder / f"time_to_score-{part}.png"
    figure.savefig(path)
    yield "Validation AMI against minutes of training", path


def _kept(function, archive, path, caption):
    """The figure at `path`, drawn again if model and data are at hand."""
    try:
        drawn = function(archive, path)
    except data.MNISTNotFound as error:
        print(f"{path.name} is not drawn again: {error}", file=sys.stderr)
        drawn = False
    if drawn or path.is_file():
        yield caption, path


def _best_run(archive, recipe, score):
    """The trained model of the best seed on validation, or None."""
    seed = archive.best_seed(recipe, score.training)
    if seed is None:
        return None
    folder = archive.run(recipe, score.training, seed)
    if not (folder / trained.MODEL).is_file():
        return None
    with quiet.startup():
        return trained.load(folder)


def _batch(evaluation, clips):
    clips = evaluation.clips(clips, batch_size=clips)
    return {name: np.asarray(value) for name, value in next(iter(clips)).items()}


_OF_PART = {
    "static_shapes": _static_shapes,
    "table1": _time_to_score,
    "figure4": _sequence,
    "figure5": _prediction,
    "figure6": _fifty_steps,
    "flying_mnist": _time_to_score,
    "figure7": _sequence,
}
