"""What earlier versions saved is read, computes the same, and goes on exactly.

`golden/earlier` holds a run that was stopped in its second stage, how it would have
ended, and what its model and the shipped presets found on some clips.
"""

import pathlib
import shutil

import keras
import numpy as np
import pytest

import nem_tf
from nem_tf import NeuralEM, data
from tests import runs

EARLIER = pathlib.Path(__file__).parent / "golden" / "earlier"
PRESETS = ("static_shapes", "flying_shapes", "flying_mnist")


def clips(name):
    """A clip such as a preset was trained on; the same ones in each version."""
    made = {
        "static_shapes": lambda: data.static_shapes("test", steps=4, clips=1),
        "flying_shapes": lambda: data.flying_shapes("test", steps=4, clips=1),
        "flying_mnist": lambda: data.flying_mnist(
            "test", digits="sklearn-digits", steps=4, clips=1
        ),
    }[name]()
    return {key: np.asarray(value) for key, value in next(iter(made)).items()}


def assert_finds_the_same(nem, name, batch):
    outputs = nem.predict_on_batch(batch)
    with np.load(EARLIER / "found.npz") as found:
        for part in ("psi", "gamma"):
            wanted = found[f"{name}/{part}"]
            np.testing.assert_allclose(outputs[part], wanted, atol=2e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_presets(name):
    nem = NeuralEM.from_preset(name)
    nem.cell.object_pixels = 0.0  # as it was
    if name == "static_shapes":
        nem.cell.floor = 0.0  # as it was
    assert_finds_the_same(nem, name, clips(name))


def test_a_keras_file():
    nem = keras.saving.load_model(EARLIER / "run" / "model.keras")
    assert isinstance(nem.loss, nem_tf.NEMLoss) and nem.loss.inter_weight == 0.2
    assert int(np.asarray(nem.optimizer.iterations.value)) == 10
    assert_finds_the_same(nem, "model.keras", clips("flying_mnist"))


@pytest.mark.slow
def test_a_run_goes_on_exactly(tmp_path):
    out = tmp_path / "run"
    shutil.copytree(EARLIER / "run", out)
    runs.train("flying_mnist", {"resume": out}, devices=1)
    with np.load(EARLIER / "end.npz") as end:
        wanted = [end[name] for name in sorted(end.files)]
    found = runs.weights(out, "stages/2.keras")
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    theirs = runs.read_log(EARLIER / "log.csv")
    for row, other in zip(runs.log(out), theirs, strict=True):
        for column in ("epoch", "loss", "intra", "inter", "val_loss", "learning_rate"):
            np.testing.assert_allclose(row[column], other[column], rtol=1e-5)
