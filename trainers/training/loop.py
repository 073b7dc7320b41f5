"""One stage of training: keras.Model.fit from where the run stands."""

import csv
import dataclasses
import io
import time
from collections.abc import Callable

import keras
import numpy as np

from nem_tf import NeuralEM, pixels
from trainers.training import board, callbacks, keeping, progress, state
from trainers.training.devices import OneDevice
from trainers.training.errors import BadClips, Damaged, reason
from trainers.training.interrupts import Interrupts
from trainers.training.run_folder import RunFolder
from trainers.training.settings import Settings
from trainers.training.state import Position

LEVEL = 0.01  # of AMI


@dataclasses.dataclass
class Run:
    """A training run while it goes on."""

    config: Settings
    folder: RunFolder | None  # None where another host writes it
    title: str = ""  # names the experiment and the source of its data, for pictures
    devices: OneDevice = dataclasses.field(default_factory=OneDevice)
    interrupts: Interrupts = dataclasses.field(default_factory=Interrupts)
    at: Position = dataclasses.field(default_factory=Position)
    log: str = ""  # the text of log.csv
    restored: state.State | None = None  # what the next stage's model begins with
    compiled: bool = False  # whether this process has done an update
    began: float = dataclasses.field(default_factory=time.time)

    @property
    def seconds(self):
        """Seconds of training, those before an interruption included."""
        return self.at.seconds + time.time() - self.began

    @property
    def updates(self):
        """Updates done, over all stages."""
        return self.at.epochs * self.config.updates_per_epoch + self.at.update

    @property
    def done(self):
        """Updates done in the stage."""
        return self.at.epoch * self.config.updates_per_epoch + self.at.update

    def over(self, epochs):
        """Why the stage is over: "epochs", "patience" or "level"; None if it is not.

        Args:
            epochs: of the stage, at most.
        """
        if self.at.waited >= self.config.training.patience:
            return "patience"
        count = self.config.run.level_epochs
        if count and self.devices.any(self._is_level(count)):
            return "level"
        return "epochs" if self.at.epoch >= epochs else None

    def _is_level(self, count):
        """Whether the AMI of the stage's last `count` epochs is within 0.01."""
        rows = csv.DictReader(io.StringIO(self.log))
        stage = str(self.at.stage + 1)
        ami = [row.get("val_ami") for row in rows if row["stage"] == stage]
        last = [float(one) for one in ami[-count:] if one]
        return len(last) == count and max(last) - min(last) <= LEVEL

    @property
    def best(self):
        """The file of the stage's best model."""
        assert self.folder is not None
        if self.config.clips.stage_count == 1:
            return self.folder.best
        return self.folder / "stages" / f"{self.at.stage + 1}.keras"


def resume(run: Run) -> bool:
    """Go to where the run was saved last; False if it never was.

    Raises:
        state.Damaged: if no saved state is whole.
    """
    found = state.load(run.folder.states) if run.folder else None
    packed = run.devices.from_first(state.pack(found) if found else b"")
    if not packed:
        return False
    run.restored = state.unpack(packed)
    run.at = run.restored.position
    run.at.resumes += 1
    run.log = run.restored.log
    if run.folder:
        run.folder.write_text("log.csv", run.log)
    return True


def fit(
    run: Run,
    nem: NeuralEM,
    clips: Callable,
    *,
    learning_rate: float,
    epochs: int,
    name: str,
) -> None:
    """Train one stage until its epochs are over or the validation loss stops falling.

    Afterwards the model has the stage's best weights and the optimizer's moments of
    that time, and the run stands at the next stage.

    Args:
        run: the run it belongs to; its position moves on.
        nem: a compiled model.
        clips: function from a split, with keyword arguments of `nem_tf.data`, to its
            dataset: `clips("train", epochs=None)`.
        learning_rate: of the stage, before the schedule.
        epochs: at most so many.
        name: of the stage, for the progress bar.

    Raises:
        errors.NotFinite: if the loss becomes NaN or infinite.
        errors.BadClips: if a clip has a pixel that is not in [0, 1].
        interrupts.Stopped: if the run was asked to stop.
    """
    at, config = run.at, run.config
    if config.clips.stage_count > 1:
        name = f"stage {at.stage + 1}/{config.clips.stage_count}, {name}"
    updates = config.updates_per_epoch
    keep = keeping.Keep(run)
    schedule = callbacks.LearningRate(
        learning_rate, config.training.schedule, epochs * updates, run
    )
    with _bar(run, name, epochs) as bar:
        with bar.phase("preparing"):
            shown = _shown(run, clips, bar) if run.folder else []
            _begin(run, nem, keep)
        _train(run, nem, clips, epochs, [schedule, *shown, keep])
        with bar.phase("taking the best weights"):
            _take_best(run, nem)
            at.ended = run.over(epochs)
            at.next_stage()
            keep.save()


def _bar(run, name, epochs):
    """The bar of a stage; of many hosts, one shows it."""
    updates = run.config.updates_per_epoch
    later = sum(run.config.per_stage("epochs")[run.at.stage + 1 :])
    silent = run.folder is None
    return progress.Bar(name, epochs * updates, run.done, later * updates, silent)


def _train(run, nem, clips, epochs, listed):
    """Update the model until the stage is over.

    Args:
        run, nem, clips, epochs: see `fit`.
        listed: callbacks.
    """
    at, config = run.at, run.config
    updates = config.updates_per_epoch
    validation = clips("validation", clips=config.training.validation_size)
    while not run.over(epochs):
        listing = keras.callbacks.CallbackList(listed, add_history=True, model=nem)
        if at.update == updates:  # it was stopped in the validation
            _finish_epoch(nem, validation, listing, at)
            continue
        last = at.epoch + 1 if at.update else epochs
        seen = run.done * config.clips.batch_size
        try:
            nem.fit(
                clips(
                    "train", clips=config.training.train_size, epochs=None, skip=seen
                ),
                steps_per_epoch=updates - at.update,
                initial_epoch=at.epochs,
                epochs=at.earlier_epochs + last,
                validation_data=validation,
                shuffle=False,
                verbose=0,
                callbacks=listing,
            )
        except pixels.OutOfRange as error:
            raise BadClips(
                f"{error} (update {run.updates + 1}); the states saved before it are "
                "whole: mend the clips, then continue with --resume"
            ) from None


def _begin(run, nem, keep):
    """Give the model what was restored, or save what it begins with."""
    keep.set_model(nem)
    if run.restored is None:
        keep.save()
        return
    try:
        state.assign(state.variables_of(nem), run.restored.variables)
    except ValueError as error:
        raise Damaged(
            f"the saved state does not fit the model of this version ({error}); resume "
            "with the version that began the run"
        ) from None
    keep.metrics = run.restored.metrics
    run.restored = None


def _shown(run, clips, bar):
    """The callbacks of the host that writes and talks, in this order."""
    whole = {
        "clips": run.config.training.validation_size,
        "part": (0, 1),
    }  # also on host 0 of many
    validation = clips("validation", **whole)
    first = next(iter(validation))
    clip = {key: np.asarray(value[:1]) for key, value in first.items()}
    return [
        callbacks.EpochColumns(run),
        callbacks.ValidationAMI(validation, run, bar),
        keeping.Best(run),
        keeping.Log(run),
        board.Board(run.folder / "tensorboard", clip, run, bar),
        callbacks.Progress(bar, run),
    ]


def _finish_epoch(nem, validation, listing, at):
    """The end of an epoch whose updates were done before the run was resumed."""
    listing.on_train_begin()
    listing.on_epoch_begin(at.epochs)
    logs = nem.get_metrics_result()
    found = nem.evaluate(validation, verbose=0, return_dict=True, callbacks=listing)
    logs |= {f"val_{name}": value for name, value in found.items()}
    listing.on_epoch_end(at.epochs, logs)
    listing.on_train_end(logs)


def _take_best(run, nem):
    """Set the model on every host to the stage's best."""
    packed = b""
    if run.folder:
        with run.devices.alone():
            best = read_model(run.best)
            values = state.values(state.learned(best))
        packed = state.pack(state.State(run.at, "", values, []))
    values = state.unpack(run.devices.from_first(packed)).variables
    state.assign(state.learned(nem), values)


def read_model(path) -> NeuralEM:
    """The compiled model in a .keras file of the run.

    Raises:
        Damaged: if it cannot be read.
    """
    try:
        return keras.saving.load_model(path)
    except Exception as error:  # zip, HDF5 and Keras each have their own
        raise Damaged(
            f"{path} is damaged ({reason(error)[:200]}); put a copy in its place, then "
            "continue with --resume, or begin anew"
        ) from error
