"""A training step of `WindowCell` by the size of the frames.

    python -m benchmarks.window_step [--rounds 5]

B = 16, T = 8, K = 5, colour, objects a fifth of the frame wide. Beside it a plain
convolution of as many frames: 3 x 3, 16 channels in and out, with its gradients, for
each component and step. Growth is that of the step's milliseconds and of the pixels,
against frames of 32 x 32.
"""

import functools
import statistics
import sys

import numpy as np

from benchmarks import arguments
from benchmarks.turns import in_turns
from trainers.training.machine import machine

SIZES = (24, 32, 64, 96, 128)
B, T, K = 16, 8, 5
CHANNELS = 16


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=5)
    sizes = (32,) if given.tiny else SIZES
    print(machine())
    contestants = {}
    for size in sizes:
        contestants[size, "step"] = functools.partial(step_of, size)
        contestants[size, "convolution"] = functools.partial(convolution_of, size)
    seconds = in_turns(contestants, given.rounds, apart=False)
    median = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{'size':>6s} {'step, ms':>10s} {'convolution, ms':>16s} growth  pixels")
    for size in sizes:
        step, convolution = median[size, "step"], median[size, "convolution"]
        print(
            f"{size:6d} {1000 * step:10.1f} {1000 * convolution:16.1f} "
            f"{step / median[32, 'step']:6.2f} {size**2 / 32**2:7.2f}"
        )
    return 0


def clips(size):
    """Squares that move over a grey background."""
    rng = np.random.default_rng(0)
    side = max(3, size // 5)
    clean = np.full((B, T + 1, size, size, 3), 0.4, "float32")
    for clip in clean:
        for _ in range(3):
            place = rng.uniform(0, size - side - T, 2)
            colour = rng.random(3)
            for t, frame in enumerate(clip):
                y, x = (place + t).astype(int)
                frame[y : y + side, x : x + side] = colour
    pi = rng.random((B, K, size, size, 1)).astype("float32")
    return {
        "clean": clean,
        "noisy": clean[:, :-1],
        "background": np.full((B, size, size, 3), 0.4, "float32"),
        "pi": pi / pi.sum(axis=1, keepdims=True),
    }


def step_of(size):
    """A function that does one update of the model, in two lanes."""
    from nem_tf import NEMLoss, NeuralEM
    from nem_tf.cells import WindowCell

    cell = WindowCell(
        (size, size, 3), "gaussian", components=K, object_size=max(3, size // 5)
    )
    nem = NeuralEM(cell)
    nem.lanes = 2
    nem.compile("adam", loss=NEMLoss())
    batch = clips(size)
    return lambda: nem.train_on_batch(batch)


def convolution_of(size):
    """A function that does one convolution and its gradients, B T K images."""
    import tensorflow as tf

    images = tf.random.stateless_normal((B * T * K, size, size, CHANNELS), (0, 1))
    kernel = tf.random.stateless_normal((3, 3, CHANNELS, CHANNELS), (1, 1))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            total = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return tape.gradient(total, [images, kernel])[1]

    return lambda: step().numpy()


if __name__ == "__main__":
    sys.exit(main())
