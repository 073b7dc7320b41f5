"""How the cost of an update grows, and what devices exchange.

    python -m benchmarks.scale [--rounds 5]

Times one update of the paper's flying-shapes network at a small size, and with one of
T, K, B or the frame's size changed, in turns; then `NeuralEM.segment` on clips of more
and more frames. Each table ends with the straight line that fits best and the largest
distance from it. Last, the bytes that data-parallel devices exchange per update, which
depend on the network alone.
"""

import statistics
import sys

import numpy as np

from benchmarks import arguments
from benchmarks.turns import alternately
from trainers.training import devices
from trainers.training.machine import machine

BASE = {"T": 10, "K": 3, "B": 16, "size": 28}
VALUES = {
    "T": (5, 10, 20, 40),
    "K": (1, 2, 3, 6),
    "B": (8, 16, 32, 64),
    "size": (28, 56, 84, 112),
}
FRAMES = (50, 100, 200, 400)
TINY = {"B": (2, 4)}


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=5)
    values, frames = (TINY, (2, 3)) if given.tiny else (VALUES, FRAMES)
    base = {**BASE, "T": 1} if given.tiny else BASE
    devices.share_cores(devices.lanes_of(BASE["B"]))
    print(f"{machine()}; otherwise {base}")
    for name, sizes in values.items():
        calls = [update(**{**base, name: size}) for size in sizes]
        seconds = alternately(calls, given.rounds)
        amounts = sizes if name != "size" else [size**2 for size in sizes]
        label = "an update, " + (name if name != "size" else "pixels")
        print_table(label, amounts, seconds)
    print_table("segment, frames", frames, segmenting(frames, given.rounds))
    print_exchange()


def print_table(label, amounts, seconds):
    """The medians, the line through them, and how far from it they are."""
    ms = [1000 * statistics.median(found) for found in seconds]
    slope, start = np.polyfit(amounts, ms, 1)
    fitted = np.polyval((slope, start), amounts)
    residual = np.max(np.abs(fitted / ms - 1))
    points = ", ".join(f"{a}: {m:.0f}" for a, m in zip(amounts, ms, strict=True))
    print(f"{label:20s} {points} ms")
    print(
        f"{'':20s} {start:.1f} ms + {slope:.3g} ms each; the line misses the medians "
        f"by at most {100 * residual:.0f} %",
        flush=True,
    )


def update(T, K, B, size):
    """A function that does one update of Eq. 5 on a batch that is already made."""
    import keras

    from nem_tf import NEMLoss, NeuralEM, RNNEMCell, data, networks

    keras.utils.set_random_seed(0)
    cell = RNNEMCell(**networks.flying_shapes(size=(size, size)), components=K)
    nem = NeuralEM(cell, objects=3)
    nem.lanes = devices.lanes_of(BASE["B"])
    nem.compile("adam", loss=NEMLoss("bernoulli"))
    clips = data.flying_shapes(steps=T, components=K, batch_size=B, size=size, clips=B)
    batch = next(iter(clips))
    return lambda: nem.train_on_batch(batch)


def segmenting(counts, rounds):
    """Seconds of `NeuralEM.segment` on one clip of so many frames, K = 3."""
    from nem_tf import NeuralEM, RNNEMCell, networks

    nem = NeuralEM(RNNEMCell(**networks.flying_shapes(), components=BASE["K"]))
    rng = np.random.default_rng(0)
    video = (rng.random((max(counts), 28, 28)) < 0.2).astype("float32")
    calls = [lambda count=count: nem.segment(video[:count]) for count in counts]
    return alternately(calls, rounds)


def print_exchange():
    """What data-parallel devices send each other, network by network."""
    from nem_tf import NeuralEM, RNNEMCell, networks

    kinds = {
        "static shapes": (networks.static_shapes, (28, 28)),
        "flying shapes": (networks.flying_shapes, (28, 28)),
        "flying MNIST": (networks.flying_mnist, (24, 24)),
        "flying shapes at 256 x 256": (networks.flying_shapes, (256, 256)),
    }
    print(f"\n{'network':29s} parameters   MB that a device sends an update")
    for name, (network, size) in kinds.items():
        nem = NeuralEM(RNNEMCell(**network(size=size), components=3))
        weights = sum(np.prod(weight.shape) for weight in nem.trainable_variables)
        sent = [2 * (n - 1) / n * 4 * weights / 1e6 for n in (2, 8)]
        print(
            f"{name:29s} {weights:10.0f}   {sent[0]:.1f} with 2 devices, {sent[1]:.1f} "
            "with 8"
        )


if __name__ == "__main__":
    sys.exit(main())
