"""Milliseconds that a streamed frame takes.

    python -m benchmarks.stream_speed [--components 5] [--frames 500]

`NeuralEM.stream` of the paper's flying-shapes network, 28 x 28, one clip, in a warm
process: blocks of 100 frames, in turns with blocks of the same step of the Keras cell
in eager mode.
"""

import sys
import time

import numpy as np

from benchmarks import arguments
from benchmarks.turns import alternately
from trainers.training.machine import machine

BLOCK = 100  # frames


def main(given=None):
    given = arguments.parse(__doc__, given, components=5, frames=500)
    frames = BLOCK if given.tiny else given.frames
    from nem_tf import NeuralEM, RNNEMCell, data, networks
    from nem_tf.random_start import random_start

    K = given.components
    nem = NeuralEM(RNNEMCell(**networks.flying_shapes(), components=K))
    video = next(iter(data.flying_shapes(steps=20, batch_size=1)))["noisy"].numpy()[0]
    stream, cell = nem.stream(), nem.cell
    state = cell.get_initial_state(pi=random_start([0], K, cell.frame_shape))

    def eager(frame):
        np.asarray(cell.iterate(frame[None], frame[None], state)[0])

    found: dict[str, list[float]] = {"stream": [], "eager cell": []}
    calls = [
        lambda: found["stream"].extend(each(stream, video)),
        lambda: found["eager cell"].extend(each(eager, video)),
    ]
    alternately(calls, max(1, frames // BLOCK), warm=1)
    found = {name: ms[BLOCK:] for name, ms in found.items()}  # the first is no measure
    print(f"{machine()}, K = {K}, {frames} frames")
    print(f"{'':14s} {'median':>7s} {'90 %':>7s} {'99 %':>7s} {'minimum':>7s} ms")
    for name, ms in found.items():
        row = [*np.percentile(ms, (50, 90, 99)), min(ms)]
        print(f"{name:14s} " + " ".join(f"{value:7.2f}" for value in row))
    ratio = np.median(found["eager cell"]) / np.median(found["stream"])
    print(f"stream is {ratio:.1f} times faster")


def each(function, video):
    """Milliseconds of the function on each of a block's frames."""
    times = []
    for t in range(BLOCK):
        began = time.perf_counter()
        function(video[t % len(video)])
        times.append(1000 * (time.perf_counter() - began))
    return times


if __name__ == "__main__":
    sys.exit(main())
