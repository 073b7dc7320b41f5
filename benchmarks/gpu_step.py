"""A training step on a GPU: precisions, compilation, and the batch that fills it.

    python -m benchmarks.gpu_step [--rounds 7]
    KERAS_BACKEND=jax python -m benchmarks.gpu_step

Flying shapes, T = 20, K = 3, 28 x 28, the paper's network, on the first GPU that
Keras's backend sees. Float32, TF32 and bfloat16, with XLA and without (JAX is always
compiled), then larger and larger batches until clips/s stop growing by a tenth.
"""

import dataclasses
import statistics
import sys

from benchmarks import arguments, steps
from benchmarks.turns import alternately
from trainers.training import machine

PRECISIONS = ("float32", "tf32", "bfloat16")


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=7)
    gpus = machine.gpus()
    print(f"{machine.machine()}; GPU: {gpus[0] if gpus else 'none'}")
    if not gpus and not given.tiny:
        print("not measured: no GPU is at hand, and nothing is claimed for one")
        return 0
    task = steps.TINY if given.tiny else steps.FLYING
    precisions = ("float32",) if given.tiny else PRECISIONS
    compiled = (True,) if on_jax() or given.tiny else (True, False)
    print(f"{'precision':10s} {'XLA':4s} {'batch':>6s} {'ms':>8s} {'clips/s':>9s}")
    best = {}
    for precision in precisions:
        for xla in compiled:
            best[precision, xla] = row(task, precision, xla, given.rounds)
    precision, xla = max(best, key=best.__getitem__)
    speed, batch = best[precision, xla], task.B
    while not given.tiny:
        batch *= 2
        task = dataclasses.replace(task, B=batch)
        larger = row(task, precision, xla, given.rounds)
        if larger < 1.1 * speed:
            print(f"full at a batch of {batch // 2}")
            break
        speed = larger
    return 0


def row(task, precision, xla, rounds):
    """Measure and print one row; return clips/s."""
    from trainers.training import devices

    devices.set_precision(precision)
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    step = steps.ours(task, policy, lanes=1, jit_compile=xla)
    (seconds,) = alternately([lambda: float(step())], rounds)  # waits for the loss
    median = statistics.median(seconds)
    print(
        f"{precision:10s} {'on' if xla else 'off':4s} {task.B:6d} {1000 * median:8.1f} "
        f"{task.B / median:9.0f}",
        flush=True,
    )
    return task.B / median


def on_jax():
    import keras

    return keras.backend.backend() == "jax"


if __name__ == "__main__":
    sys.exit(main())
