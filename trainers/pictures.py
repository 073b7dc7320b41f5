"""The pictures in a folder of results."""

import numpy as np

from nem_tf import adjusted_mutual_information, graphs, matching, plots
from nem_tf.restarts import likeliest
from trainers import scoring

AREAS = {
    "visible": "of the object, in view",
    "covered": "of the object, covered by others",
    "foreign": "of other objects",
}


def of_clip(nem, clips, title, folder, names=("overview", "clip"), starts=1):
    """Picture and animation of a typical clip: the median of one batch by AMI.

    Args:
        nem: the model.
        clips: dataset; its first batch is looked at.
        title: names the experiment and the source of its data.
        folder: a path or a `RunFolder`.
        names: of the two files, .png and .gif.
        starts: random starts of each clip, of which the likeliest is looked at.
    """
    batch = {name: np.asarray(value) for name, value in next(iter(clips)).items()}
    outputs = likeliest(nem, batch, starts)
    scores = adjusted_mutual_information(
        batch["groups"][:, -1], outputs["gamma"][:, -1]
    )
    clip = int(np.argsort(scores)[len(scores) // 2])
    title = f"{title}: a typical test clip, AMI {scores[clip]:.2f} at the last step"
    frames, noisy = batch["clean"][clip, 1:], batch["noisy"][clip]
    psi, gamma = outputs["psi"][clip], outputs["gamma"][clip]
    order = matching.order_of_objects(batch["groups"][clip, 1:], gamma)
    psi, gamma = psi[:, order], gamma[:, order]
    figure = plots.overview(
        frames, psi, gamma, noisy=noisy, title=title, max_columns=10
    )
    figure.savefig(folder / f"{names[0]}.png")
    plots.animation(folder / f"{names[1]}.gif", frames, psi, gamma, noisy=noisy)


def of_scores(scores, title, folder):
    """per_step.png and, where masks are known, covered.png.

    Args:
        scores: what `scoring.collect` returned.
        title, folder: see `of_clip`.
    """
    figure = graphs.per_step(scores["ami"], f"{title}: {len(scores['ami'])} clips")
    figure.savefig(folder / "per_step.png")
    if "covered" not in scores:
        (folder / "covered.png").unlink(missing_ok=True)  # of an earlier evaluation
        return
    shares = scoring.shares(scores)
    figure = graphs.curves(
        {
            meaning: (np.arange(1, len(shares[area]) + 1), shares[area])
            for area, meaning in AREAS.items()
            if area in shares
        },
        f"{title}: what an object's component draws",
        x_label="step",
        y_label="share of pixels drawn",
    )
    figure.savefig(folder / "covered.png")
