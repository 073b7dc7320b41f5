"""What no component predicts goes to the nearest: the `halo` of the cells."""

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nem_tf import NEMLoss, NeuralEM
from nem_tf.cells.em_cell import NEAR
from tests import tiny
from tests.tiny import B, H, K, T, W


def cell(kind="dense", likelihood="bernoulli", **changed):
    """`tiny.cell`, made again with a halo."""
    made = tiny.cell(kind, likelihood)
    return type(made).from_config({**made.get_config(), "halo": 2.0, **changed})


def test_it_is_a_blurred_psi(rng):
    psi = rng.random((B, K, H, W, 1)).astype("float32")
    found = np.asarray(cell().reaching(psi))
    for b, k in np.ndindex(B, K):
        near = gaussian_filter(psi[b, k, ..., 0], 2.0, mode="constant", radius=6)
        near /= near.max() + 1e-3
        expected = psi[b, k, ..., 0] + NEAR * near * (1 - psi[b, k, ..., 0])
        np.testing.assert_allclose(found[b, k, ..., 0], expected, rtol=2e-3)


def test_an_object_that_none_predicts_goes_to_the_nearest():
    """Two predict one end of a row each; what lies between them is divided."""
    x, psi = np.ones((1, H, W, 1), "float32"), np.full((1, 2, H, W, 1), 1e-3, "float32")
    psi[:, 0, :, :2], psi[:, 1, :, -2:] = 0.9, 0.9
    gamma = np.asarray(cell().assign(x, psi))[0, 0, ..., 0]
    assert (gamma[:, : W // 2] > 0.5).all() and (gamma[:, W // 2 :] < 0.5).all()
    without = np.asarray(cell(halo=0.0).assign(x, psi))[0, 0, ..., 0]
    np.testing.assert_allclose(without[:, 2:-2], 0.5, atol=1e-6)


@pytest.mark.parametrize("steps", ["all", "last"])
def test_model_and_loss_know_it(steps, rng):
    nem, batch = NeuralEM(cell(), objects=3), tiny.batch(rng)
    nem.compile("adam", loss=NEMLoss(steps=steps), run_eagerly=True)
    found = nem.predict_on_batch(batch)
    x, psi = batch["clean"][:, 1:], found["psi"]
    expected = nem.cell.e_step(x, nem.cell.reaching(psi))
    np.testing.assert_allclose(found["gamma"], expected, atol=1e-6)
    before = nem.test_on_batch(batch, return_dict=True)["loss"]
    terms = NEMLoss("bernoulli", steps=steps).per_clip(
        x.astype("float32"), {"psi": psi, "gamma": np.asarray(expected)}
    )
    np.testing.assert_allclose(before, np.mean(terms["loss"]), rtol=1e-4)


def test_it_is_saved(tmp_path, rng):
    nem, batch = NeuralEM(cell(), objects=3), tiny.batch(rng)
    before = nem.predict_on_batch(batch)
    nem.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.cell.halo == 2.0
    np.testing.assert_array_equal(
        again.predict_on_batch(batch)["gamma"], before["gamma"]
    )


def test_a_stream_goes_with_it(rng):
    nem = NeuralEM(cell(), objects=3)
    frames = (rng.random((T + 1, H, W)) > 0.5).astype("float32")
    found, stream = nem.segment(frames), nem.stream()
    for t, frame in enumerate(frames):
        gamma = stream(frame).gamma
        if t:
            np.testing.assert_allclose(gamma, found.gamma[t], atol=1e-5)


def test_what_it_is_not_for():
    with pytest.raises(ValueError, match="halo: expected at least 0, received -1"):
        cell(halo=-1)
    with pytest.raises(ValueError, match="halo: expected 0 with a foreground"):
        cell(likelihood="gaussian", foreground=0.1)
