"""Which partition has the lower loss, the one that a model finds or the true one?

    python -m benchmarks.partitions MODEL [--clips 200]

MODEL is a run folder or a preset of a cell over black. gamma of the objects' pixels is
replaced by the true partition in all steps, or in the first ones only; the other
pixels' gamma is even then. Mixing weights are equal and the E-step has no floor, as in
the recipe `paper`. Prints Eq. 5 at the last step, under the model's own E-step, and AMI
there. If the true partition has the lower loss, training does not lead away from it: EM
does not find it from a random start.
"""

import os
import sys
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import argparse

import numpy as np
from keras import ops

from nem_tf import axes, scores
from nem_tf.losses import inter_cluster, intra_cluster
from trainers import evaluation
from trainers.training import trained

FIRST = (0, 1, 5)  # steps with the true partition; and all


class Found(NamedTuple):
    """Means over clips, at the last step.

    intra: first term of Eq. 5, nats per frame.
    inter: its second term.
    ami: of the segments.
    """

    intra: float
    inter: float
    ami: float


def main(arguments=None):
    """Print the table; 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", metavar="MODEL", help="a run folder or a preset")
    parser.add_argument("--clips", type=int, default=200, help="of validation (200)")
    given = parser.parse_args(arguments)
    model = trained.load(given.model)
    if model.nem.cell.layered:
        parser.error(f"MODEL: expected one over black, received {given.model}")
    config = evaluation.Config(clips=given.clips, split="validation")
    clips = evaluation.Evaluation(model, config).clips(given.clips)
    clips = [{k: np.asarray(v) for k, v in batch.items()} for batch in clips]
    sizes = [len(batch["clean"]) for batch in clips]
    last = clips[0]["noisy"].shape[1]
    print("| steps with the true partition | intra | inter | Eq. 5 | AMI |")
    print("|---|---|---|---|---|")
    for count in (*FIRST, last):
        found = [of_batch(model.nem, batch, count) for batch in clips]
        intra, inter, ami = np.average(found, axis=0, weights=sizes)
        total = intra + model.nem.loss.inter_weight * inter
        label = {0: "none", last: f"all {last}"}.get(count, f"first {count}")
        print(f"| {label} | {intra:.1f} | {inter:.1f} | {total:.1f} | {ami:.3f} |")
    return 0


def of_batch(nem, batch, count):
    """`Found` of a batch of clips with the true partition in the first `count` steps.

    Args:
        nem: a `NeuralEM`.
        batch: clean (B, T + 1, H, W, C), noisy (B, T, H, W, C), pi (B, K, H, W, 1)
            and groups (B, T + 1, H, W).
        count: steps, 0 to T.
    """
    cell = nem.cell
    clean, noisy, groups = batch["clean"], batch["noisy"], batch["groups"]
    theta, psi, pi = cell.get_initial_state(pi=batch["pi"])
    components = psi.shape[1]
    for t in range(noisy.shape[1]):
        if t < count:
            gamma = partition(groups[:, t], components)
        else:
            gamma = cell.assign(clean[:, t], psi, pi)
        evidence = cell.evidence(gamma, noisy[:, t, None], psi)
        theta, psi = cell.m_step(evidence, theta, None)
        pi = axes.uniform_pi(pi)
    x = clean[:, -1]
    gamma = cell.assign(x, psi, pi)
    segments = ops.convert_to_numpy(gamma)[..., 0].argmax(1)
    intra = intra_cluster(x, psi, gamma, cell.likelihood)
    inter = inter_cluster(psi, gamma, cell.likelihood)
    ami = scores.grouping(groups[:, -1:], segments[:, None]).ami
    return Found(float(ops.mean(intra)), float(ops.mean(inter)), float(np.mean(ami)))


def partition(groups, components):
    """gamma of labels 1..K, even where there is none: (B, H, W) -> (B, K, H, W, 1)."""
    ours = groups[:, None] == np.arange(1, components + 1)[:, None, None]
    none = ~ours.any(1, keepdims=True)
    return np.where(none, 1 / components, ours)[..., None].astype("float32")


if __name__ == "__main__":
    sys.exit(main())
