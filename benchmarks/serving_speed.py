"""Frames per second and latency of an exported model, against the Keras model.

    python -m benchmarks.serving_speed [--components 3]

The paper's flying-shapes network, with fresh weights: speed does not depend on them.
Signatures run in this process, as a server runs them, without the network between; the
Keras model is called in eager mode. Each pair is measured in turns.
"""

import pathlib
import tempfile
import time

from benchmarks import arguments  # isort: skip  (before TensorFlow is imported)

import numpy as np
import tensorflow as tf

from export.signatures import STATE, ServedModel
from nem_tf import NeuralEM, RNNEMCell, networks
from trainers.training.machine import machine

BATCHES = (1, 8, 64)
STEPS = 20
SECONDS, LEAST = 6.0, 5  # of each pair, and repeats


def pairs(served, signatures, batch):
    """For each signature: its name, frames in a call, the call, the eager call."""
    rng = np.random.default_rng(0)
    frames = (rng.random((batch, STEPS, 28, 28, 1)) < 0.2).astype("float32")
    frames, seed = tf.constant(frames), tf.range(batch)
    frame, state = frames[:, 0], signatures["init"](seed=seed)
    listed = [state[name] for name in STATE]
    padded = tf.concat([frames, frames[:, -1:]], axis=1)
    inputs = {"clean": padded, "noisy": frames, "pi": state["pi"]}
    yield (
        "step",
        batch,
        lambda: signatures["step"](frame=frame, **state),
        lambda: served.cell.iterate(frame, frame, listed),
    )
    yield (
        "serving_default",
        batch * STEPS,
        lambda: signatures["serving_default"](frames=frames, seed=seed),
        lambda: served.nem(inputs),
    )


def measure(calls, least_seconds):
    """Seconds of each call, in turns, after a warm-up: one array per call."""
    for call in calls:
        call()
    times = [[] for _ in calls]
    began = time.perf_counter()
    while len(times[0]) < LEAST or time.perf_counter() - began < least_seconds:
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            tf.nest.map_structure(lambda x: x.numpy(), call())  # waits for the result
            found.append(time.perf_counter() - start)
    return map(np.array, times)


def main(given=None):
    given = arguments.parse(__doc__, given, components=3)
    components = given.components
    batches, seconds = ((1,), 0.0) if given.tiny else (BATCHES, SECONDS)
    print(f"{machine()}, K = {components}")
    print(
        f"{'signature':16s} {'B':>3s} {'frames/s':>9s} {'median':>8s} {'90 %':>8s} "
        f"{'99 %':>8s} ms  {'eager':>8s} ms  times faster"
    )
    nem = NeuralEM(RNNEMCell(**networks.flying_shapes(), components=components))
    served = ServedModel(nem, components)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "1"
        served.write(path)
        signatures = tf.saved_model.load(str(path)).signatures
        for batch in batches:
            for name, frames, call, eager in pairs(served, signatures, batch):
                ours, theirs = measure([call, eager], seconds)
                ms = 1000 * np.percentile(ours, (50, 90, 99))
                slow = 1000 * np.median(theirs)
                print(
                    f"{name:16s} {batch:3d} {frames / np.median(ours):9.0f} "
                    f"{ms[0]:8.2f} {ms[1]:8.2f} {ms[2]:8.2f}     {slow:8.2f}     "
                    f"{slow / ms[0]:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
