"""Layered models as they are served: signatures, documents, and the client."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from export import client, saved_model, segment, servers
from nem_tf import inference
from reading.background import estimate
from tests import layered, loopback
from tests.layered import C, H, K, T, W
from trainers.training.trained import Trained

STATE = ("theta", "psi", "pi", "background")


@pytest.fixture(scope="module")
def nem():
    return layered.model()


@pytest.fixture(scope="module")
def folder(nem, tmp_path_factory):
    """The folder of all models, with one exported."""
    folder = tmp_path_factory.mktemp("models")
    trained = Trained(nem, "x", {"steps": 5}, "generated", None, {}, None)
    saved_model.export(trained, folder, "x", K, batch_sizes=(1, 2))
    return folder


@pytest.fixture(scope="module")
def models(folder):
    return loopback.Models(folder)


@pytest.fixture(scope="module")
def signatures(models):
    return models.loaded["x", 1]


@pytest.fixture(scope="module")
def clip():
    """Frames and their background."""
    return layered.scene()[:2]


@pytest.fixture(scope="module")
def found(nem, clip):
    return nem.segment(clip[0], seed=3, background=clip[1])


def begin(signatures, background, seed=3):
    return signatures["init"](
        seed=tf.constant([seed]), background=tf.constant(background[None])
    )


def test_whole_clips(signatures, clip, found):
    frames, background = clip
    reply = signatures["serving_default"](
        frames=tf.constant(np.stack([frames, frames[::-1]])),
        seed=tf.constant([3, 0]),
        background=tf.constant(np.stack([background, background])),
    )
    np.testing.assert_array_equal(reply["segmentation"][0], found.segments)
    for name in ("gamma", "psi"):
        ours, theirs = reply[name][0], getattr(found, name)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    pixels = [(found.segments == k + 1).sum((1, 2)) for k in range(K)]
    used = np.stack(pixels, 1) >= 0.75 * 6**2 / 4  # fill, object_size, a quarter
    np.testing.assert_array_equal(reply["used"][0], used.sum(1))
    assert used.sum(1).max() == 2


def test_a_stream_that_shows_its_first_frame_twice(signatures, clip, found):
    frames, background = clip
    state, replies = begin(signatures, background), []
    for frame in np.concatenate([frames[:1], frames]):
        reply = signatures["step"](frame=tf.constant(frame[None]), **state)
        state = {name: reply[name] for name in STATE}
        replies.append(reply)
    for t, reply in enumerate(replies[1:]):
        np.testing.assert_array_equal(reply["segmentation"][0], found.segments[t])
        np.testing.assert_allclose(reply["psi"][0], found.psi[t], atol=1e-4)
    pi, psi = reply["pi"].numpy(), reply["psi"].numpy()
    mean = (pi * psi).sum(axis=1) / pi.sum(axis=1)
    np.testing.assert_allclose(reply["next_frame"], mean, atol=1e-5)
    start = begin(signatures, background)
    reply = signatures["chunk"](frames=tf.constant(frames[None, [0, 0, 1]]), **start)
    np.testing.assert_array_equal(reply["segmentation"][0, 1:], found.segments[:2])
    np.testing.assert_array_equal(reply["background"][0], background)


def test_what_is_wrong_is_refused(signatures, clip):
    frames, background = clip
    with pytest.raises(tf.errors.InvalidArgumentError, match="background: expected pi"):
        begin(signatures, background + 1.0)
    two = tf.constant(np.stack([background, background]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="background: expected as"):
        signatures["init"](seed=tf.constant([3]), background=two)
    state = begin(signatures, background)
    for name, value, message in (
        ("pi", -state["pi"], "pi: expected weights of at least 0"),
        ("background", two, "background: expected as many as there are clips"),
        ("background", two[:1] - 1.0, r"background: expected pixels in \[0, 1\]"),
    ):
        wrong = {**state, name: value}
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures["step"](frame=tf.constant(frames[:1]), **wrong)


def test_documents(folder):
    version = folder / "x" / "1"
    about = json.loads((version / "about.json").read_text())
    assert about["layered"] and about["background"] == "still"
    assert about["foreground"] == pytest.approx(0.15)
    readme = (version / "README.md").read_text()
    assert f"| input | background | (B, {H}, {W}, {C}) | float32 | what is" in readme
    assert "0 for background, else the component, 1 to K" in readme
    assert '"inputs": {"seed": [0], "background": behind.tolist()}' in readme
    assert '("theta", "psi", "pi", "background")' in readme
    card = (version / "MODEL_CARD.md").read_text()
    assert "differs from it by more than 0.15" in card and "on black" not in card


def test_an_export_estimates_the_background_as_the_run_does(nem, folder, clip):
    frames = clip[0]
    exported, expected = segment.load(folder / "x"), nem.segment(frames, seed=3)
    assert exported.layered
    for starts in (1, 2):
        expected = nem.segment(frames, seed=3, starts=starts)
        for ours, theirs in zip(
            exported.segment(frames, 3, starts), expected, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "flags",
    [["--background", "plain"], ["--rest", "--chunk", "4"], ["--clips"]],
)
def test_the_client(nem, models, clip, tmp_path, flags):
    path, out = tmp_path / "clip.npy", tmp_path / "out.npz"
    np.save(path, clip[0])
    server = loopback.Loopback(models).start()
    try:
        address = server.addresses["--rest" in flags]
        line = [path, "--model", "x", "--server", address, "--out", out, *flags]
        assert client.main([*map(str, line), "--seed", "3"]) == 0
        line[line.index(out)] = out.with_suffix(".gif")
        assert client.main([*map(str, line), "--first", "2"]) == 0
    finally:
        server.stop()
    arrays = np.load(out)
    kind = "plain" if "--background" in flags else "auto"
    behind = estimate(clip[0], kind)
    expected = nem.segment(clip[0], seed=3, background=behind)
    np.testing.assert_array_equal(arrays["segments"], expected.segments)
    np.testing.assert_allclose(arrays["gamma"], expected.gamma, atol=1e-4)
    np.testing.assert_allclose(arrays["psi"], expected.psi, atol=1e-4)
    assert arrays["segments"].dtype == np.uint8 and len(arrays["frames"]) == T


def test_the_client_with_several_starts(nem, models, clip):
    frames, background = clip
    likelihood, seeds = nem.cell.likelihood, inference.several_seeds(3, 3)
    founds = [nem.segment(frames, seed=int(n), background=background) for n in seeds]
    sums = [inference.fit(frames, found.psi, likelihood) for found in founds]
    server = loopback.Loopback(models).start()
    try:
        one = servers.GrpcServer(server.addresses[0], servers.Spec("x"))
        ways = {"chunk": 4}, {"clips": True}
        played = [
            client.play(one, frames, 3, background=background, starts=3, **way)
            for way in ways
        ]
        one.close()
    finally:
        server.stop()
    seen = log_likelihoods(models, frames, background, seeds)
    np.testing.assert_allclose(seen[:, 1:].sum(1), sums, rtol=1e-4)
    total = seen.sum(1)  # the first frame was predicted, too
    # Starts may be equally likely: those that differ in the order of components alone.
    np.testing.assert_allclose(total[[x.start for x in played]], total.max(), 1e-5)
    streamed, whole = (founds[x.start] for x in played)
    np.testing.assert_allclose(played[1].found.gamma, whole.gamma, atol=1e-4)
    last, expected = (x.gamma[-1, ..., 0] for x in (played[0].found, streamed))
    overlap = np.einsum("khw,jhw->kj", last, expected)
    _, order = linear_sum_assignment(overlap, maximize=True)
    np.testing.assert_allclose(last, expected[order], atol=1e-4)
    segments, objects = played[0].found.segments[-1], streamed.segments[-1] > 0
    np.testing.assert_array_equal(segments > 0, objects)
    np.testing.assert_array_equal(segments[objects], last.argmax(0)[objects] + 1)


def log_likelihoods(models, frames, background, seeds):
    """log_likelihood (starts, T) of whole clips."""
    count = len(seeds)
    inputs = {"frames": np.repeat(frames[None], count, 0), "seed": seeds}
    inputs["background"] = np.repeat(background[None], count, 0)
    return models.run(("x", 1), "serving_default", inputs)[0]["log_likelihood"]


def test_a_stream_on_litert_equals_the_saved_model(nem, signatures, clip, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    trained = Trained(nem, "x", {}, "generated", None, {}, None)
    folder = saved_model.export_litert(trained, tmp_path, "x", K)
    assert "psi is the background for each" in (folder / "README.md").read_text()
    runner = interpreter.Interpreter(str(folder / "model.tflite"))
    operations = {detail["op_name"] for detail in runner._get_ops_details()}
    assert not [name for name in operations if name.startswith(("Flex", "CUSTOM"))]
    step, (frames, background) = runner.get_signature_runner("step"), clip
    state = begin(signatures, background)
    small = {name: value.numpy() for name, value in state.items()}
    for frame in (frames[0], *frames):
        reply = signatures["step"](frame=tf.constant(frame[None]), **state)
        found = step(frame=frame[None], **small)
        assert set(found) == set(reply)
        np.testing.assert_array_equal(found["segmentation"], reply["segmentation"])
        np.testing.assert_allclose(found["gamma"], reply["gamma"], atol=1e-4)
        state = {name: reply[name] for name in STATE}
        small = {name: found[name] for name in STATE}
    assert len(np.unique(found["segmentation"])) > 2  # background and two objects


def test_keras_own_export(nem, clip, found, tmp_path):
    nem.export(tmp_path / "model", verbose=False)
    frames, background = clip
    pi = keras.ops.convert_to_numpy(nem.cell.get_initial_state(1)[2])
    inputs = {"clean": frames[None], "noisy": frames[None, :-1], "pi": pi}
    inputs["background"] = background[None]
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    reply = loaded.serve({name: tf.constant(x) for name, x in inputs.items()})
    np.testing.assert_allclose(reply["gamma"], nem(inputs)["gamma"], atol=1e-4)
