"""Milliseconds that a streamed frame takes.

    python -m benchmarks.stream_speed [--components 5] [--frames 500]

`NeuralEM.stream` of the paper's flying-shapes network, 28 x 28, one clip, in a warm
process, in turns with the same step of the Keras cell in eager mode.
"""

import sys

import numpy as np

from benchmarks import arguments
from benchmarks.machine import machine
from benchmarks.turns import alternately


def main(given=None):
    given = arguments.parse(__doc__, given, components=5, frames=500)
    frames = 5 if given.tiny else given.frames
    from nem_tf import NeuralEM, RNNEMCell, data, networks
    from nem_tf.random_start import random_start

    K = given.components
    nem = NeuralEM(RNNEMCell(**networks.flying_shapes(), components=K))
    video = next(iter(data.flying_shapes(steps=20, batch_size=1)))["noisy"].numpy()[0]
    stream, cell = nem.stream(), nem.cell
    state = cell.get_initial_state(pi=random_start([0], K, cell.frame_shape))

    def streamed():
        stream(video[0])

    def eager():
        np.asarray(cell.iterate(video[:1], video[:1], state)[0])

    found = [1000 * np.array(x) for x in alternately([streamed, eager], frames)]
    print(f"{machine()}, K = {K}, {frames} frames")
    print(f"{'':14s} {'median':>7s} {'90 %':>7s} {'99 %':>7s} {'minimum':>7s} ms")
    for name, ms in zip(("stream", "eager cell"), found, strict=True):
        row = [*np.percentile(ms, (50, 90, 99)), ms.min()]
        print(f"{name:14s} " + " ".join(f"{value:7.2f}" for value in row))
    ratio = np.median(found[1] / found[0])
    print(f"stream is {ratio:.1f} times faster")


if __name__ == "__main__":
    sys.exit(main())
