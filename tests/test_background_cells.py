"""The paper's cells over a background image, the pixelwise prior of Eq. 5."""

import json

import keras
import numpy as np
import pytest

from export import saved_model
from export.segment import ExportedModel
from nem_tf import EStep, NEMLoss, NeuralEM
from tests import runs, tiny
from trainers.training.trained import Trained

B, T, K, H, W = tiny.B, tiny.T, tiny.K, tiny.H, tiny.W
FAR = 0.2


@pytest.fixture(autouse=True, scope="module")
def _eager():
    with runs.eager():
        yield


def model(kind, foreground=FAR, channels=1):
    """A compiled model, its cell made again with a `foreground`."""
    keras.utils.set_random_seed(1)
    cell = tiny.cell(kind, "gaussian", channels)
    if foreground is not None:
        config = {**cell.get_config(), "foreground": foreground}
        cell = type(cell).from_config(config)
    nem = NeuralEM(cell)
    nem.compile("adam", loss=NEMLoss())
    return nem


def batch(rng, background=0.0, channels=1):
    """Clips of faint things that are added to a background."""
    clean = rng.random((B, T + 1, H, W, channels)).astype("float32") / 3
    pi = rng.random((B, K, H, W, 1)).astype("float32")
    behind = np.broadcast_to(np.float32(background), (B, H, W, channels))
    return {
        "clean": clean + behind[:, None],
        "noisy": clean[:, :-1] + behind[:, None],
        "background": behind,
        "pi": pi / pi.sum(axis=1, keepdims=True),
    }


@pytest.mark.parametrize("kind", ["n-em", "dense", "patches"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_differs_from_any_background_is_grouped_as_if_it_were_black(
    kind, channels, rng
):
    paper, over = model(kind, None, channels), model(kind, FAR, channels)
    over.set_weights(paper.get_weights())
    black = batch(np.random.default_rng(2), channels=channels)
    shade = rng.random((B, H, W, channels)).astype("float32") * 0.6
    shaded = batch(np.random.default_rng(2), shade, channels)
    del black["background"]
    expected = paper.predict_on_batch(black)
    found = over.predict_on_batch(shaded)
    assert np.ptp(expected["psi"]) > 1e-3
    np.testing.assert_allclose(found["gamma"], expected["gamma"], atol=1e-5)
    np.testing.assert_allclose(
        found["psi"], expected["psi"] + shade[:, None, None], atol=1e-5
    )
    losses = (
        nem.compute_loss(x=clips, y_pred=found)
        for nem, clips, found in ((paper, black, expected), (over, shaded, found))
    )
    assert float(next(losses)) == pytest.approx(float(next(losses)), rel=1e-4)


def test_segments_are_0_where_the_background_is(rng):
    nem = model("dense")
    frames = np.full((T, H, W, 1), 0.5, "float32")
    frames[:, 2:5, 3:7] = 0.9
    found = nem.segment(frames, background=np.full((H, W, 1), 0.5))
    there = np.zeros((T, H, W), bool)
    there[:, 2:5, 3:7] = True
    np.testing.assert_array_equal(found.segments > 0, there)
    assert set(np.unique(found.segments)) <= set(range(K + 1))
    stream = nem.stream(background=np.full((H, W, 1), 0.5))
    for t, frame in enumerate(frames):
        np.testing.assert_array_equal(stream(frame).segments, found.segments[t])


def test_the_background_is_estimated_if_it_is_not_given():
    nem = model("dense")
    frames = np.full((T, H, W, 1), 0.5, "float32")
    frames[:, 2:5, 3:5] = 0.9
    given = nem.segment(frames, background=np.full((H, W, 1), 0.5))
    found = nem.segment(frames)
    np.testing.assert_array_equal(found.segments, given.segments)


def test_expected_is_what_differs_most_from_the_background():
    cell = model("dense").cell
    psi = np.full((K, H, W, 1), 0.5, "float32")
    psi[1, :2], psi[0, 1] = 0.1, 0.7
    background = np.full((H, W, 1), 0.5, "float32")
    found = np.asarray(cell.next_frame(psi, background=background))
    np.testing.assert_allclose(found[:2], 0.1)
    np.testing.assert_allclose(found[2:], 0.5)
    np.testing.assert_allclose(cell.next_frame(psi), psi.max(axis=0))


def test_it_is_saved(tmp_path, rng):
    nem = model("dense")
    nem.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.cell.layered and again.cell.foreground == FAR
    clips = batch(rng, 0.3)
    np.testing.assert_array_equal(
        nem.predict_on_batch(clips)["psi"], again.predict_on_batch(clips)["psi"]
    )


def test_it_is_served(tmp_path):
    """A stream of the exported model gives what the model gives, begun by sides."""
    cell = tiny.cell("dense", "gaussian")
    far = np.full((H, W), FAR, "float32")
    far[3] = 0.5  # a row that flickers
    config = {**cell.get_config(), "foreground": far, "start": "sides"}
    nem = NeuralEM(type(cell).from_config(config))
    nem.compile("adam", loss=NEMLoss())
    trained = Trained(nem, "x", {"steps": 5}, "generated", None, {}, None)
    saved_model.export(trained, tmp_path, "x", K, batch_sizes=(1,))
    served = ExportedModel(tmp_path / "x" / "1", K)
    assert served.layered
    np.testing.assert_allclose(served.foreground, far, atol=1e-6)
    card = (tmp_path / "x" / "1" / "MODEL_CARD.md").read_text()
    assert f"by more than {FAR} to 0.5, as its pixel flickers" in card
    frames = np.full((T, H, W, 1), 0.5, "float32")
    for t in range(T):
        frames[t, 2:5, 2 + t : 6 + t], frames[t, 5:8, 6:9] = 0.95, 0.05
    background = np.full((H, W, 1), 0.5, "float32")
    found, expected = (
        served.segment(frames, 3, background=background),
        nem.segment(frames, seed=3, background=background),
    )
    np.testing.assert_array_equal(found.segments, expected.segments)
    assert expected.segments[:, 2].any() and not expected.segments[:, 3].any()
    np.testing.assert_allclose(found.gamma, expected.gamma, atol=1e-4)
    reply = served.model.signatures["chunk"](
        frames=frames[None], **served._state(np.ones((1, K, H, W, 1)), background[None])
    )
    ours = nem.cell.next_frame(reply["psi"].numpy(), background=background)
    np.testing.assert_allclose(reply["next_frame"][:, -1], ours, atol=1e-5)


def test_the_distance_of_each_pixel():
    even, uneven = np.full((H, W), FAR), np.full((H, W), FAR)
    uneven[1, 2] = 10 * FAR
    x = np.full((1, H, W, 1), 1.5 * FAR, "float32")
    alone, same, more = (model("dense", f).cell for f in (FAR, even, uneven))
    w, also, less = (np.asarray(cell.objects(x)) for cell in (alone, same, more))
    np.testing.assert_allclose(also, w, rtol=1e-6)
    assert less[0, 1, 2] < 0.02 < w[0, 1, 2] and (less != w).sum() == 1
    again = type(more).from_config(json.loads(json.dumps(more.get_config())))
    np.testing.assert_array_equal(again.foreground, more.foreground)
    found = more.is_object(x, 0.0 * x)
    assert not found[0, 1, 2] and found.sum() == H * W - 1


def test_half_precision_and_lanes():
    clips = batch(np.random.default_rng(2), 0.4)
    expected = model("dense").predict_on_batch(clips)
    keras.config.set_dtype_policy("mixed_bfloat16")
    nem = model("dense")
    nem.lanes = 2
    found = nem.predict_on_batch(clips)
    np.testing.assert_allclose(found["psi"], expected["psi"], atol=0.03)
    assert np.isfinite(nem.train_on_batch(clips, return_dict=True)["loss"])


def test_configurations_without_a_background_are_as_they_were():
    config = tiny.cell("dense").get_config()
    assert "foreground" not in config and "background" not in config


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"foreground": 0.0}, "foreground: expected a distance above 0"),
        ({"foreground": np.ones((2, 2))}, "foreground: expected a number or shape"),
        ({"foreground": np.zeros((H, W))}, "foreground: expected a distance above 0"),
        ({"foreground": 0.1, "background": "pink"}, "background: expected auto, plain"),
        (
            {"foreground": 0.1, "e_step": EStep("bernoulli")},
            "foreground: expected none",
        ),
    ],
)
def test_wrong_arguments(settings, line):
    config = tiny.cell("dense", "gaussian").get_config()
    with pytest.raises(ValueError, match=line):
        type(tiny.cell("dense", "gaussian")).from_config({**config, **settings})
