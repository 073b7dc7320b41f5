"""What every test has: quiet TensorFlow, exact float32, one source of randomness."""

import json
import os
import pathlib
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What XLA compiles runs once or twice: the compiler need not make it fast.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import numpy as np
import pytest

from tests import forks
from trainers.training import progress

LONGEST = (  # files of more than 12 s, the longest first
    *("keras_habits", "devices", "trainers", "export_saved_model", "export_client"),
    *("speed_settings", "faults", "benchmarks", "reproduce", "own_clips_doc"),
    *("layered_served", "resume", "extending", "evaluate", "labels", "tour"),
    *("own_file", "export_server", "data_shapes", "export_segment", "earlier"),
    *("sweep", "properties", "preset", "layered_segment", "model", "stream"),
)

# TensorFlow is imported by what uses it: the process that hands out the tests does not.


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # not a worker of pytest-xdist
        pipe = forks.begin()
        config.add_cleanup(lambda: forks.end(pipe))


def pytest_collection_modifyitems(items):
    """The longest files come first: last, they would run on alone."""
    place = {f"test_{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(autouse=True, scope="session")
def _exact():
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


@pytest.fixture(autouse=True)
def _same_start(monkeypatch):
    import keras

    keras.utils.set_random_seed(0)
    # A busy machine says no more than a quick one does.
    monkeypatch.setattr(progress, "LONG", 3600.0)
    yield
    keras.config.set_dtype_policy("float32")


class Exported(NamedTuple):
    """A tiny trained model and what was exported from it."""

    nem: Any  # NeuralEM
    run: pathlib.Path  # with model.keras, config.json and results.json
    models: pathlib.Path  # with tiny_k3 and tiny_k4

    @property
    def k4(self):
        return self.models / "tiny_k4" / "1"


@pytest.fixture(scope="session")
def exported():
    """A model folder as the command makes it, once for all workers."""
    import keras

    folder = forks.shared() / "exported"
    with forks.alone("exported"):
        if not folder.exists():
            _export(folder.with_suffix(".part")).rename(folder)
    run = folder / "run"
    nem = keras.saving.load_model(run / "model.keras")
    return Exported(nem, run, folder / "models")


def _export(folder):
    import keras

    from export import saved_model
    from tests import tiny

    keras.utils.set_random_seed(0)
    run, models = folder / "run", folder / "models"
    run.mkdir(parents=True)
    nem = tiny.model("conv", eager=True)
    nem.train_on_batch(tiny.batch(np.random.default_rng(1)))
    nem.save(run / "model.keras")
    config = {"experiment": "tiny", "settings": {"steps": 5, "components": 4}}
    (run / "config.json").write_text(json.dumps({**config, "data": "generated"}))
    curve = {"last": 0.5, "mean": 0.25, "per_step": [0.0, 0.5]}
    scores = {"test": {"clips": 8, "loss": 9.0, "ami": curve, "ari": curve}}
    (run / "results.json").write_text(json.dumps(scores))
    flags = ["--out", str(models), "--components", "3,4", "--batch-sizes", "1,2"]
    assert saved_model.main([str(run), *flags]) == 0
    return folder


@pytest.fixture
def simple(rng):
    """A `Trained` of N-EM, whose graphs are the quickest to make."""
    from tests import tiny
    from trainers.training.trained import Trained

    nem = tiny.model("n-em")
    nem(tiny.batch(rng))
    return Trained(nem, "tiny", {"steps": 5}, "generated", None, {}, None)


@pytest.fixture
def rng():
    """The random numbers of a test."""
    return np.random.default_rng(0)
