"""AMI of a full test set, against scikit-learn one frame at a time.

    python -m benchmarks.ami_speed [--clips 10000]

10 000 clips x 20 steps of flying shapes, 3 objects, K = 5, with an assignment that is
right for most pixels; both normalisers. scikit-learn scores a sample of the frames, in
turns; differences to it are over the sample and some degenerate partitions.
"""

import sys
import time

import numpy as np

from benchmarks import arguments
from trainers.training.machine import machine

STEPS, COMPONENTS = 20, 5
METHODS = ("max", "arithmetic")


def main(given=None):
    given = arguments.parse(__doc__, given, clips=10_000)
    clips, sample = (20, 20) if given.tiny else (given.clips, 1000)
    from nem_tf import adjusted_mutual_information

    groups, gamma = assignments(clips)
    frames = groups.shape[0] * groups.shape[1]
    print(f"{machine()}, {frames} frames")
    print(f"{'average':12s} {'seconds':>8s}  scikit-learn: ms a frame, in all; ratio")
    largest = 0.0
    for method in METHODS:
        began = time.perf_counter()
        ours = adjusted_mutual_information(groups, gamma, average_method=method)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        theirs = with_sklearn(groups, gamma, method, sample)
        each = (time.perf_counter() - began) / len(theirs)
        largest = max(largest, np.abs(ours.reshape(-1)[:sample] - theirs).max())
        print(
            f"{method:12s} {seconds:8.2f}  {1000 * each:.2f} ms, "
            f"{each * frames:.0f} s; {each * frames / seconds:.0f} times faster"
        )
    print(f"largest difference on {sample} frames {largest:.1e}")
    print(f"largest difference on degenerate partitions {degenerate():.1e}")


def assignments(clips):
    """Labels (clips, T, H, W) of real clips, and gamma that errs at some pixels."""
    from nem_tf import data

    sizes = {"steps": STEPS, "components": COMPONENTS, "clips": clips}
    batches = data.flying_shapes("test", batch_size=min(100, clips), **sizes)
    groups = np.concatenate(
        [batch["groups"][:, 1:].astype("int8") for batch in batches.as_numpy_iterator()]
    )
    rng = np.random.default_rng(0)
    gamma = rng.random((*groups.shape[:2], COMPONENTS, *groups.shape[2:], 1), "float32")
    for n in range(1, 4):  # component n - 1 has most of object n
        gamma[:, :, n - 1, ..., 0] += 0.7 * (groups == n)
    return groups.astype("int32"), gamma


def with_sklearn(groups, gamma, method, count):
    """The scores of the first frames, one by one."""
    from sklearn.metrics import adjusted_mutual_info_score

    labels = groups.reshape(-1, *groups.shape[2:])[:count]
    winner = gamma.reshape(-1, *gamma.shape[2:])[:count, ..., 0].argmax(axis=1)
    return np.array(
        [
            adjusted_mutual_info_score(u[u > 0], v[u > 0], average_method=method)
            for u, v in zip(labels, winner, strict=True)
        ]
    )


def degenerate():
    """Largest difference where there is one object, one component, or few pixels."""
    from nem_tf import adjusted_mutual_information

    rng = np.random.default_rng(1)
    labels, gammas = [], []
    for objects in (1, 2, 5):
        for share in (0.01, 0.1, 1.0):
            for components in (1, 2, COMPONENTS):
                on = rng.random((10, 1, 6, 7)) < share
                labels.append(on * rng.integers(1, objects + 1, on.shape))
                gamma = rng.random((10, 1, COMPONENTS, 6, 7, 1), "float32")
                gamma[:, :, components:] = 0.0
                gammas.append(gamma)
    groups, gamma = np.concatenate(labels), np.concatenate(gammas)
    largest = 0.0
    for method in METHODS:
        ours = adjusted_mutual_information(groups, gamma, average_method=method)
        theirs = with_sklearn(groups, gamma, method, len(groups))
        largest = max(largest, np.abs(ours.reshape(-1) - theirs).max())
    return largest


if __name__ == "__main__":
    sys.exit(main())
