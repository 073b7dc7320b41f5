"""The pictures in a folder of results."""

import numpy as np

from nem_tf import inference, plots, scores
from nem_tf.inference import likeliest
from trainers.training import scoring

AREAS = {
    "visible": "of the object, in view",
    "covered": "of the object, covered by others",
    "foreign": "of other objects",
}


def of_clip(nem, clips, title, folder, names=("overview", "clip"), starts=1):
    """Picture and animation of a typical clip: the median of one batch by AMI.

    Without labels, by how well its frames were predicted.

    Args:
        nem: the model.
        clips: dataset; its first batch is looked at.
        title: names the experiment and the source of its data.
        folder: a path or a `RunFolder`.
        names: of the two files, .png and .gif.
        starts: random starts of each clip, of which the likeliest is looked at.
    """
    batch = {name: np.asarray(value) for name, value in next(iter(clips)).items()}
    outputs = likeliest(nem.predict_on_batch, batch, starts, nem.cell.likelihood)
    gamma = outputs["gamma"]
    title = f"{title}: a typical test clip"
    labels = batch.get("groups")
    if labels is None:
        fits = inference.fit(batch["noisy"], outputs["psi"], nem.cell.likelihood)
    else:
        fits = scores.labelled_ami(labels[:, -1], gamma[:, -1])
    scored = np.count_nonzero(np.isfinite(fits))  # NaN is sorted to the end
    clip = int(np.argsort(fits)[scored // 2])
    if labels is not None and scored:
        title = f"{title}, AMI {fits[clip]:.2f} at the last step"
    x, noisy = batch["clean"][clip, 1:], batch["noisy"][clip]
    psi, gamma = outputs["psi"][clip], of_objects(nem.cell, batch, gamma, clip)
    if np.array_equal(noisy[1:], x[:-1]):
        noisy = None  # the input, one frame earlier
    if labels is not None:
        order = scores.order_of_objects(labels[clip, 1:], gamma)
        psi, gamma = psi[:, order], gamma[:, order]
    figure = plots.overview(x, psi, gamma, noisy=noisy, title=title, max_columns=10)
    figure.savefig(folder / f"{names[0]}.png")
    plots.animation(folder / f"{names[1]}.gif", x, psi, gamma, noisy=noisy)


def of_objects(cell, batch, gamma, clip):
    """gamma of one clip, 0 where a background explains a pixel: (T, K, H, W, 1).

    Args:
        cell: an `EMCell`; gamma stays as it is if it knows no background.
        batch: dict of arrays as `nem_tf.data` makes them.
        gamma: of the batch, (B, T, K, H, W, 1).
        clip: its place in the batch.
    """
    gamma = np.asarray(gamma[clip])
    if not cell.layered or "background" not in batch:
        return gamma
    found = cell.is_object(batch["clean"][clip, 1:], batch["background"][clip])
    return gamma * found[:, None, ..., None]


def of_scores(found, title, folder):
    """per_step.png of clips with labels and, where masks are known, covered.png.

    Args:
        found: what `scoring.collect` returned.
        title, folder: see `of_clip`.
    """
    if "ami" in found:
        figure = plots.per_step(found["ami"], f"{title}: {len(found['ami'])} clips")
        figure.savefig(folder / "per_step.png")
    else:
        (folder / "per_step.png").unlink(missing_ok=True)  # of an earlier evaluation
    shares = scoring.shares(found) if "covered" in found else {}
    drawn = {
        meaning: (np.arange(1, len(shares[area]) + 1), shares[area])
        for area, meaning in AREAS.items()
        if area in shares
    }
    if not drawn:
        (folder / "covered.png").unlink(missing_ok=True)  # of an earlier evaluation
        return
    figure = plots.curves(
        drawn,
        f"{title}: what an object's component draws",
        x_label="step",
        y_label="share of pixels drawn",
    )
    figure.savefig(folder / "covered.png")
