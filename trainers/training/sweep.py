"""Scores of a trained model for each number of objects with each number of components.

Clips are made once for all K. Only their random start depends on it: it is drawn anew,
and is the one that a data set of that K has.
"""

import numpy as np
from keras import ops

from nem_tf import plots, scores
from nem_tf.data import keys, pipeline
from nem_tf.inference import likeliest
from trainers.training import progress, report, scoring

SEEN = ("clean", "noisy", "background")  # what the model takes beside the start
OF_PAIRS = ("ami", "ari")  # they compare objects with each other
SHARES = ("ami", "ari", "purity")  # drawn from 0 to 1


def collect(
    nem, clips_of, objects, components, *, clips, seed=0, split="test", starts=1
):
    """Score every number of objects with every K: at the last step, but for the used.

    Args:
        nem: a compiled model.
        clips_of: function from a number of objects to a dataset of `nem_tf.data`.
        objects: the numbers of objects, N of them; None is what `clips_of` makes of it.
        components: the numbers of components, M of them.
        clips: how many a dataset has.
        seed, split: those of the clips, which their random starts follow from.
        starts: random starts of each clip, of which the likeliest is scored.

    Returns:
        dict of float64 arrays (N, M), means over clips: `next_step_bound`, or
        of a layered cell `next_step_error`, nats per frame; `used_components`, how many
        a clip uses (`inference.used`); and of clips with labels `ami`, `ari` and
        `purity`, as `nem_tf.scores` defines them. AMI and ARI are NaN where no clip
        shows two objects.

    Raises:
        ValueError: if a weight of the model is not finite.
    """
    nem.check_weights()
    table, done = [], 0
    total = clips * len(objects) * len(components)
    with progress.Phase(f"sweeping {total} clips") as phase:
        for number in objects:
            row: list[dict] = [{} for _ in components]
            for batch in clips_of(number).as_numpy_iterator():
                for cell, k in zip(row, components, strict=True):
                    pi = random_start(batch["index"], k, batch["clean"], seed, split)
                    found = _score(nem, {**batch, "pi": pi}, number, starts)
                    for name, values in found.items():
                        cell.setdefault(name, []).append(np.asarray(values, "float64"))
                    done += len(pi)
                    phase.text = f"sweeping {done}/{total} clips"
            table.append([_means(cell) for cell in row])
    names = table[0][0]
    return {x: np.array([[cell[x] for cell in row] for row in table]) for x in names}


def random_start(index, components, clean, seed, split):
    """pi as a data set of such clips has it: float32 (B, K, H, W, 1).

    Args:
        index: which clips, integers (B,).
        components: K.
        clean: their frames, (B, T+1, H, W, C).
        seed, split: those of the data set.
    """
    drawn = keys.clip_keys(seed, split, keys.PI, index)
    return pipeline.random_pi(drawn, components, clean.shape[2:]).numpy()


def _score(nem, batch, objects, starts):
    """Scores of a batch at the last step, (B,) each, and whether two objects are seen.

    Args:
        batch: dict of arrays as `nem_tf.data` makes them.
        objects: the number of objects, or None.
        starts: see `collect`.
    """
    # Further arrays of another shape would have the model traced again.
    inputs = {name: batch[name] for name in (*SEEN, "pi") if name in batch}
    outputs = likeliest(nem.predict_on_batch, inputs, starts, nem.cell.likelihood)
    parts = [name for name in ("psi", "mixing") if name in outputs]
    last = {name: outputs[name][:, -1:] for name in parts}
    nats = scores.next_step(nem.cell, batch["clean"][:, -1:], last)
    _, used = scoring.segments_and_used(nem.cell, batch, outputs["gamma"])
    found = {
        scores.next_step_name(nem.cell): ops.convert_to_numpy(nats)[:, 0],
        "used_components": used,
    }
    if "groups" not in batch:
        return found
    groups, gamma = batch["groups"][:, -1], outputs["gamma"][:, -1]
    table = scores.contingency_table(groups, gamma, objects or nem.objects)  # (B, K, n)
    counts = ops.convert_to_numpy(table).astype("int64")
    several = (counts.sum(axis=1) > 0).sum(axis=1) > 1
    grouping = {
        "ami": scores.ami_from_tables(counts),
        "ari": scores.ari_from_table(table),
        "purity": scores.purity_from_table(table),
    }
    labelled = scores.labelled(groups)
    of_labels = {
        name: np.where(labelled, ops.convert_to_numpy(values), np.nan)
        for name, values in grouping.items()
    }
    return {**of_labels, **found, "several": several}


def _means(cell):
    """Means over the clips of a cell, of lists of arrays (B,)."""
    values = {name: np.concatenate(parts) for name, parts in cell.items()}
    pairs = values.pop("several", np.ones(1)).any()
    means = {}
    for name, one in values.items():
        known = one[np.isfinite(one)]
        undefined = not known.size or (name in OF_PAIRS and not pairs)
        means[name] = np.nan if undefined else known.mean()
    return means


def draw(found, title, folder):
    """sweep.png, a heat map a score.

    Args:
        found: what results.json says of the sweep.
        title: names the experiment and the source of its data.
        folder: a path.
    """
    titles = {
        name: f"{title} (lower is better)" if name in report.NEXT_STEP else title
        for name, title in report.SWEPT.items()
    }
    tables = {titles[name]: found[name] for name in titles if name in found}
    axes = found["objects"], found["components"]
    trained = list(zip(axes, found["as_trained"], strict=True))
    marked = None  # what the model was trained with, if the sweep has it
    if all(number in numbers for numbers, number in trained):
        marked = tuple(numbers.index(number) for numbers, number in trained)
    figure = plots.heat_maps(
        tables,
        f"{title}: the last step of {found['clips']} clips a cell"
        + (", framed as in training" if marked else ""),
        rows=["any" if x is None else x for x in axes[0]],
        columns=axes[1],
        row_label="objects",
        column_label="K",
        marked=marked,
        limits={titles[name]: (0.0, 1.0) for name in SHARES},
    )
    figure.savefig(folder / "sweep.png")
