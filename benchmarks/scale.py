"""How the cost of an update grows, and what devices exchange.

    python -m benchmarks.scale

Times one update of the paper's flying-shapes network at a small size, and again with
one of T, K, B or the frame's size changed. Each row is a ratio to the first, measured
in turns with it. Then the bytes that data-parallel devices exchange per update, which
depend on the network alone.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import keras  # noqa: E402

from benchmarks.machine import machine  # noqa: E402
from nem_tf import NEMLoss, NeuralEM, RNNEMCell, data, networks  # noqa: E402

BASE = {"T": 10, "K": 3, "B": 16, "size": 28}
CHANGES = [
    {"T": 5},
    {"T": 20},
    {"K": 2},
    {"K": 6},
    {"B": 8},
    {"B": 32},
    {"size": 56},
    {"size": 112},
]
ROUNDS = 5
NETWORKS = {
    "static shapes": (networks.static_shapes, (28, 28)),
    "flying shapes": (networks.flying_shapes, (28, 28)),
    "flying MNIST": (networks.flying_mnist, (24, 24)),
    "flying shapes at 256 x 256": (networks.flying_shapes, (256, 256)),
}


def main():
    print(machine())
    base = update(**BASE)
    print(f"{'changed':14s} ms an update, times as long as with {BASE}")
    for change in CHANGES:
        changed = update(**{**BASE, **change})
        for _ in range(2):
            base(), changed()  # compiles, and fills the caches
        pairs = [(timed(base), timed(changed)) for _ in range(ROUNDS)]
        ratios = [later / first for first, later in pairs]
        milliseconds = 1000 * statistics.median(later for _, later in pairs)
        ((name, value),) = change.items()
        grown = value / BASE[name] if name != "size" else (value / BASE[name]) ** 2
        label = f"{name} = {value}"
        print(
            f"{label:14s} {milliseconds:6.0f}   "
            f"{statistics.median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            f", for {grown:.3g} times as much",
            flush=True,
        )
    print(
        "\nnetwork                       parameters   MB that a device sends an update"
    )
    for name, (network, size) in NETWORKS.items():
        cell = RNNEMCell(**network(size=size), components=3)
        weights = sum(weight.shape.num_elements() for weight in variables(cell))
        sent = [2 * (n - 1) / n * 4 * weights / 1e6 for n in (2, 8)]
        print(
            f"{name:29s} {weights:10d}   {sent[0]:.1f} with 2 devices, {sent[1]:.1f} "
            "with 8"
        )


def variables(cell):
    return [weight.value for weight in NeuralEM(cell).trainable_variables]


def update(T, K, B, size):
    """A function that does one update of Eq. 5 on a batch that is already made."""
    keras.utils.set_random_seed(0)
    cell = RNNEMCell(**networks.flying_shapes(size=(size, size)), components=K)
    nem = NeuralEM(cell, objects=3)
    nem.compile("adam", loss=NEMLoss("bernoulli"))
    clips = data.flying_shapes(steps=T, components=K, batch_size=B, size=size, clips=B)
    batch = next(clips.as_numpy_iterator())
    return lambda: nem.train_on_batch(batch)


def timed(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
