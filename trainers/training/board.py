"""What TensorBoard shows of a run: curves by group, a clip, settings, HParams.

loss/         of each update, and of the validation clips; nats per clip
grouping/     how well clips are grouped: AMI and others
run/          learning rate, stage, seconds, and one validation clip
test/         AMI and loss of the best model on the test clips
settings      all of them, as text

The curves are called `train`, `validation` and `test`; they run over the updates of all
stages. HParams has the settings that matter most, with what is under test/ beside them.
"""

import re
import time

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.summary import Writer

from nem_tf import plots
from trainers.training.option import as_text
from trainers.training.pictures import of_objects
from trainers.training.report import SEGMENTS

FLUSH_SECONDS = 10.0  # what is younger may not be seen yet
GROUPING = ("ami", "ami_mean", "ari", "distinct_components", "purity")
MEANING = {
    "loss": "nats per clip (Eq. 5)",
    "next_step_bound": "-log P of the next frame under max psi, nats per frame",
    "next_step_error": "-log P of the next frame under the mixture, nats per frame",
    "ami": "adjusted mutual information at the last step: 1 is perfect, 0 chance",
    "ami_mean": "adjusted mutual information, mean over steps",
    "ari": "adjusted Rand index, mean over steps: 1 is perfect, 0 chance",
    "distinct_components": "components that dominate an object, mean over clips",
    "purity": "share of an object's pixels in its dominating component",
    "foreground_ari": "adjusted Rand index of labelled pixels at the last step",
    "ari_with_background": "the same, background being one more object",
    "best_overlap": "intersection over union of an object and its best segment",
    "psnr": "of the predicted next frame at the last step, dB",
    "moving_foretold": "share of moving pixels met better than by the background",
    "seconds": "of training, those before an interruption included",
}
OF_RUN = ("learning_rate", "stage", "seconds")
HPARAMS = (
    "recipe",
    "stages",  # of flying MNIST
    "objects",
    "components",
    "model",
    "network",
    "inter_weight",
    "floor",
    "learning_rates",
    "seed",
)


class Board(keras.callbacks.Callback):
    """Writes the curves and, after each epoch, a picture of one validation clip.

    Keras reports the mean loss of an epoch's updates so far; each one's own is worked
    out from it, without another look at the device.

    Args:
        folder: where the event files go.
        batch: dict of arrays as `nem_tf.data` makes them; its first clip is shown.
        run: a `loop.Run`.
        bar: a `progress.Bar`.
    """

    def __init__(self, folder, batch, run, bar):
        super().__init__()
        self.folder = folder
        self.batch = {name: value[:1] for name, value in batch.items()}
        self.run = run
        self.bar = bar

    def on_train_begin(self, logs=None):
        # Ten times faster than tf.summary, and there is a value for each update.
        self.train = Writer(str(self.folder / "train"))
        self.validation = _writer(self.folder, "validation")
        self.flushed = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        # The sum of a resumed epoch's losses is not known before its next update.
        self.total = None if self.run.at.update else 0.0

    def on_train_batch_end(self, batch, logs=None):
        before, self.total = self.total, logs["loss"] * (self.run.at.update + 1)
        if before is not None:
            loss, at = self.total - before, self.run.updates + 1
            self.train.add_scalar("loss/total", loss, at, description=MEANING["loss"])
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self._flush()

    def on_epoch_end(self, epoch, logs=None):
        at = self.run.updates
        with self.bar.phase("drawing"):
            image = plots.image_of(self._figure(epoch))
        with self.validation.as_default(step=at):
            tf.summary.image("run/clip", image[None])
            for key, value in logs.items():
                name = key.removeprefix("val_")
                tag, meaning = tag_of(name), MEANING.get(name)
                if name != key:
                    tf.summary.scalar(tag, value, description=meaning)
                elif key not in ("loss", "updates"):  # of each update; the axis
                    self.train.add_scalar(tag, value, at, description=meaning)
        self._flush()

    def _flush(self):
        self.flushed = time.monotonic()
        self.train.flush()
        self.validation.flush()

    def on_train_end(self, logs=None):
        self.train.close()
        self.validation.close()

    def _figure(self, epoch):
        outputs = self.run.devices.predict(self.model, self.batch)
        x, noisy = self.batch["clean"][0, 1:], self.batch["noisy"][0]
        gamma = of_objects(self.model.cell, self.batch, outputs["gamma"], 0)
        return plots.overview(
            x,
            outputs["psi"][0],
            gamma,
            noisy=None if np.array_equal(noisy[1:], x[:-1]) else noisy,
            title=f"{self.run.title}, after epoch {epoch + 1}",
            max_columns=7,  # more would be too small to read in TensorBoard
        )


def tag_of(name):
    """The tag of a value in Keras's logs: its group and its name."""
    if name in GROUPING:
        return f"grouping/{name}"
    if name in OF_RUN:
        return f"run/{name}"
    return "loss/total" if name == "loss" else f"loss/{name}"


def write_settings(folder, settings, name):
    """Show a run's settings as text, and those of `HPARAMS` under HParams.

    Args:
        folder: where the event files go.
        settings: dict of plain values.
        name: of the run under HParams, which has room for 13 letters.
    """
    rows = [f"| {key} | {as_text(value)} |" for key, value in settings.items()]
    table = "\n".join(["| setting | value |", "|---|---|", *rows])
    with _writer(folder, "train").as_default(step=0):
        tf.summary.text("settings", table)
    chosen = {key: settings[key] for key in HPARAMS if key in settings}
    with _writer(folder, "test").as_default(step=0):
        flat = {key: _flat(value) for key, value in chosen.items()}
        hparams.hparams(flat, trial_id=name)


def short_name(path):
    """A run's name in few letters: without its date, or with the folder above it."""
    dated = re.fullmatch(r"[0-9]{8}-(.+)", path.name)
    return dated[1] if dated else "/".join(path.parts[-2:])


def _flat(value):
    """HParams takes numbers and strings only."""
    return value if isinstance(value, bool | int | float | str) else as_text(value)


def write_scores(folder, test, updates):
    """Show the scores of the test clips, also under HParams.

    Args:
        folder: where the event files go.
        test: what `scoring.summary` returned.
        updates: of the whole training.
    """
    found = {"loss": test["loss"]}
    if "ami" in test:
        found |= {"ami": test["ami"]["last"], "ami_mean": test["ami"]["mean"]}
    for name in SEGMENTS:
        if name in test:
            found[name] = test[name]["last"]
    found |= {name: test[name] for name in ("psnr", "moving_foretold") if name in test}
    with _writer(folder, "test").as_default(step=updates):
        for name, value in found.items():
            tf.summary.scalar(f"test/{name}", value, description=MEANING.get(name))


def _writer(folder, name):
    return tf.summary.create_file_writer(str(folder / name))
