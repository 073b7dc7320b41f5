"""Small runs of the trainers in processes of their own, and what they computed."""

import concurrent.futures
import contextlib
import csv
import pathlib
import time

import keras
import numpy as np
import pytest

import nem_tf  # noqa: F401  (its classes are read from files)
from benchmarks.crash import outcome
from tests import forks
from trainers.training import board, pictures
from trainers.training.option import as_flags as flags

ROOT = pathlib.Path(__file__).parents[1]
SMALL = {  # most of such a run is tracing, of which a plain network needs least
    "recipe": "quick",
    "network": "narrow",
    "features": 32,
    "lanes": 1,
    "steps": 3,
    "batch-size": 8,
    "epochs": 2,
    "epoch-updates": 5,
    "validation-size": 12,
    "test-size": 8,
}
N_EM = {  # where the model does not matter: the quickest one
    **{name: value for name, value in SMALL.items() if name != "features"},
    **{"model": "n-em", "network": "paper", "reads": "error"},
}
MNIST = {**SMALL, "digits": "sklearn-digits", "stages": "20,50"}
__all__ = ["flags", "outcome"]


def begin(trainer, settings, devices=None, **environment):
    """Start a trainer; see `finish`."""
    module = [f"trainers.{trainer}"]
    if devices is not None:
        module = ["tests.on_devices", str(devices), trainer]
    return start([*module, *flags(settings)], **environment)


def start(line, **environment):
    """Start `python -m` with the given words; see `forks.Process`."""
    return forks.Process(line, environment)


def on_jax():
    """The environment of processes on JAX, which share what they compile."""
    return {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_COMPILATION_CACHE_DIR": str(forks.shared() / "compiled"),
    }


def run(program, *arguments, **environment):
    """Run `python -c PROGRAM` to its end."""
    finish(start(["-c", program, *map(str, arguments)], **environment))


def finish(process, status=0):
    """Wait for a trainer and return what it wrote to stderr."""
    _, error = process.communicate(timeout=300)
    assert process.returncode == status, error[-3000:]
    return error


def train(trainer, settings, devices=None, **environment):
    """Run a trainer to its end."""
    return finish(begin(trainer, settings, devices, **environment))


@contextlib.contextmanager
def eager():
    """While open, models are not traced, which takes longer than some few updates."""
    with pytest.MonkeyPatch.context() as patch:
        always = property(lambda _: True, lambda *_: None)
        patch.setattr(keras.Model, "run_eagerly", always)
        yield


@contextlib.contextmanager
def undrawn():
    """While open, runs of this process draw nothing, a third of a small one's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board, "Board", lambda *_: keras.callbacks.Callback())
        patch.setattr(pictures, "of_clip", lambda *_, **__: None)
        patch.setattr(pictures, "of_scores", lambda *_, **__: None)
        yield


def together(jobs):
    """Call functions without arguments, two at a time; a dict of what they return."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(job) for name, job in jobs.items()}
        return {name: future.result() for name, future in futures.items()}


def wait_for(condition, process):
    """Wait until a condition holds while the process runs."""
    while not condition():
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.02)


def states(folder):
    return sorted((folder / "last").glob("state-*[0-9].npz"))


def log(folder):
    """The rows of a run's log.csv as numbers, without the clock."""
    return read_log(folder / "log.csv")


def read_log(path):
    """The rows of a log.csv as numbers, without the clock."""
    with open(path) as file:
        rows = list(csv.DictReader(file))
    return [
        {name: float(value) for name, value in row.items() if name != "seconds"}
        for row in rows
    ]


def weights(folder, name="model.keras"):
    return keras.saving.load_model(folder / name, compile=False).get_weights()


def assert_same_run(folder, other, atol):
    """Equal weights, also those of each stage, and equal logs."""
    stages = [f"stages/{path.name}" for path in (other / "stages").glob("*.keras")]
    for name in ["model.keras", *stages]:
        pairs = zip(weights(folder, name), weights(other, name), strict=True)
        for ours, theirs in pairs:
            # Adam divides by the size of the gradient, so that where it is next to
            # nothing the last digit decides: some few weights may go astray.
            difference = np.abs(ours - theirs)
            assert np.mean(difference > atol) < 1e-3
            assert difference.max(initial=0.0) <= 100 * atol
    for ours, theirs in zip(log(folder), log(other), strict=True):
        assert ours.keys() == theirs.keys()
        for column, value in ours.items():
            # These count pixels, of which some change sides: at first, components
            # explain many alike, and the last digit decides.
            counted = ("ami", "ari", "purity", "distinct")
            atol = 0.02 if any(name in column for name in counted) else 1e-5
            np.testing.assert_allclose(value, theirs[column], rtol=1e-5, atol=atol)
