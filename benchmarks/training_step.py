"""A training step of flying shapes against a straightforward implementation of it.

    python -m benchmarks.training_step [--rounds 7]

Batch 64, T = 20, K = 3, 28 x 28, the paper's network; metrics included for nem_tf only.
Every contestant has a process of its own and they run in turns, as do the products of
large matrices that the last lines compare with.
"""

import functools
import statistics
import sys

from benchmarks import arguments, steps
from benchmarks.turns import in_turns, print_ratios
from trainers.training.machine import machine


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=7)
    task = steps.TINY if given.tiny else steps.FLYING
    compare(task, given)


def compare(task, given):
    """Print the rows of a task, and the shares of the machine's best."""
    size = 64 if given.tiny else 2048
    ours = functools.partial(functools.partial, steps.ours, task)
    contestants = {
        "straightforward, float32": functools.partial(steps.straightforward, task),
        "nem_tf, float32": ours("float32"),
        "nem_tf, float32, unrolled": ours("float32", unroll=True),
        "nem_tf, float32, one lane": ours("float32", lanes=1),
        "nem_tf, bfloat16": ours("mixed_bfloat16"),
    }
    if given.tiny:  # each takes seconds to compile
        del contestants["nem_tf, float32, one lane"]
        del contestants["nem_tf, float32, unrolled"]
    products = {
        f"products of matrices, {name}": functools.partial(steps.product, name, size)
        for name in ("float32", "bfloat16")
    }
    print(machine())
    seconds = in_turns({**contestants, **products}, given.rounds, apart=not given.tiny)
    steps_seconds = {name: seconds[name] for name in contestants}
    print_ratios(steps_seconds, "straightforward, float32")
    done, best = steps.operations(task), steps.product_operations(size)
    print(f"\nproducts of a step: {done / 1e9:.1f} GFLOP, upsampling folded to 3 x 3")
    for precision in ("float32", "bfloat16"):
        peak = best / statistics.median(seconds[f"products of matrices, {precision}"])
        reached = done / statistics.median(seconds[f"nem_tf, {precision}"])
        print(
            f"{precision:8s} {reached / 1e9:5.0f} GFLOP/s in a step, {peak / 1e9:5.0f} "
            f"in products of {size} x {size} matrices: a share of {reached / peak:.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
