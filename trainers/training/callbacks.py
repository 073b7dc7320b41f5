"""What happens beside the updates: learning rate, log lines, pictures, progress."""

import math
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tqdm import tqdm

from nem_tf import plots
from nem_tf.scores import labelled_ami

_COMPILED, _TIMED = 1, 10  # updates before the estimate, and those it looks at
WARMUP_UPDATES = 100  # of the cosine schedule: Adam's moments are noise at first


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate of each update of a stage.

    Args:
        peak: the stage's learning rate.
        schedule: `"constant"`, or `"cosine"`: a linear rise over 100 updates, then half
            a cosine that reaches 0 after `updates`.
        updates: length of the stage.
        run: a `loop.Run`; its position says how many of them are done.
    """

    def __init__(self, peak, schedule, updates, run):
        super().__init__()
        self.peak = peak
        self.schedule = schedule
        self.updates = updates
        self.run = run

    def on_train_begin(self, logs=None):
        if self.schedule == "constant":
            self._set(self.peak)

    def on_train_batch_begin(self, batch, logs=None):
        if self.schedule == "cosine":
            at = self.run.at
            done = at.epoch * self.run.config.updates_per_epoch + at.update
            rise = min(1.0, (done + 1) / WARMUP_UPDATES)
            fall = 0.5 + 0.5 * math.cos(math.pi * done / self.updates)
            self._set(self.peak * rise * fall)

    def _set(self, rate):
        self.model.optimizer.learning_rate.assign(rate)


class EpochColumns(keras.callbacks.Callback):
    """Adds to each epoch's logs what Keras does not know; list it before the loggers.

    Args:
        run: a `loop.Run`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        logs["learning_rate"] = float(rate)
        logs["stage"] = self.run.at.stage + 1
        logs["updates"] = self.run.updates
        logs["seconds"] = round(self.run.seconds, 1)


class ValidationAMI(keras.callbacks.Callback):
    """Adds the AMI of the validation clips to each epoch's logs; list it as above.

    `val_ami` is that of the last step, `val_ami_mean` the mean over steps. Frames
    without a labelled pixel do not count; without any label there is neither.

    Args:
        clips: dataset of all validation clips.
        run: a `loop.Run`.
    """

    def __init__(self, clips, run):
        super().__init__()
        self.clips = clips
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        scores = []
        if "groups" not in self.clips.element_spec:
            return
        for batch in self.clips.as_numpy_iterator():
            gamma = self.run.devices.predict(self.model, batch)["gamma"]
            scores.append(labelled_ami(batch["groups"][:, 1:], gamma))
        scores = np.concatenate(scores)  # (N, T)
        if np.isfinite(scores[:, -1]).any():
            logs["val_ami"] = float(np.nanmean(scores[:, -1]))
            logs["val_ami_mean"] = float(np.nanmean(scores))


class Pictures(keras.callbacks.Callback):
    """Shows one validation clip in TensorBoard after each epoch.

    Args:
        folder: where the event file goes.
        batch: dict of arrays as `nem_tf.data` makes them; its first clip is shown.
        run: a `loop.Run`.
    """

    def __init__(self, folder, batch, run):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(folder))
        self.batch = {name: value[:1] for name, value in batch.items()}
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        outputs = self.run.devices.predict(self.model, self.batch)
        figure = plots.overview(
            self.batch["clean"][0, 1:],
            outputs["psi"][0],
            outputs["gamma"][0],
            noisy=self.batch["noisy"][0],
            title=f"{self.run.title}, after epoch {epoch + 1}",
            max_columns=7,  # more would be too small to read in TensorBoard
        )
        with self.writer.as_default():
            tf.summary.image("clip", plots.image_of(figure)[None], step=epoch)
        self.writer.flush()


class Progress(keras.callbacks.Callback):
    """One bar over all updates that a stage may take, with the time left.

    Where stderr is no terminal, a line per epoch instead. In either case a line about
    the time that all stages may take, as soon as an update's is known.

    Args:
        label: what the bar is about.
        updates: of the stage, at most.
        later: of the stages after it, at most.
        run: a `loop.Run`.
    """

    def __init__(self, label, updates, later, run):
        super().__init__()
        self.label = label
        self.updates = updates
        self.later = later
        self.run = run

    def on_train_begin(self, logs=None):
        self.began = time.time()
        self.first = self._done()
        self.seen = 0
        self.bar = tqdm(
            total=self.updates,
            initial=self.first,
            desc=self.label,
            unit="update",
            disable=not sys.stderr.isatty(),
            smoothing=0.05,
            dynamic_ncols=True,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()
        self.seen += 1
        if self.seen == _COMPILED:
            self.compiled = time.time()
        if self.seen == _COMPILED + _TIMED:
            seconds = (time.time() - self.compiled) / _TIMED
            left = self._left()
            line = (
                f"{self.label}: {seconds:.2g} s an update on this machine, at most "
                f"{_clock(seconds * left)} for the {left} to come, and validation"
            )
            self.bar.write(line, file=sys.stderr)

    def on_epoch_end(self, epoch, logs=None):
        scores = f"loss {logs['loss']:.1f}, validation {logs['val_loss']:.1f}"
        if "val_ari" in logs:
            scores += f", ARI {logs['val_ari']:.3f}"
        self.bar.set_postfix_str(scores)
        if self.bar.disable:
            done = self._done()
            spent = time.time() - self.began
            left = self._left() * spent / max(done - self.first, 1)
            line = (
                f"{self.label}: {done}/{self.updates} updates, {_clock(spent)} spent, "
                f"at most {_clock(left)} left, {scores}"
            )
            print(line, file=sys.stderr, flush=True)

    def on_train_end(self, logs=None):
        self.bar.close()

    def _left(self):
        """Updates to come in all stages, at most."""
        return self.updates - self._done() + self.later

    def _done(self):
        at = self.run.at
        return at.epoch * self.run.config.updates_per_epoch + at.update


def write_settings(folder, settings):
    """Show a run's settings in TensorBoard, as a table and under HParams.

    Args:
        folder: where the event file goes.
        settings: dict of plain values.
    """
    settings = {name: _flat(value) for name, value in settings.items()}
    rows = [f"| {name} | {value} |" for name, value in settings.items()]
    table = "\n".join(["| setting | value |", "|---|---|", *rows])
    with tf.summary.create_file_writer(str(folder)).as_default():
        tf.summary.text("settings", table, step=0)
        hparams.hparams(settings)


def _flat(value):
    """HParams takes numbers and strings only."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return value if isinstance(value, bool | int | float | str) else str(value)


def _clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
