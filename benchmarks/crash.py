"""Kill a small run at random moments and see that it still ends the same.

    python -m benchmarks.crash [--kills 20] [--seed 0]

Trains flying MNIST (scikit-learn's digits, two stages, a save after each update) once
without disturbance. Then, for each kill: begins the same run in a new folder, sends it
SIGKILL at a random moment, resumes it, and compares weights, optimizer, schedule, best
models, scores and log with those of the first run, bit for bit.
"""

import argparse
import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import numpy as np  # noqa: E402

from trainers.training import state  # noqa: E402
from trainers.training.machine import machine  # noqa: E402

COMMAND = (
    "-m trainers.flying_mnist --deterministic --digits sklearn-digits --stages 20,50 "
    "--recipe quick --steps 3 --batch-size 8 --epochs 3 --epoch-updates 8 "
    "--validation-size 16 --test-size 8 --save-minutes 0 --resume auto --out"
).split()
CLOCK = ("seconds", "resumes")  # what an interruption may change


def main(arguments=None):
    """Print one line per kill and how many runs ended the same; 0 if all did."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    given = parser.parse_args(arguments)
    moments = random.Random(given.seed)
    print(machine())
    with tempfile.TemporaryDirectory() as work:
        whole = pathlib.Path(work, "whole")
        process = begin(whole)
        seconds = -wait_for_training(process, whole)
        seconds += finish(process)
        wanted = outcome(whole)
        print(f"undisturbed: {seconds:.1f} s from the first file to the last")
        same = 0
        for kill in range(given.kills):
            folder = pathlib.Path(work, f"kill-{kill}")
            process = begin(folder)
            wait_for_training(process, folder)
            time.sleep(moments.uniform(0.0, seconds))
            process.kill()
            process.wait()
            found = moment(folder)
            finish(begin(folder))
            differ = [
                name for name in wanted if outcome(folder).get(name) != wanted[name]
            ]
            same += not differ
            ended = f"differs in {', '.join(differ)}" if differ else "ends the same"
            print(f"kill {kill + 1}: {found}; {ended}", flush=True)
        print(f"{same} of {given.kills} ended the same")
    return 0 if same == given.kills else 1


def begin(folder):
    """Start or resume the run."""
    return subprocess.Popen(
        [sys.executable, *COMMAND, str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_training(process, folder):
    """Return the time at which the run's first file appeared."""
    while not (folder / "config.json").is_file():
        if process.poll() is not None:
            raise SystemExit(f"the run ended early: {process.communicate()[1]}")
        time.sleep(0.01)
    return time.monotonic()


def finish(process):
    """Wait until a run is over; return the time."""
    error = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"the run failed: {error}")
    return time.monotonic()


def moment(folder):
    """Where the kill hit, in words."""
    if (folder / "results.json").is_file():
        return "after the last file"
    parts = [path.name for path in folder.rglob("*.part.*")]
    states = sorted((folder / "last").glob("state-*[0-9].npz"))
    if not states:
        return "before the first state"
    at = state.unpack(states[-1].read_bytes()).position
    where = f"stage {at.stage + 1}, epoch {at.epoch + 1}, {at.update} updates saved"
    return f"{where}, writing {parts[0]}" if parts else where


def outcome(folder):
    """Everything that a run computed, by name."""
    last = sorted((folder / "last").glob("state-*.npz"))[-1]
    final = state.unpack(last.read_bytes())
    position = {**vars(final.position)}
    log = list(csv.DictReader(final.log.splitlines()))
    results = json.loads((folder / "results.json").read_text())
    for content in (position, results, *log):
        for name in CLOCK:
            content.pop(name, None)
    models = [folder / "model.keras", *sorted((folder / "stages").iterdir())]
    return {
        "variables": [array.tobytes() for array in final.variables],
        "position": position,
        "log": log,
        "results": results,
        **{path.name: weights(path) for path in models},
    }


def weights(path):
    """The arrays in a .keras file; the file itself carries its date."""
    import h5py

    found = {}
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as inner:
        with h5py.File(inner, "r") as file:
            file.visititems(
                lambda name, item: (
                    found.update({name: np.array(item).tobytes()})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
