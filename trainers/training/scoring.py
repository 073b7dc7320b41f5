"""Scores of a trained model on test clips, in the form of results.json."""

import numpy as np
from keras import ops

from nem_tf import NeuralEM, scores
from nem_tf.inference.starts import likeliest
from nem_tf.inference.used import objects_seen, used_components
from nem_tf.scores.mutual_information import AVERAGES, ami_from_tables
from nem_tf.scores.occlusion import Drawn
from trainers.training.report import SEGMENTS

CURVES = (  # from -1 to 1, higher is better
    "ami",
    "ami_arithmetic",
    "ari",
    *SEGMENTS,
    *(f"no_learning_{name}" for name in SEGMENTS),
)
DIAGNOSTICS = (
    "confidence",
    "distinct_components",
    "purity",
    "next_step_bound",
    "next_step_error",
    "psnr",
    "repeat_psnr",
    "moving_foretold",
)


def collect(nem: NeuralEM, clips, objects=None, starts=1) -> dict[str, np.ndarray]:
    """Score every clip of a dataset.

    AMI divides by the larger entropy, as the paper's does; `ami_arithmetic` by their
    mean, scikit-learn's default since 0.22. Background and overlap are not scored.

    Args:
        nem: a compiled model; K is what the clips' random start says.
        clips: dataset of `nem_tf.data`; with `masks`, covered pixels are counted too.
        objects: how many labels to expect; by default the model's. Larger ones are
            scored too.
        starts: random starts of each clip, of which the likeliest is scored.

    Returns:
        float64 arrays: `CURVES` and `DIAGNOSTICS`, shape (N, T), `next_step_bound`, or
        of a layered cell `next_step_error`, in nats per frame; `loss` and its terms,
        shape (N,), nats per clip; `used_components`, how many are used, and
        `used_as_labelled`, whether as many as there are labels (`inference.used`),
        shape (N,); and the counts of `occlusion.Drawn`, shape (N, T). What says how
        well labels are met is left out of clips without `groups`, and NaN where a frame
        has no labelled pixel.

    Raises:
        ValueError: if a weight of the model is not finite.
    """
    nem.check_weights()
    objects = nem.objects if objects is None else objects
    collected: dict[str, list[np.ndarray]] = {}
    for batch in clips.as_numpy_iterator():  # no backend needs TensorFlow's tensors
        for name, values in _score_batch(nem, batch, objects, starts).items():
            collected.setdefault(name, []).append(np.asarray(values, "float64"))
    return {name: np.concatenate(values) for name, values in collected.items()}


def _score_batch(nem, batch, objects, starts):
    outputs = likeliest(nem.predict_on_batch, batch, starts, nem.cell.likelihood)
    x, psi = batch["clean"][:, 1:], outputs["psi"]
    found = {
        **nem.loss.per_clip(x, outputs),
        scores.next_step_name(nem.cell): scores.next_step(nem.cell, x, outputs),
    }
    segments, used = segments_and_used(nem.cell, batch, outputs["gamma"])
    found["used_components"] = used
    if nem.cell.layered:
        found |= _over_background(nem.cell, batch, outputs, segments)
    if "groups" not in batch:
        return found
    groups, gamma = batch["groups"][:, 1:], outputs["gamma"]
    found["used_as_labelled"] = used == objects_seen(groups)
    if "masks" in batch:
        objects = batch["masks"].shape[2]  # a column for each of them
    table = scores.contingency_table(groups, gamma, objects)  # (B, T, K, n)
    counts = ops.convert_to_numpy(table)
    grouping = {
        "ami": _ami(counts, "max"),
        "ami_arithmetic": _ami(counts, "arithmetic"),
        "ari": scores.ari_from_table(table),
        "confidence": scores.confidence(groups, gamma),
        "distinct_components": scores.distinct_from_table(table),
        "purity": scores.purity_from_table(table),
    }
    labelled = scores.labelled(groups)  # (B, T)
    found |= {
        name: np.where(labelled, ops.convert_to_numpy(values), np.nan)
        for name, values in grouping.items()
    }
    if "masks" in batch:
        found |= scores.drawn(psi, counts, batch["masks"][:, 1:])._asdict()
    return found


def segments_and_used(cell, batch, gamma):
    """Segments of the clean frames, (B, T, H, W), and how many a clip uses, (B,)."""
    x, gamma = batch["clean"][:, 1:], np.asarray(gamma, "float32")
    behind = batch.get("background")
    segments = cell.segments(x, gamma, None if behind is None else behind[:, None])
    return segments, used_components(cell, segments, x, gamma.shape[2]).sum(-1)


def _over_background(cell, batch, outputs, segments):
    """Scores of a batch by segments that know a background, arrays (B, T).

    Beside them those of `scores.no_learning`, given the same frames and backgrounds,
    and of "the next frame is this frame".
    """
    clean, behind = batch["clean"], batch["background"]
    found = outputs["psi"], outputs.get("mixing"), behind[:, None]
    predicted = np.asarray(cell.next_frame(*found), "float32")
    rows = []
    for b, frames in enumerate(clean):
        foretold = scores.foretold(frames, predicted[b], cell.likelihood)
        row = {
            "psnr": foretold.psnr,
            "repeat_psnr": foretold.repeat_psnr,
            "moving_foretold": scores.moving_foretold(frames, predicted[b], behind[b]),
        }
        if "groups" in batch:
            labels = batch["groups"][b, 1:]
            plain = scores.no_learning(frames, behind[b])[1:]
            for prefix, found in (("", segments[b]), ("no_learning_", plain)):
                grouping = scores.grouping(labels, found)
                row |= {
                    f"{prefix}foreground_ari": grouping.foreground_ari,
                    f"{prefix}ari_with_background": grouping.ari,
                    f"{prefix}best_overlap": grouping.best_overlap,
                }
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _ami(table, average):
    """AMI of each image from float32 (..., K, n): (...)."""
    tables = table.reshape(-1, *table.shape[-2:]).astype("int64")
    return ami_from_tables(tables, AVERAGES[average]).reshape(table.shape[:-2])


def summary(found: dict[str, np.ndarray]) -> dict:
    """What results.json says of the arrays of `collect`.

    Returns:
        for each of `CURVES` the mean over clips per step with quartiles, its last value
        with the standard error, and its mean over steps; the `DIAGNOSTICS` at the last
        step, and per step under `per_step`; loss and terms; and under `covered` the
        `shares`, if there are masks. Of clips without labels nothing about labels.
    """
    diagnostics = [name for name in DIAGNOSTICS if name in found]
    summed = {
        "clips": len(found["loss"]),
        **{name: _curve(found[name]) for name in CURVES if name in found},
        **{name: _mean(found[name][:, -1]) for name in diagnostics},
        **{name: _mean(values) for name, values in found.items() if values.ndim == 1},
        "per_step": {name: _rounded(_mean(found[name], 0)) for name in diagnostics},
    }
    if "covered" in found:
        summed["covered"] = {name: _rounded(x) for name, x in shares(found).items()}
    return summed


def _mean(scores, axis=None):
    """The mean of what is finite; NaN if nothing is."""
    finite = np.isfinite(scores)  # the PSNR of two equal frames is not
    count = finite.sum(axis)
    mean = np.sum(scores, axis, where=finite) / np.maximum(count, 1)
    mean = np.where(count, mean, np.nan)
    return float(mean) if axis is None else mean


def _curve(scores):
    per_step = _mean(scores, 0)
    labelled = [column[np.isfinite(column)] for column in scores.T]
    quartiles = [
        np.percentile(x, [25, 75]) if x.size else [np.nan] * 2 for x in labelled
    ]
    lower, upper = np.transpose(quartiles)
    last = labelled[-1]
    return {
        "last": float(per_step[-1]),
        "last_standard_error": float(last.std() / np.sqrt(max(last.size, 1)))
        if last.size
        else np.nan,
        "mean": _mean(per_step),
        "per_step": _rounded(per_step),
        "lower_quartile": _rounded(lower),
        "upper_quartile": _rounded(upper),
    }


def shares(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How much of the pixels of `occlusion.Drawn` is drawn, per step, over all clips.

    Returns:
        `covered`, `visible` and `foreign`, each a share of such pixels, and the
        `intersection_over_union` of objects and drawings; shape (T,), in [0, 1]. What
        no clip has, as covered pixels of a single object, is left out.
    """
    total = Drawn(*(found[name].sum(axis=0) for name in Drawn._fields))
    pairs = {
        "covered": (total.covered_drawn, total.covered),
        "visible": (total.visible_drawn, total.visible),
        "foreign": (total.foreign_drawn, total.foreign),
        "intersection_over_union": (total.whole, total.union),
    }
    return {
        name: drawn / np.maximum(there, 1)
        for name, (drawn, there) in pairs.items()
        if there.any()
    }


def _rounded(values):
    return [round(float(value), 6) for value in values]
