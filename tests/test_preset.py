"""Presets: what is written, what is read back, and what a damaged one says."""

import json
import shutil

import numpy as np
import pytest

from nem_tf import NeuralEM, preset
from tests import runs, tiny
from trainers import evaluate
from trainers.training import trained

SHIPPED = ("static_shapes", "flying_shapes", "flying_mnist")


@pytest.mark.parametrize("kind", ["conv", "dense", "n-em"])
def test_a_preset_brings_back_model_and_loss(kind, rng, tmp_path):
    nem = tiny.model(kind)
    nem.save_to_preset(tmp_path / "mine", card="# mine\n", training={"experiment": "x"})
    again = NeuralEM.from_preset(tmp_path / "mine")
    batch = tiny.batch(rng)
    with runs.eager():
        ours, theirs = nem.predict_on_batch(batch), again.predict_on_batch(batch)
    np.testing.assert_allclose(ours["psi"], theirs["psi"], atol=5e-3)
    for one, other in zip(nem.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one.astype("float16"), other)
    assert again.loss.get_config() == nem.loss.get_config()
    assert again.cell.components == nem.cell.components
    assert (tmp_path / "mine" / "README.md").read_text() == "# mine\n"
    assert preset.describe(tmp_path / "mine") == {"experiment": "x"}


def test_a_preset_is_replaced_but_nothing_else_is(tmp_path):
    nem = tiny.model("dense")
    nem.save_to_preset(tmp_path / "mine")
    nem.set_weights([weight + 1 for weight in nem.get_weights()])
    nem.save_to_preset(tmp_path / "mine")
    again = NeuralEM.from_preset(tmp_path / "mine")
    np.testing.assert_allclose(
        again.get_weights()[0], nem.get_weights()[0], rtol=1e-3, atol=1e-3
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="holds something else"):
        nem.save_to_preset(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_full_disk_leaves_the_preset_as_it_was(tmp_path, monkeypatch):
    tiny.model("dense").save_to_preset(tmp_path / "mine")
    files = {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()}

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(type(tmp_path), "write_text", full)  # the weights are written
    with pytest.raises(OSError, match="no space left"):
        tiny.model("dense").save_to_preset(tmp_path / "mine")
    monkeypatch.undo()
    assert files == {x: x.read_bytes() for x in (tmp_path / "mine").iterdir()}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_weights_that_float16_cannot_hold_are_refused(value, tmp_path):
    nem = tiny.model("dense")
    weights = nem.get_weights()
    weights[0][0, 0] = value
    nem.set_weights(weights)
    with pytest.raises(ValueError, match="at most 65504"):
        nem.save_to_preset(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_mistakes_say_what_there_is(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="expected .*static_shapes.* or a folder"):
        NeuralEM.from_preset("moving_shapes")
    with pytest.raises(ValueError, match="call compile first"):
        NeuralEM(tiny.cell()).save_to_preset(tmp_path / "mine")
    nem = tiny.model("dense")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="ships with nem_tf and would be loaded"):
        nem.save_to_preset("flying_shapes")
    with pytest.raises(ValueError, match="preset: expected"):
        NeuralEM.from_preset("./flying_shapes")  # a folder that is not there
    nem.save_to_preset(tmp_path / "mine")
    damages = {
        "model.json": lambda path: path.write_text(path.read_text()[:-20]),
        "weights.npz": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    }
    for name, damage in damages.items():
        copy = tmp_path / name
        shutil.copytree(tmp_path / "mine", copy)
        damage(copy / name)
        with pytest.raises(ValueError, match="cannot be read .*; restore the folder"):
            NeuralEM.from_preset(copy)
    empty = tmp_path / "empty"
    shutil.copytree(tmp_path / "mine", empty)
    (empty / "weights.npz").write_bytes(b"")
    nothing = tmp_path / "nothing"
    shutil.copytree(tmp_path / "mine", nothing)
    (nothing / "model.json").write_text('{"model": null, "loss": {}, "training": {}}')
    for folder in (empty, nothing):
        with pytest.raises(ValueError, match="cannot be read .*; restore the folder"):
            NeuralEM.from_preset(folder)
    with pytest.raises(ValueError, match="training: expected what JSON can hold"):
        nem.save_to_preset(tmp_path / "new", training={"out": tmp_path})
    assert not (tmp_path / "new").exists()
    tiny.model("conv").save_to_preset(tmp_path / "conv")
    shutil.copy(tmp_path / "conv" / "weights.npz", tmp_path / "mine" / "weights.npz")
    with pytest.raises(ValueError, match="weights that model.json describes"):
        NeuralEM.from_preset(tmp_path / "mine")


def test_presets_ship_with_their_cards():
    assert set(SHIPPED) <= set(preset.names())
    for name in preset.names():
        folder = preset.SHIPPED / name
        assert folder.joinpath("weights.npz").stat().st_size < 8e6
        card = folder.joinpath("README.md").read_text()
        for heading in ("## Data", "## Training", "## Scores", "## Limits"):
            assert heading in card
        about = json.loads(folder.joinpath("model.json").read_text())["training"]
        assert f"| {about['results']['test']['ami']['last']:.3f} |" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_a_preset_scores_what_its_card_claims(name):
    """On its first 100 test clips, within four standard errors."""
    model = trained.load(name)
    claimed = model.results["test"]
    if model.data == "mnist":
        pytest.importorskip("tensorflow_datasets")
        from nem_tf.data.digits import prepared_mnist

        if prepared_mnist() is None:
            pytest.skip("TFDS_DATA_DIR names no prepared MNIST")
    config = evaluate.Config(clips=100)
    found = evaluate.Evaluation(model, config).score()["test"]
    more = np.sqrt(1 + claimed["clips"] / found["clips"])  # the error of a difference
    for score in ("ami", "ami_arithmetic", "ari"):
        error = more * claimed[score]["last_standard_error"]
        assert abs(found[score]["last"] - claimed[score]["last"]) < 4 * error, score
        assert error < 0.03
