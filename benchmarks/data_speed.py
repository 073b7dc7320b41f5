"""Clips per second that each generator makes, and what they take from training.

    python -m benchmarks.data_speed [--rounds 7]

Each generator is measured after a warm-up, several times; the slowest repeat is shown
too. Then a training step of flying shapes (batch 64, T = 20, K = 3) is done on one and
the same batch and on batches made meanwhile, in turns.
"""

import itertools
import statistics
import sys
import time

from benchmarks import arguments, steps
from benchmarks.turns import alternately
from trainers.training import devices
from trainers.training.machine import machine


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=7)
    from nem_tf import data

    task = steps.TINY if given.tiny else steps.FLYING
    batch_size, batches, repeats = (2, 2, 2) if given.tiny else (64, 60, 5)
    devices.share_cores(devices.lanes_of(task.B))  # as when a trainer runs
    endless = {"batch_size": batch_size, "epochs": None}
    digits = data.load_digits("sklearn-digits" if given.tiny else "auto")
    generators = {
        "flying shapes, 3 objects, T = 20": data.flying_shapes(**endless),
        f"flying MNIST, 2 {digits.name}, T = 20": data.flying_mnist(
            digits=digits, **endless
        ),
        "static shapes, 3 objects, T = 15": data.static_shapes(**endless),
    }
    print(machine())
    label = f"data, batches of {batch_size}"
    print(f"{label:40s} {'median':>8s} {'minimum':>8s}  clips/s")
    for name, dataset in generators.items():
        speeds = clips_per_second(dataset, batch_size, batches, repeats)
        print(f"{name:40s} {statistics.median(speeds):8.0f} {min(speeds):8.0f}")
    print_share(task, given.rounds)


def clips_per_second(dataset, batch_size, batches, repeats):
    """The speed in each repeat."""
    made = iter(dataset)
    for _ in range(min(10, batches)):
        next(made)
    speeds = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in itertools.islice(made, batches):
            pass
        speeds.append(batch_size * batches / (time.perf_counter() - began))
    return speeds


def print_share(task, rounds):
    """How much longer a step takes when its data are made at the same time."""
    from nem_tf import data

    nem = steps.model(task)
    nem.lanes = devices.lanes_of(task.B)
    sizes = {"steps": task.T, "components": task.K, "batch_size": task.B}
    made = iter(data.flying_shapes(**sizes, epochs=None))
    ready = list(itertools.islice(made, 3))
    for batch in ready:
        nem.train_on_batch(batch)
    block = 3  # steps in a turn, so that what is prefetched runs out
    alone, together = alternately(
        [
            lambda: [nem.train_on_batch(batch) for batch in ready[:block]],
            lambda: [nem.train_on_batch(next(made)) for _ in range(block)],
        ],
        rounds,
    )
    ratios = [b / a - 1 for a, b in zip(alone, together, strict=True)]
    milliseconds = [1000 * statistics.median(x) / block for x in (alone, together)]
    print(
        f"\na training step on a ready batch {milliseconds[0]:.1f} ms, on batches made "
        f"meanwhile {milliseconds[1]:.1f} ms: {100 * statistics.median(ratios):+.1f} % "
        f"({100 * min(ratios):+.1f} to {100 * max(ratios):+.1f})"
    )


if __name__ == "__main__":
    sys.exit(main())
