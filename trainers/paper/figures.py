"""Figures 3 to 7 of the paper, and the time to its score, from reproduced runs.

What needs a model (Figures 3, 4 and 7) is drawn where its run folder is at hand; else
the picture that was kept before stays.
"""

import sys

import numpy as np

from nem_tf import data, plots
from trainers import evaluate
from trainers.paper import reported
from trainers.training import pictures, quiet, trained

IMAGES = 6  # of Figure 3


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
    yield from _kept(_groupings, archive, folder / "figure3.png", "Figure 3")
    yield from _time_to_score(archive, folder, part)


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
        caption = f"{reported.TITLES[part]}, {recipe} settings"

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
    """Figure 5."""
    path = folder / "figure5.png"
    series = {}
    for recipe in reported.RECIPES:
        for score in reported.PARTS[part]:
            tests = archive.results(recipe, score).values()
            if tests:
                settings = score.training.settings
                task = score.label.split(",")[0]
                name = f"{task}, K = {settings['components']} ({recipe})"
                bound = np.mean([one["test"]["next_step_bound"] for one in tests])
                series.setdefault(name, []).append((settings["objects"], bound))
    if series:
        figure = plots.curves(
            {name: tuple(np.array(points).T) for name, points in series.items()},
            "Prediction error against the number of objects (Figure 5)",
            x_label="objects",
            y_label="next-step bound, nats per frame",
            limits=None,
        )
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
            title = f"{reported.TITLES[part]}: {score.label}, {recipe} settings"
            path = folder / f"{part}-{recipe}.png"
            plots.quartiles(*mean, title).savefig(path)
            yield title, path


def _time_to_score(archive, folder, part):
    """Validation AMI against minutes of training, for each recipe that was run."""
    groups = {
        (recipe, score): archive.by_machine(
            recipe, score.training, archive.begun(recipe, score.training)
        )
        for recipe in reported.RECIPES
        for score in reported.PARTS[part]
        if not score.test
    }
    machines = {where for seeds in groups.values() for where in seeds}
    series, level = {}, {}
    for (recipe, score), by_machine in groups.items():
        for where, seeds in by_machine.items():
            also = f"; {where}" if len(machines) > 1 else ""
            series |= _learning(archive, recipe, score, seeds, also)
        if by_machine and score.paper:
            level[f"the paper, {score.label}: {score.paper[0]:.3f}"] = score.paper[0]
    if series:
        path = folder / f"time_to_score-{part}.png"
        what = part.replace("_", " ")
        where = f"; {machines.pop()}" if len(machines) == 1 else ""
        lowest = min(band.min() for _, _, band, _ in series.values())
        figure = plots.curves(
            series,
            f"Time to the paper's score, {what}{where}",
            x_label="minutes of training (logarithmic)",
            y_label="validation AMI, last step (band: all seeds)",
            lines=level,
            limits=(np.floor(10 * lowest) / 10, 1.02),
            log_x=True,
        )
        figure.savefig(path)
        yield "Validation AMI against minutes of training", path


def _learning(archive, recipe, score, seeds, also=""):
    """Minutes and AMI after each epoch, means over seeds, in a curve per stage.

    Each stage is validated on clips of its own digits. `also` is said of each curve.
    """
    logs = [archive.log(recipe, score.training, seed) for seed in seeds]
    count = "one seed" if len(logs) == 1 else f"{len(logs)} seeds"
    if not set(seeds) <= set(archive.seeds(recipe, score.training)):
        count += ", not ended" if len(logs) == 1 else ", not all ended"
    name = f"{recipe}: {score.label.split(', as in')[0]}"
    pools = score.training.pools
    found = {}
    for stage, pool in enumerate(pools, 1):
        epochs = [
            [
                (seconds / 60, ami)
                for seconds, ami, of in zip(
                    log["seconds"], log["val_ami"], log["stage"], strict=True
                )
                if of == stage
            ]
            for log in logs
        ]
        shortest = min(map(len, epochs))
        if not shortest:
            continue
        points = np.array([one[:shortest] for one in epochs])  # (seeds, epochs, 2)
        minutes, ami = points[..., 0], points[..., 1]
        which = f", while on {pool} digits" if len(pools) > 1 else ""
        mean, band = ami.mean(axis=0), (ami.min(axis=0), ami.max(axis=0))
        found[f"{name}{which} ({count}{also})"] = (minutes.mean(axis=0), mean, *band)
    return found


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
