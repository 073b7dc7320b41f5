"""N-EM for so many minutes: a trainer of this project, stopped by the clock."""

import csv
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np

from benchmarks.peers import tasks
from trainers.training.files import write_json

POLL_SECONDS = 0.5
AT_ONCE = 50  # clips that are scored
OFTEN = (  # of the paper's recipe: the same updates, scored more often
    "--validation-size",
    "256",
    "--patience",
    "100000",
)
EPOCH_UPDATES = {"static_shapes": "200"}  # of the paper's recipe
EPOCHS = {  # of our recipe, fewer: to end in fifteen minutes on slower machines, too
    "flying_shapes5": "8",
    "flying_mnist": "10",
}


class Trainer:
    """A training in a process of its own, which goes on where it was stopped.

    Args:
        name: a key of `tasks.TASKS`.
        recipe: "ours" or "paper".
        seed: of weights and clips.
        seconds: after which it is stopped; those of the first start are not among them.
        folder: of the run, and of the models that it left on its way.
        sprites: see `tasks.batches`.
    """

    def __init__(self, name, recipe, seed, seconds, folder, sprites=None):
        self.folder = pathlib.Path(folder)
        self.seconds = seconds
        self.command = command(name, recipe, seed, self.folder / "run", sprites)
        self.stop = False  # whether it was asked to

    @property
    def run_folder(self):
        return self.folder / "run"

    def run(self):
        """Train until the time is over or the trainer ends by itself.

        Returns:
            whether the training is over; False if it was asked to stop.

        Raises:
            RuntimeError: if the trainer failed.
        """
        clock = self.folder / "clock.json"
        before = json.loads(clock.read_text()) if clock.is_file() else 0.0
        if before >= self.seconds or (self.run_folder / "results.json").is_file():
            return True
        kept = self.folder / "models"
        kept.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "trainer.log", "ab") as log:
            child = subprocess.Popen(self.command, stdout=log, stderr=log)
        began = spent = None
        rows = len(_log(self.run_folder))
        while child.poll() is None:
            time.sleep(POLL_SECONDS)
            if began is None and self._begun(before):
                began = time.monotonic()
            if began is not None:
                spent = before + time.monotonic() - began
            log_rows = _log(self.run_folder)
            if len(log_rows) > rows:
                rows = len(log_rows)
                if spent is not None:
                    write_json(clock, round(spent, 1))
                self._keep(kept, float(log_rows[-1]["seconds"]))
            if self.stop or (spent or 0.0) >= self.seconds:
                child.send_signal(signal.SIGTERM)
                child.wait()
        if spent is not None:
            write_json(clock, round(spent, 1))
        if child.returncode not in (0, 143, -signal.SIGTERM):
            tail = (self.folder / "trainer.log").read_text()[-2000:]
            raise RuntimeError(
                f"{' '.join(self.command)}: expected it to train, received status "
                f"{child.returncode}; mend what it says and begin again\n{tail}"
            )
        return child.returncode == 0 or (spent or before) >= self.seconds

    def _begun(self, before):
        """Whether the trainer is past its start: it has written its first state."""
        return before > 0 or any((self.run_folder / "last").glob("state-*"))

    def _keep(self, folder, seconds):
        """A copy of the best model so far, unless it is the one before."""
        best = self.run_folder / "model.keras"
        copies = models(self.folder)
        if best.is_file() and (
            not copies or best.stat().st_mtime > copies[-1][1].stat().st_mtime
        ):
            shutil.copyfile(best, folder / f"{seconds:.1f}.keras")


def command(name, recipe, seed, folder, sprites=None):
    """The words that start a trainer."""
    task = tasks.TASKS[name]
    words = [sys.executable, "-m", f"trainers.{task.trainer}"]
    if sprites is not None:
        words.append(str(sprites))
    words += [*task.flags, "--recipe", recipe, "--seed", str(seed)]
    words += ["--test-size", "50", "--out", str(folder), "--resume", "auto"]
    if recipe == "paper":
        words += [*OFTEN, "--epoch-updates", EPOCH_UPDATES.get(name, "50")]
    elif name in EPOCHS:
        words += ["--epochs", EPOCHS[name]]
    return words


def models(folder):
    """Seconds and paths of the models that a training left on its way, in order."""
    paths = (pathlib.Path(folder) / "models").glob("*.keras")
    return sorted((float(path.stem), path) for path in paths)


def _log(run):
    """The rows of a run's log.csv."""
    path = run / "log.csv"
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def progress(run):
    """Updates done, and milliseconds an update takes, validation included."""
    rows = _log(run)
    if not rows:
        return {"updates": 0, "ms_update": None}
    last, first = rows[-1], rows[0]
    updates = int(last["updates"]) - (int(first["updates"]) if rows[1:] else 0)
    seconds = float(last["seconds"]) - (float(first["seconds"]) if rows[1:] else 0.0)
    return {
        "updates": int(last["updates"]),
        "ms_update": round(1000 * seconds / updates, 1),
        "seconds": round(float(last["seconds"]), 1),
    }


def by_gamma(found):
    """The component that explains the pixel: `Segmentation` -> (N, H, W)."""
    return found.gamma[:, -1, ..., 0].argmax(1)


def by_prediction(found):
    """The component that predicted the pixel brightest, whatever it then was."""
    return found.psi[:, -2, ..., :].sum(-1).argmax(1)


def by_segments(found):
    """Of layers: 0 is the background."""
    return found.segments[:, -1]


def readouts(nem):
    """The ways to read segments off a model, by name."""
    if nem.cell.layered:
        return {"segments": by_segments, "gamma": by_gamma}
    return {"gamma": by_gamma, "prediction": by_prediction}


def segment(nem, frames, readout, components=None):
    """Segments of the last frames: (N, T + 1, H, W, C) -> (N, H, W)."""
    found = [
        readout(nem.segment(frames[i : i + AT_ONCE], components=components, seed=i))
        for i in range(0, len(frames), AT_ONCE)
    ]
    return np.concatenate(found)
