"""Seconds until a command answers `--help` and a wrong flag, and to load a preset.

    python -m benchmarks.startup [--rounds 5]

Each command is a process of its own, in turns with a Python that does nothing and one
that imports TensorFlow, as a command must before it trains. Presets are loaded in this
process, which has imported TensorFlow.
"""

import statistics
import subprocess
import sys

from benchmarks import arguments
from benchmarks.turns import alternately
from trainers.training import quiet
from trainers.training.machine import machine

COMMANDS = {
    "python that does nothing": ["-c", ""],
    "python that imports tensorflow": ["-c", "import tensorflow"],
    **{
        f"{module} {flag}": ["-m", module, flag]
        for module in (
            "trainers.static_shapes",
            "trainers.flying_shapes",
            "trainers.flying_mnist",
            "trainers.doctor",
            "trainers.evaluate",
            "trainers.reproduce",
            "export.saved_model",
            "export.segment",
            "export.client",
        )
        for flag in ("--help", "--no-such-flag")
    },
}


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=5)
    calls = [lambda words=words: answer(words) for words in COMMANDS.values()]
    seconds = alternately(calls, given.rounds, warm=0 if given.tiny else 1)
    print(machine())
    print(f"{'':40s} {'median':>7s} {'maximum':>7s} s")
    for name, found in zip(COMMANDS, seconds, strict=True):
        print(f"{name:40s} {statistics.median(found):7.2f} {max(found):7.2f}")
    with quiet.startup():
        from nem_tf import NeuralEM, preset

    for name in preset.names():
        calls = [lambda name=name: NeuralEM.from_preset(name)]
        (found,) = alternately(calls, given.rounds, warm=0)
        loading = f"NeuralEM.from_preset({name!r})"
        print(f"{loading:40s} {statistics.median(found):7.2f} {max(found):7.2f}")


def answer(words):
    """Run a command; `--help` ends with status 0, a wrong flag with 2."""
    done = subprocess.run([sys.executable, *words], capture_output=True)
    if done.returncode not in (0, 2):
        raise SystemExit(f"{' '.join(words)}: status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
