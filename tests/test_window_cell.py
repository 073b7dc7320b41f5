"""`WindowCell`: layers over a background, which begin, follow, and rest."""

import json

import keras
import numpy as np
import pytest

from nem_tf import NEMLoss, NeuralEM
from nem_tf.cells import WindowCell
from nem_tf.cells.window_cell import ANYWHERE
from tests import runs

H, W, K = 20, 24, 3
COLOURS = np.array([[0.9, 0.2, 0.1], [0.1, 0.3, 0.9]], "float32")


def cell(**settings):
    sizes = {"units": 6, "features": 8, "grid": 5, "object_size": 6.0, "fill": 1.0}
    return WindowCell((H, W, 3), "gaussian", components=K, **{**sizes, **settings})


def clips(squares=2, steps=4, batch=2):
    """Squares of 6 pixels on a shaded background that move by a pixel a frame."""
    behind = np.linspace(0.4, 0.6, W, dtype="float32")[None, :, None].repeat(3, -1)
    background = np.broadcast_to(behind, (batch, H, W, 3)).copy()
    clean = np.repeat(background[:, None], steps + 1, axis=1)
    for t in range(steps + 1):
        for n, colour in zip(range(squares), COLOURS, strict=False):
            clean[:, t, 2 + t : 8 + t, 2 + 11 * n : 8 + 11 * n] = colour
    pi = np.random.default_rng(0).random((batch, K, H, W, 1)).astype("float32")
    pi /= pi.sum(axis=1, keepdims=True)
    return {
        "clean": clean,
        "noisy": clean[:, :-1],
        "background": background,
        "pi": pi,
    }


@pytest.fixture(scope="module")
def nem():
    keras.utils.set_random_seed(0)
    nem = NeuralEM(cell(), objects=2)
    nem.compile(keras.optimizers.Adam(0.01), loss=NEMLoss())
    return nem


@pytest.fixture(scope="module")
def trained(nem):
    """The same after some updates on the squares."""
    batch = clips()
    losses = [nem.train_on_batch(batch, return_dict=True)["loss"] for _ in range(60)]
    return nem, losses


def predicted(nem, batch):
    """What a model predicts; it is not traced for that."""
    with runs.eager():
        return nem.predict_on_batch(batch)


def alive(one, frame, background, pi=None):
    """Which components are in use after one frame, bool (K,)."""
    pi = clips(batch=1)["pi"] if pi is None else pi
    states = one.get_initial_state(pi=pi, background=background)
    _, states = one.iterate(frame, frame, states)
    return np.asarray(states[0])[0, :, -1] > 0.5, states


@pytest.mark.parametrize("squares", [0, 1, 2])
def test_as_many_components_begin_as_there_are_objects(squares):
    batch = clips(squares, batch=1)
    one = cell()
    one.build()
    used, states = alive(one, batch["clean"][:, 0], batch["background"])
    assert used.sum() == squares
    theta, psi, pi, _ = (np.asarray(state) for state in states)
    resting = ~used
    np.testing.assert_allclose(
        psi[0, resting], np.broadcast_to(batch["background"], psi[0, resting].shape)
    )
    np.testing.assert_allclose(pi[0, resting], ANYWHERE)
    # A place is the middle of its square: rows 2 to 7, columns 2 to 7 and 13 to 18.
    if squares == 2:
        found = sorted(theta[0, used, -5])
        np.testing.assert_allclose(found, [4.5, 15.5], atol=1.5)


def test_something_that_comes_later_gets_a_component():
    one, batch = cell(), clips(2, batch=1)
    one.build()
    first = clips(1, batch=1)["clean"][:, 0]
    used, states = alive(one, first, batch["background"])
    assert used.sum() == 1
    _, states = one.iterate(batch["clean"][:, 0], batch["clean"][:, 0], states)
    later = np.asarray(states[0])[0, :, -1] > 0.5
    assert (later & used).sum() == 1
    assert later.sum() == 2


def test_a_component_whose_object_is_gone_rests():
    one, batch = cell(), clips(1, batch=1)
    one.build()
    _, states = alive(one, batch["clean"][:, 0], batch["background"])
    empty = batch["background"]
    _, states = one.iterate(empty, empty, states)
    assert not np.asarray(states[0])[0, :, -1].any()


def test_gamma_and_segments(trained):
    nem, losses = trained
    batch = clips()
    found = predicted(nem, batch)
    np.testing.assert_allclose(found["gamma"].sum(axis=2), 1, atol=1e-5)
    segments = nem.cell.segments(
        batch["clean"][:, 1:], found["gamma"], batch["background"][:, None]
    )
    assert segments.dtype == np.int32
    square = np.abs(batch["clean"][:, 1:] - batch["background"][:, None]).max(-1) > 0.2
    np.testing.assert_array_equal(segments > 0, square)
    # Two squares, two components, and each keeps its own.
    last = segments[0, -1]
    assert len(np.unique(last[last > 0])) == 2
    left, right = last[:, :12], last[:, 12:]
    assert len(np.unique(left[left > 0])) == len(np.unique(right[right > 0])) == 1


def test_training_predicts_the_next_frame(trained):
    nem, losses = trained
    assert losses[-1] < 0.3 * losses[0]
    batch = clips()
    found = predicted(nem, batch)
    mixing = found["mixing"] / found["mixing"].sum(axis=2, keepdims=True)
    expected = (found["psi"] * mixing).sum(axis=2)
    error = np.abs(expected - batch["clean"][:, 1:])[:, -1].mean()
    behind = np.abs(batch["background"] - batch["clean"][:, -1]).mean()
    assert error < 0.6 * behind


def test_the_background_costs_nothing_and_other_predictions_do(nem):
    x = np.full((1, 1, H, W, 3), 0.5, "float32")
    psi = np.full((1, 1, K, H, W, 3), 0.5, "float32")
    gamma = np.full((1, 1, K, H, W, 1), 1 / K, "float32")
    outputs = {"psi": psi, "gamma": gamma, "background": x[:, 0]}
    loss = NEMLoss("gaussian")
    assert float(loss.per_clip(x, outputs)["loss"][0]) == 0
    black = {"psi": psi, "gamma": gamma}
    per_pixel = (1 - 1 / K) * K * 0.5**2 / 2 * 3
    np.testing.assert_allclose(
        loss.per_clip(x, black)["inter"][0], H * W * per_pixel, rtol=1e-5
    )


def test_training_on_the_last_step_returns_that_step(nem, monkeypatch):
    batch = clips()
    whole = nem(batch, training=True)
    monkeypatch.setattr(nem.loss, "steps", "last")
    last = nem(batch, training=True)
    for name in ("psi", "gamma", "mixing"):
        np.testing.assert_allclose(last[name], whole[name][:, -1:], atol=1e-6)


def test_it_is_saved_and_read_again(trained, tmp_path):
    nem, _ = trained
    nem.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    batch = clips()
    np.testing.assert_allclose(
        predicted(again, batch)["psi"],
        predicted(nem, batch)["psi"],
        atol=1e-6,
    )
    json.dumps(nem.get_config())


def test_any_k(trained):
    nem, _ = trained
    batch = clips(batch=1)
    batch["pi"] = np.full((1, 5, H, W, 1), 0.2, "float32")
    assert predicted(nem, batch)["psi"].shape[2] == 5


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"features": 0}, "features: expected at least 1, received 0"),
        ({"grid": 1}, "grid: expected at least 2, received 1"),
        ({"object_size": 0.5}, "object_size: expected at least 1, received 0.5"),
        ({"foreground": 0}, "foreground: expected a distance above 0, received 0"),
        ({"foreground": None}, "foreground: expected a distance .* received None"),
        ({"fill": 1.5}, "fill: expected above 0 to 1, received 1.5"),
        ({"distinct": 1}, "distinct: expected 0 to below 1, received 1"),
    ],
)
def test_refuses(settings, line):
    with pytest.raises(ValueError, match=line):
        cell(**settings)


def test_a_clip_without_its_background_is_refused(nem):
    batch = clips()
    del batch["background"]
    with pytest.raises(ValueError, match="background: expected one for each clip"):
        nem(batch)


def test_pixels_beside_a_component_of_its_colour_are_its_own():
    """A square that jumps by half its side stays one object, another colour is new."""
    one, batch = cell(), clips(1, batch=1)
    one.build()
    used, states = alive(one, batch["clean"][:, 0], batch["background"])
    red = np.flatnonzero(used)[0]
    jumped = batch["background"].copy()
    jumped[:, 2:8, 5:11] = COLOURS[0]
    _, after = one.iterate(jumped, jumped, states)
    assert np.asarray(after[0])[0, :, -1].sum() == 1
    gamma = np.asarray(one.assign_next(jumped, states))[0, ..., 0]
    assert (gamma.argmax(axis=0)[2:8, 5:8] == red).all()
    jumped[:, 2:8, 8:14] = COLOURS[1]
    _, after = one.iterate(jumped, jumped, states)
    assert np.asarray(after[0])[0, :, -1].sum() == 2


def test_how_well_a_colour_explains_what_is_near():
    one = cell()
    looks = np.zeros((1, K, 9), "float32")  # colour, y, x, velocities, log size, alive
    looks[0, :, :3], looks[0, :, 3:5] = COLOURS[0], (10, 10)
    looks[0, :, 7:] = np.log(1.3 * 3.0), 1.0
    frame = np.zeros((1, H, W, 3), "float32")
    frame[0, :, :10], frame[0, :, 10:] = COLOURS[0], COLOURS[1]
    found = np.asarray(one._of_its_colour(frame, looks))[0, 0] ** 0.25
    assert found[8:13, 8:10].min() > 0.9
    assert found[:, 10:].max() < 0.5 and found[:, :6].max() < 0.02
    assert found[:6].max() < 0.02 and found[15:].max() < 0.02
