"""Frames as Keras users have them, without a random start, noise or labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from nem_tf import NEMLoss, NeuralEM
from nem_tf.cells import WindowCell
from tests import tiny


@pytest.fixture(scope="module")
def layered():
    cell = WindowCell(
        (12, 16, 3), "gaussian", units=4, components=2, features=8, grid=4
    )
    nem = NeuralEM(cell)
    nem.compile("adam", loss=NEMLoss(), run_eagerly=True)
    return nem


@pytest.fixture(scope="module")
def plain():
    return tiny.model("n-em", "gaussian")


def frames(clips=5, shape=(tiny.H, tiny.W), dtype=np.uint8):
    found = np.random.default_rng(0).integers(0, 256, (clips, 4, *shape))
    return found.astype(dtype) if dtype is np.uint8 else (found / 255).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_and_data_sets_are_the_same_clips(plain, dtype):
    given = frames(dtype=dtype)
    found = plain.evaluate(given, verbose=0, return_dict=True)
    whole = tf.data.Dataset.from_tensor_slices(given).batch(5)
    other = plain.evaluate(whole, verbose=0, return_dict=True)
    assert found.keys() == other.keys()
    assert np.isfinite(found["loss"]) and "ari" not in found
    # Their random starts are others.
    np.testing.assert_allclose(found["loss"], other["loss"], rtol=0.05)


def test_fit_learns_from_an_array(plain):
    before = [weight.copy() for weight in plain.get_weights()]
    history = plain.fit(frames(), batch_size=2, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    changed = [
        not np.array_equal(*p) for p in zip(before, plain.get_weights(), strict=True)
    ]
    assert any(changed)


def test_a_share_of_an_array_validates(plain):
    history = plain.fit(frames(), batch_size=2, validation_split=0.4, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


def test_predict_keeps_the_order(plain):
    given = frames(clips=3)
    found = plain.predict(given, batch_size=2, verbose=0)
    assert found["psi"].shape == (3, 3, tiny.K, tiny.H, tiny.W, 1)
    alone = plain.predict(given[:1], verbose=0)
    np.testing.assert_allclose(found["psi"][:1], alone["psi"], atol=1e-5)


def test_labels_beside_frames_are_scored(plain):
    given = frames()
    labels = np.random.default_rng(1).integers(0, 3, given.shape)
    pairs = tf.data.Dataset.from_tensor_slices((given, labels)).batch(5)
    assert np.isfinite(plain.evaluate(pairs, verbose=0, return_dict=True)["ari"])


def test_backgrounds_are_estimated(layered):
    given = np.full((3, 4, 12, 16, 3), 90, np.uint8)
    given[:, :, 3:7, 4:9] = 250
    array = layered.predict(given, verbose=0)
    np.testing.assert_allclose(array["background"], 90 / 255, atol=1e-6)
    batches = tf.data.Dataset.from_tensor_slices(given).batch(3)
    other = layered.predict(batches, verbose=0)
    np.testing.assert_allclose(other["background"], 90 / 255, atol=1e-6)


def test_what_is_no_clip_is_refused(plain):
    with pytest.raises(ValueError, match="frames: expected shape"):
        plain.fit(np.zeros((4, 8, 12)), verbose=0)
    with pytest.raises(ValueError, match="batch the clips first"):
        plain.fit(tf.data.Dataset.from_tensor_slices(np.zeros((4, 8, 12))), verbose=0)
    with pytest.raises(ValueError, match="divide 8-bit frames by 255"):
        plain.fit(frames().astype("float32"), verbose=0)
    assert keras.backend.backend() == "tensorflow"


def scored(nem, given):
    return np.isfinite(nem.evaluate(given, verbose=0, return_dict=True)["loss"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_as_integers_are_told_in_a_data_set(plain, dtype):
    given = (frames() > 127).astype(dtype)
    assert scored(plain, given)  # an array tells by itself
    batches = tf.data.Dataset.from_tensor_slices(given).batch(5)
    message = f"x: expected {np.dtype(dtype).name} pixels up to .* cast it to float32"
    with pytest.raises(ValueError, match=message) as error:
        plain.evaluate(batches, verbose=0)
    assert len(str(error.value).splitlines()) == 1
    dark = tf.data.Dataset.from_tensor_slices(0 * given).batch(5)
    assert scored(plain, dark)


def test_frames_validate_clips_of_any_form(plain):
    from nem_tf import data

    clips = data.from_arrays(frames(), batch_size=5, components=tiny.K)
    for held_out in (frames(2), tf.data.Dataset.from_tensors(frames(2))):
        history = plain.fit(clips, validation_data=held_out, verbose=0)
        assert np.isfinite(history.history["val_loss"]).all()


@pytest.mark.parametrize(("shuffle", "seen"), [(False, [0, 1, 2, 3, 4]), (True, 4)])
def test_shuffle_is_as_keras_has_it(plain, monkeypatch, shuffle, seen):
    from nem_tf.data import plain as given_frames

    taken = []

    def clips_of(*args, **settings):
        taken.append(made(*args, **settings))
        return taken[-1]

    made = given_frames.clips_of
    monkeypatch.setattr(given_frames, "clips_of", clips_of)
    plain.fit(frames(), batch_size=2, shuffle=shuffle, verbose=0)
    index = np.concatenate([batch["index"] for batch in taken[0]]).tolist()
    assert index == seen if not shuffle else len(set(index)) == seen
