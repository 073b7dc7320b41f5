"""A training step of flying shapes against a straightforward implementation of it.

    python -m benchmarks.training_step [--rounds 7]

Batch 64, T = 20, K = 3, 28 x 28, the paper's network; two rows per precision, as a loop
over the steps and unrolled. Every contestant has a process of its own and they run in
turns.
"""

import argparse
import functools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from benchmarks import steps  # noqa: E402
from benchmarks.machine import machine  # noqa: E402
from benchmarks.turns import in_turns, print_ratios  # noqa: E402


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="timed steps (7)")
    parser.add_argument("--tiny", action="store_true", help="only see that it runs")
    given = parser.parse_args(arguments)
    task = steps.TINY if given.tiny else steps.FLYING
    ours = functools.partial(functools.partial, steps.ours, task)
    contestants = {
        "straightforward, float32": functools.partial(steps.straightforward, task),
        "nem_tf, float32": ours("float32"),
        "nem_tf, float32, unrolled": ours("float32", unroll=True),
        "nem_tf, bfloat16": ours("mixed_bfloat16"),
        "nem_tf, bfloat16, unrolled": ours("mixed_bfloat16", unroll=True),
    }
    print(machine())
    print_ratios(in_turns(contestants, given.rounds), "straightforward, float32")


if __name__ == "__main__":
    sys.exit(main())
