"""Mixing weights that follow what components explain: those to spare stay empty."""

import keras
import numpy as np
import pytest

from export import saved_model, segment
from export.segment import ExportedModel
from nem_tf import NEMLoss, NeuralEM, data
from nem_tf.random_start import random_start
from tests import tiny
from tests.tiny import B, H, K, T, W
from trainers.training.trained import Trained

A = 20.0


def cell(kind="dense", likelihood="bernoulli", **changed):
    """`tiny.cell`, made again with `object_pixels`."""
    made = tiny.cell(kind, likelihood)
    return type(made).from_config({**made.get_config(), "object_pixels": A, **changed})


def model(kind="dense", likelihood="bernoulli", **changed):
    nem = NeuralEM(cell(kind, likelihood, **changed), objects=3)
    nem.compile("adam", loss=NEMLoss(), run_eagerly=True)
    return nem


def weights(mass, before):
    """The class's formula for masses (K,)."""
    n = max(1, np.ceil(mass.mean() / A - 0.2))
    one = mass**3 / (mass**3 + (A / 2) ** 3) / (1 + (mass / (1.2 * n * A)) ** 12)
    a = one + 0.003
    return (before + a / a.sum()) / 2


def test_the_weights_after_a_frame(rng):
    x = np.zeros((B, H, W, 1), "float32")
    x[:, :4] = 1.0
    gamma = rng.random((B, K, H, W, 1)).astype("float32")
    gamma /= gamma.sum(1, keepdims=True)
    pi = rng.random((B, K, H, W, 1)).astype("float32")
    found = np.asarray(cell().weigh(gamma, x, pi))
    for b in range(B):
        mass = gamma[b, :, :4].sum((1, 2, 3)) * (1 - 2.0**-16)
        expected = weights(mass, pi[b].mean((1, 2, 3)))
        np.testing.assert_allclose(found[b, :, 0, 0, 0], expected, rtol=1e-5)
    assert (found == found[:, :, :1, :1]).all()


def test_what_is_background_has_no_weight(rng):
    b = np.full((1, H, W, 1), 0.5, "float32")
    x = b.copy()
    x[:, :3], x[:, 3:6] = 0.9, 0.1
    gamma = np.zeros((1, 2, H, W, 1), "float32")
    gamma[:, 0, :3], gamma[:, 1, 3:] = 1.0, 1.0
    layered = cell(likelihood="gaussian", foreground=0.1)
    found = np.asarray(layered.weigh(gamma, x, np.full_like(gamma, 0.5), b))
    np.testing.assert_allclose(found, 0.5, atol=1e-6)  # three rows each


def test_of_two_that_share_an_object_one_gets_it():
    """The E-step and `weigh` in turn, where both predict the same."""
    shared = cell()
    x, psi = np.ones((1, 4, 5, 1), "float32"), np.full((1, 2, 4, 5, 1), 0.9, "float32")
    pi = np.full((1, 2, 4, 5, 1), 0.5, "float32")
    pi[:, 0] += 0.02
    for _ in range(30):
        gamma = shared.e_step(x, psi, pi)
        pi = np.asarray(shared.weigh(gamma, x, pi))
    assert pi[0, 0].min() > 0.98


def explaining(*rows):
    """pi' of components that explain rows of pixels that are on; an object has 24."""
    gamma = np.zeros((1, len(rows), H, W, 1), "float32")
    for k, end in enumerate(np.cumsum(rows)):
        gamma[:, k, end - rows[k] : end] = 1.0
    x = np.zeros((1, H, W, 1), "float32")
    x[:, : sum(rows)] = 1.0
    pi = np.full_like(gamma, 1 / len(rows))
    found = cell(object_pixels=24.0).weigh(gamma, x, pi)
    return np.asarray(found)[0, :, 0, 0, 0]


def test_one_with_several_objects_loses_them():
    """48 and 24 of its 12 columns' pixels, and a component that is spare."""
    np.testing.assert_allclose(explaining(4, 2, 0), [0.17, 0.66, 0.17], atol=0.01)


def test_one_keeps_what_too_few_have_to_share():
    """Three objects and two components, then four: two of them, but not three."""
    np.testing.assert_allclose(explaining(4, 2), 0.5, atol=0.01)
    three, one = explaining(6, 2)
    assert one - three > 0.2


@pytest.mark.parametrize("kind", ["dense", "n-em"])
def test_gamma_rests_on_them(kind, rng):
    nem, batch = model(kind), tiny.batch(rng)
    found = nem.predict_on_batch(batch)
    assert found["mixing"].shape == (B, T, K, H, W, 1)
    np.testing.assert_allclose(found["mixing"].sum(2), 1.0, rtol=1e-5)
    assert np.ptp(found["mixing"]) > 0.01
    expected = nem.cell.e_step(batch["clean"][:, 1:], found["psi"], found["mixing"])
    np.testing.assert_allclose(found["gamma"], expected, atol=1e-6)


def test_training_keeps_them_equal(rng):
    batch = tiny.batch(rng)
    nem = model()
    found = nem(batch, training=True)["mixing"]
    np.testing.assert_allclose(found, 1 / K, rtol=1e-6)
    plain = tiny.model("dense", eager=True)
    plain.set_weights(nem.get_weights())
    losses = [m.train_on_batch(batch, return_dict=True)["loss"] for m in (nem, plain)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_components_are_left_out_of_updates(rng):
    """From two of five on, as the start of each clip says; none when it is used."""
    thin = cell(fewest_components=2)
    pi = random_start(np.arange(600), 5, (H, W, 1))
    left = np.asarray(thin.thinned(pi))
    np.testing.assert_allclose(left.sum(1), 1.0, rtol=1e-6)
    count = (left.max((2, 3, 4)) > 0).sum(1)
    assert (np.bincount(count, minlength=6)[2:] > 120).all() and count.min() == 2
    np.testing.assert_array_equal(thin.thinned(pi[7:8]), left[7:8])
    nem = NeuralEM(thin, objects=3)
    nem.compile("adam", loss=NEMLoss(), run_eagerly=True)
    batch = {**tiny.batch(rng, components=5, clips=40), "pi": np.asarray(pi[:40])}
    found = nem(batch, training=True)
    gone = left[:40].max((2, 3, 4)) == 0  # (B, K)
    mixing = np.asarray(found["mixing"])[:, -1, :, 0, 0, 0]
    assert mixing[gone].max() < 0.2 and np.asarray(nem(batch)["mixing"]).min() > 0
    assert np.isfinite(nem.train_on_batch(batch, return_dict=True)["loss"])


def test_none_is_left_out_where_equal_weights_would_share():
    with pytest.raises(ValueError, match="fewest_components.*object_pixels.*d 2"):
        cell(object_pixels=0.0, fewest_components=2)


def test_a_loss_of_the_last_step_knows_them(rng):
    nem, batch = model(), tiny.batch(rng)
    nem.compile("adam", loss=NEMLoss(steps="last"), run_eagerly=True)
    nem.set_weights([5 * weight for weight in nem.get_weights()])  # psi differ
    found = nem.predict_on_batch(batch)
    last = {name: value[:, -1:] for name, value in found.items()}
    expected = np.mean(NEMLoss("bernoulli")(batch["clean"][:, -1:], last))
    loss = nem.test_on_batch(batch, return_dict=True)["loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_segment_is_the_model_frame_by_frame(rng):
    nem = model("patches", start="sides")
    frames = (rng.random((T + 2, H, W, 1)) < 0.3).astype("float32")
    whole, stream = nem.segment(frames, seed=3), nem.stream(seed=3)
    for frame, segments in zip(frames, whole.segments, strict=True):
        np.testing.assert_array_equal(stream(frame).segments, segments)


def test_it_is_saved_and_served(tmp_path, rng, capsys):
    nem = model()
    nem.save(tmp_path / "model.keras")
    nem = keras.saving.load_model(tmp_path / "model.keras")
    assert nem.cell.object_pixels == A
    trained = Trained(nem, "x", {"steps": 5}, "generated", None, {}, None)
    saved_model.export(trained, tmp_path, "x", K, batch_sizes=(1,))
    served = ExportedModel(tmp_path / "x" / "1", K)
    frames = (rng.random((T, H, W, 1)) < 0.3).astype("float32")
    found, expected = served.segment(frames, 3), nem.segment(frames, seed=3)
    np.testing.assert_array_equal(found.segments, expected.segments)
    np.testing.assert_allclose(found.gamma, expected.gamma, atol=1e-4)
    assert "K may be larger" in (tmp_path / "x" / "1" / "README.md").read_text()
    assert ExportedModel(tmp_path / "x" / "1", "auto").usual_pixels == A
    np.save(tmp_path / "clip.npy", frames)
    line = ["--out", str(tmp_path / "out.npz"), "--components", "auto"]
    kept = []
    for source in (tmp_path / "model.keras", tmp_path / "x"):
        assert segment.main([str(source), str(tmp_path / "clip.npy"), *line]) == 0
        kept.append(np.load(tmp_path / "out.npz")["gamma"].shape[1])
    said = capsys.readouterr().out.splitlines()
    assert kept[0] == nem.segment(frames, "auto").gamma.shape[1] and kept[1] == K
    assert f"of {kept[0]} components used" in said[-2]
    assert f"of {K} components used" in said[-1]


@pytest.mark.slow
def test_the_preset_counts_shapes():
    """Eight components for one and for three shapes: the others stay empty."""
    nem = NeuralEM.from_preset("flying_shapes")
    for objects in (1, 3):
        clips = {"objects": objects, "components": 8, "clips": 20, "batch_size": 20}
        batch = next(iter(data.flying_shapes("test", steps=20, **clips)))
        found = nem.predict_on_batch(batch)["gamma"][:, -1, ..., 0].argmax(1)
        on = batch["clean"].numpy()[:, -1, ..., 0] > 0.5
        pixels = np.stack([(on & (found == k)).sum((1, 2)) for k in range(8)], 1)
        right = (pixels >= 10).sum(1) == objects
        assert right.mean() >= 0.85


def test_a_component_without_pixels_draws_nothing(rng):
    psi = np.full((1, 3, H, W, 1), 0.9, "float32")
    pi = np.ones_like(psi) * np.float32([0.6, 0.3, 0.006]).reshape(1, 3, 1, 1, 1)
    psi[:, :2] = [[[[[0.1]]], [[[0.2]]]]]
    np.testing.assert_allclose(cell().next_frame(psi, pi), 0.2, rtol=1e-6)
    uniform = cell(object_pixels=0.0)
    np.testing.assert_allclose(uniform.next_frame(psi, pi), 0.9, rtol=1e-6)
    layered = cell(likelihood="gaussian", foreground=0.1)
    b = np.full((1, H, W, 1), 0.5, "float32")
    np.testing.assert_allclose(layered.next_frame(psi, pi, b), 0.1, rtol=1e-6)


def test_they_may_be_set_after_a_first_use(rng):
    nem = model("n-em", object_pixels=0.0)
    nem.compile("adam", loss=NEMLoss())
    frames = (rng.random((T + 2, H, W, 1)) < 0.3).astype("float32")
    before, stream = nem.segment(frames), nem.stream()
    stream(frames[0])
    nem.cell.object_pixels = A
    fresh = model("n-em")
    fresh.set_weights(nem.get_weights())
    after = nem.segment(frames)
    assert np.abs(after.gamma - before.gamma).max() > 1e-3
    np.testing.assert_allclose(after.gamma, fresh.segment(frames).gamma, atol=1e-6)
    stream = nem.stream()
    last = [stream(frame) for frame in frames][-1]
    np.testing.assert_allclose(last.gamma, after.gamma[-1], atol=1e-5)
