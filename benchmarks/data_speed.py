"""Clips per second that each generator makes.

    python -m benchmarks.data_speed

The claim: data is made faster than a network on the same machine learns from it.
Each row is measured after a warm-up, several times; the slowest repeat is shown too.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from benchmarks.machine import machine  # noqa: E402
from nem_tf import data  # noqa: E402

BATCH, BATCHES, REPEATS = 64, 60, 5


def generators():
    """Name and endless data set, with the paper's sizes."""
    endless = {"batch_size": BATCH, "epochs": None}
    digits = data.load_digits("auto")
    yield "flying shapes, 3 objects, T = 20", data.flying_shapes(**endless)
    yield (
        f"flying MNIST, 2 {digits.name}, T = 20",
        data.flying_mnist(digits=digits, **endless),
    )
    yield "static shapes, 3 objects, T = 15", data.static_shapes(**endless)


def clips_per_second(dataset):
    """Median and minimum over the repeats."""
    batches = iter(dataset)
    for _ in range(10):
        next(batches)
    speeds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        for _ in range(BATCHES):
            next(batches)
        speeds.append(BATCH * BATCHES / (time.perf_counter() - begin))
    return statistics.median(speeds), min(speeds)


def main():
    print(machine())
    print(f"{'data, batches of ' + str(BATCH):40s} {'median':>8s} {'min':>8s}  clips/s")
    for name, dataset in generators():
        median, least = clips_per_second(dataset)
        print(f"{name:40s} {median:8.0f} {least:8.0f}")


if __name__ == "__main__":
    main()
