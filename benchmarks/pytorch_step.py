"""A training step of flying shapes against the same in PyTorch.

    python -m benchmarks.pytorch_step [--rounds 7]

Batch 64, T = 20, K = 3, 28 x 28, the paper's network in float32, as a PyTorch user
would write it (`steps.pytorch`), eager and compiled. PyTorch is needed for this
benchmark alone: pip install 'nem-tf[benchmark]'.
"""

import functools
import importlib.util
import sys
from importlib import metadata

from benchmarks import arguments, steps
from benchmarks.turns import in_turns, print_ratios
from trainers.training.machine import machine


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=7)
    task = steps.TINY if given.tiny else steps.FLYING
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: pip install 'nem-tf[benchmark]'")
        return 0
    torch = f"PyTorch {metadata.version('torch')}"
    contestants = {
        f"{torch}, eager": functools.partial(steps.pytorch, task),
        f"{torch}, compiled": functools.partial(steps.pytorch, task, compiled=True),
        "nem_tf, float32": functools.partial(steps.ours, task),
        "nem_tf, bfloat16": functools.partial(steps.ours, task, "mixed_bfloat16"),
    }
    print(machine())
    seconds = in_turns(contestants, given.rounds, apart=not given.tiny)
    print_ratios(seconds, f"{torch}, eager")
    print()
    print_ratios(seconds, f"{torch}, compiled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
