"""What happens beside the updates: the learning rate, columns of the log, the bar."""

import math

import keras
import numpy as np

from nem_tf.scores import labelled_ami

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
            done = self.run.done
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
        bar: a `progress.Bar`.
    """

    def __init__(self, clips, run, bar):
        super().__init__()
        self.clips = clips
        self.run = run
        self.bar = bar

    def on_epoch_end(self, epoch, logs=None):
        if "groups" not in self.clips.element_spec:
            return
        scores = []
        with self.bar.phase("AMI of the validation clips"):
            for batch in self.clips.as_numpy_iterator():
                gamma = self.run.devices.predict(self.model, batch)["gamma"]
                scores.append(labelled_ami(batch["groups"][:, 1:], gamma))
        scores = np.concatenate(scores)  # (N, T)
        if np.isfinite(scores[:, -1]).any():
            logs["val_ami"] = float(np.nanmean(scores[:, -1]))
            logs["val_ami_mean"] = float(np.nanmean(scores))


class Progress(keras.callbacks.Callback):
    """Moves the bar of a stage; list it after what adds to the logs.

    Args:
        bar: a `progress.Bar`.
        run: a `loop.Run`, which knows whether the update was compiled.
    """

    def __init__(self, bar, run):
        super().__init__()
        self.bar = bar
        self.run = run

    def on_train_begin(self, logs=None):
        self.bar.begin("starting" if self.run.compiled else "compiling the update")

    def on_train_batch_end(self, batch, logs=None):
        self.run.compiled = True
        self.bar.update(logs["loss"])

    def on_test_begin(self, logs=None):
        self.bar.begin("validation")

    def on_test_end(self, logs=None):
        self.bar.end()

    def on_epoch_end(self, epoch, logs=None):
        scores = f"validation {logs['val_loss']:.1f}"
        if "val_ami" in logs:  # of the last step, as in the tables
            scores = f"AMI {logs['val_ami']:.3f}, {scores}"
        self.bar.epoch(scores)
