"""One stage of training: keras.Model.fit, early stopping, the run folder's files."""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable

import keras
import numpy as np

from nem_tf import NeuralEM
from trainers import callbacks
from trainers.options import Config
from trainers.run_folder import RunFolder


@dataclasses.dataclass
class Run:
    """A training run while it goes on."""

    config: Config
    folder: RunFolder
    title: str  # names the experiment and the source of its data, for pictures
    began: float = dataclasses.field(default_factory=time.time)
    stage: int = 0  # stages begun
    epochs: int = 0  # epochs done, over all stages


def fit(
    run: Run,
    nem: NeuralEM,
    clips: Callable,
    *,
    learning_rate: float,
    epochs: int,
    name: str,
) -> NeuralEM:
    """Train one stage until its epochs are over or the validation loss stops falling.

    Args:
        run: the run it belongs to; its counters move on.
        nem: a compiled model.
        clips: function from a split, with keyword arguments of `nem_tf.data`, to its
            dataset: `clips("train", epochs=None)`.
        learning_rate: of the stage, before the schedule.
        epochs: at most so many.
        name: of the stage, for the progress bar and the file.

    Returns:
        the model with the stage's best weights and the optimizer's moments of that
        time.
    """
    config, folder = run.config, run.folder
    run.stage += 1
    updates = config.updates_per_epoch
    validation = clips("validation", clips=config.validation_size)
    batch = next(iter(clips("validation", clips=1)))
    batch = {key: np.asarray(value) for key, value in batch.items()}
    if config.stage_count > 1:
        name = f"stage {run.stage}/{config.stage_count}, {name}"
    board = folder / "tensorboard"
    history = nem.fit(
        clips("train", clips=config.train_size, epochs=None),
        steps_per_epoch=updates,
        initial_epoch=run.epochs,
        epochs=run.epochs + epochs,
        validation_data=validation,
        shuffle=False,
        verbose=0,
        callbacks=[
            callbacks.LearningRate(learning_rate, config.schedule, epochs * updates),
            callbacks.EpochColumns(run.stage, run.began, updates),
            keras.callbacks.ModelCheckpoint(
                str(folder.best), monitor="val_loss", save_best_only=True
            ),
            Last(run),
            keras.callbacks.CSVLogger(str(folder / "log.csv"), append=True),
            keras.callbacks.TensorBoard(str(board), write_graph=False),
            callbacks.Pictures(board / "validation", batch, run.title),
            callbacks.Progress(name, epochs, updates),
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=config.patience),
        ],
    )
    run.epochs += len(history.epoch)
    if config.stage_count > 1:
        (folder / "stages").mkdir(exist_ok=True)
        shutil.copy(folder.best, folder / "stages" / f"{run.stage}.keras")
    return keras.saving.load_model(folder.best)


class Last(keras.callbacks.Callback):
    """Keeps the state after the latest epoch: model, optimizer, counters."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.best = float("inf")
        self.waited = 0

    def on_epoch_end(self, epoch, logs=None):
        self.waited = 0 if logs["val_loss"] < self.best else self.waited + 1
        self.best = min(self.best, logs["val_loss"])
        state = {
            "stage": self.run.stage,
            "epochs": epoch + 1,
            "stage_epochs": epoch + 1 - self.run.epochs,
            "best_validation_loss": self.best,
            "epochs_without_better": self.waited,
        }
        target = self.run.folder / "last"
        beside = self.run.folder / "last.part"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        self.model.save(beside / "model.keras")
        (beside / "state.json").write_text(json.dumps(state, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
