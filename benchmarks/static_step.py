"""A training step of static shapes against a straightforward implementation of it.

    python -m benchmarks.static_step [--rounds 15]

Batch 64, T = 15, K = 4, 28 x 28, the paper's network, loss at the last step; as
`benchmarks.training_step`. The straightforward step has no metrics; nem_tf's are those
of the last step.
"""

import sys

from benchmarks import arguments, steps, training_step


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=15)
    task = steps.TINY_STATIC if given.tiny else steps.STATIC
    training_step.compare(task, given)


if __name__ == "__main__":
    sys.exit(main())
