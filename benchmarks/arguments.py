"""The command line that the benchmarks share."""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported


def parse(doc, arguments=None, **numbers):
    """Read a benchmark's flags.

    Args:
        doc: the benchmark's docstring; its first line describes the command.
        arguments: list of strings, `sys.argv[1:]` if None.
        numbers: further flags and their defaults, whole numbers.
    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="only see that it runs")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"({default})")
    given = parser.parse_args(arguments)
    if given.tiny and "rounds" in numbers:
        given.rounds = 1
    return given
