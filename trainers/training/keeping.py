"""What is kept of a run while it trains: its best model and its state."""

import csv
import io
import math
import shutil
import time

import keras
import numpy as np

from trainers.training import state
from trainers.training.errors import NotFinite
from trainers.training.files import replacing
from trainers.training.interrupts import Stopped


class Best(keras.callbacks.Callback):
    """Keeps the model of the stage's lowest validation loss.

    Args:
        run: a `loop.Run`; its position holds the loss.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        if not logs["val_loss"] < self.run.at.best:
            return
        self.run.folder.check()
        best = self.run.best
        best.parent.mkdir(exist_ok=True)
        model = self.model  # of a JAX backend, brought up to date by this line
        with replacing(best) as beside, self.run.devices.alone():
            model.save(beside)
        if best != self.run.folder.best:
            with replacing(self.run.folder.best) as beside:
                shutil.copyfile(best, beside)


class Log(keras.callbacks.Callback):
    """Adds an epoch to log.csv; the run holds its text, which is saved with the state.

    Args:
        run: a `loop.Run`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        columns = ["epoch", *sorted(logs)]
        text = io.StringIO()
        rows = csv.DictWriter(text, columns, lineterminator="\n")
        if not self.run.log:
            rows.writeheader()
        rows.writerow({"epoch": epoch, **logs})
        self.run.log += text.getvalue()
        self.run.folder.write_text("log.csv", self.run.log)


class Keep(keras.callbacks.Callback):
    """Moves the run's position on, and saves its state from time to time.

    The state is saved after each epoch, every `--save-minutes`, and when the run is
    asked to stop. List it last: what a saved state holds has then been written.

    Args:
        run: a `loop.Run`.

    Attributes:
        metrics: values of the running metrics, to begin a resumed epoch with.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.metrics = []
        self.saved = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        if self.metrics:
            state.assign(self.model.metrics_variables, self.metrics)
            if self.run.at.update < self.run.config.updates_per_epoch:
                self.metrics = []

    def on_train_batch_end(self, batch, logs=None):
        at, config = self.run.at, self.run.config
        at.update += 1
        self._check("loss", logs["loss"])
        if at.update == config.updates_per_epoch:
            # The validation will begin its own.
            self.metrics = state.values(self.model.metrics_variables)
        asked = self._asked()
        if asked or time.monotonic() - self.saved >= 60.0 * config.run.save_minutes:
            self.save()
        if asked:
            self._stop()

    def on_test_batch_end(self, batch, logs=None):
        if self._asked():
            self.save()
            self._stop()

    def on_epoch_end(self, epoch, logs=None):
        at = self.run.at
        self._check("validation loss", logs["val_loss"])
        at.waited = 0 if logs["val_loss"] < at.best else at.waited + 1
        at.best = min(at.best, logs["val_loss"])
        at.epoch, at.update, self.metrics = at.epoch + 1, 0, []
        self.save()
        if self._asked():
            self._stop()
        most = self.run.config.per_stage("epochs")[at.stage]
        self.model.stop_training = self.run.over(most) is not None

    def save(self):
        """Save the state as it is now."""
        self.saved = time.monotonic()
        run = self.run
        if run.folder is None:
            return
        run.folder.check()
        values = state.values(state.variables_of(self.model))
        if not all(np.isfinite(value).all() for value in values):
            self._check("a weight", math.nan)
        metrics = []
        if run.at.update:
            metrics = self.metrics or state.values(self.model.metrics_variables)
        run.at.seconds, run.began = run.seconds, time.time()
        self.path = state.save(
            run.folder.states, state.State(run.at, run.log, values, metrics)
        )

    def _asked(self):
        run = self.run
        return run.devices.any(run.interrupts.status is not None)

    def _stop(self):
        run = self.run
        where = "host 0 has the state"
        if run.folder is not None:
            where = (
                f"the state is in {self.path}; continue with --resume {run.folder.path}"
            )
        raise Stopped(
            run.interrupts.status or 143, f"stopped after update {run.updates}; {where}"
        )

    def _check(self, what, value):
        if math.isfinite(value):
            return
        run = self.run
        kept = "host 0 keeps the state before it"
        if run.folder is not None:
            kept = f"the state before it is in {run.folder.states}"
        raise NotFinite(
            f"{what} became {value} at update {run.updates} (stage {run.at.stage + 1}, "
            f"epoch {run.at.epoch + 1}); {kept}, the best model so far is untouched; "
            "begin another run with smaller --learning-rates"
        )
