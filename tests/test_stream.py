"""Frames one by one give what the whole clip gives."""

import gc

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf

from export.signatures import ServedModel
from tests import runs, tiny
from tests.tiny import H, K, T, W


@pytest.fixture(autouse=True, scope="module")
def _eager():
    """Whole clips are not traced; streams are, as always."""
    with runs.eager():
        yield


@pytest.mark.parametrize("kind", ["conv", "dense", "n-em"])
def test_a_stream_gives_what_the_clip_gives(rng, kind):
    nem = tiny.model(kind)
    frames = tiny.batch(rng)["noisy"][0]
    for components, seed in ((None, 0), (2, 5)):
        whole = nem.segment(frames, components, seed)
        stream = nem.stream(components, seed)
        for _ in range(2):
            found = [stream(frame) for frame in frames]
            stream.reset()
            for name in ("gamma", "psi", "segments"):
                parts = np.stack([getattr(one, name) for one in found])
                np.testing.assert_allclose(parts, getattr(whole, name), atol=2e-6)
    assert found[0].gamma.shape == (2, H, W, 1)
    assert len(frames) == T


@pytest.mark.parametrize("channels", [1, 3])
def test_a_kept_floor_is_in_clip_stream_and_export_alike(rng, channels):
    nem = tiny.model("dense", channels=channels)
    nem.set_weights([3 * weight for weight in nem.get_weights()])
    nem.cell.floor = 0.5
    frames = tiny.batch(rng, channels=channels)["noisy"][0]
    before = nem.segment(frames)
    kept = tiny.model("dense", channels=channels)
    kept.cell.floor, kept.cell.keep_floor = 0.5, True
    kept.set_weights(nem.get_weights())
    found = kept.segment(frames)
    assert np.abs(found.psi - before.psi)[1:].max() > 1e-3
    stream = kept.stream()
    parts = np.stack([stream(frame).psi for frame in frames])
    np.testing.assert_allclose(parts, found.psi, atol=2e-6)
    served = ServedModel(kept, K).clip(tf.constant(frames[None]), tf.constant([0]))
    np.testing.assert_allclose(served["psi"][0], found.psi, atol=2e-6)
    psi = found.psi[:-1]
    by_hand = kept.cell.e_step(frames[1:], psi)  # Eq. 3: gamma has no floor
    np.testing.assert_allclose(found.gamma[1:], by_hand, atol=1e-6)


@pytest.mark.parametrize("kind", ["n-em", "patches"])
def test_a_stream_in_half_precision(rng, kind):
    keras.config.set_dtype_policy("mixed_bfloat16")
    nem = tiny.model(kind)
    frames = tiny.batch(rng)["noisy"][0]
    whole, stream = nem.segment(frames), nem.stream()
    found = np.stack([stream(frame).gamma for frame in frames])
    np.testing.assert_allclose(found, whole.gamma, atol=0.05)


def test_a_frame_without_channel(rng):
    nem = tiny.model()
    frame = tiny.batch(rng)["noisy"][0, 0]
    whole, flat = (nem.stream()(x) for x in (frame, frame[..., 0]))
    np.testing.assert_array_equal(whole.psi, flat.psi)
    assert whole.segments.shape == (H, W)
    assert whole.segments.max() < K


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (np.zeros((H + 1, W)), r"frame: expected \(8, 12, 1\), received \(9, 12\)"),
        (np.zeros((1, H, W, 1)), r"frame: expected \(8, 12, 1\)"),
        (np.full((H, W), 2.0), r"frame: expected pixels in \[0, 1\]"),
        (np.full((H, W), np.nan), r"frame: expected pixels in \[0, 1\]"),
    ],
)
def test_refuses_other_frames(frame, problem):
    stream = tiny.model().stream()
    with pytest.raises(ValueError, match=problem):
        stream(frame)


def test_refuses_no_components():
    with pytest.raises(ValueError, match="components: expected at least 1"):
        tiny.model().stream(0)
    with pytest.raises(ValueError, match="seed: expected integers"):
        tiny.model().stream(seed=-1)


def _resident():
    """Bytes of memory that this process has."""
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("kind", ["conv", "patches"])
def test_many_streams_end_where_three_do(rng, kind):
    nem = tiny.model(kind)
    frame = tiny.batch(rng)["noisy"][0, 0]
    alive = [nem.stream(components=k) for k in (2, 3, 4)]
    for stream in alive:
        stream(frame)
    compiled = dict(nem.stream_steps._compiled)
    gc.collect()
    before = _resident()
    for _ in range(60):
        alive.append(nem.stream(components=3))
        alive[-1](frame)
    gc.collect()
    assert nem.stream_steps._compiled == compiled and len(compiled) == 3
    assert _resident() - before < 30e6  # 60 compiled steps take 240e6


def test_a_stream_has_the_weights_that_it_began_with_and_the_next_one_the_new(rng):
    nem, other = tiny.model("dense"), tiny.model("dense")
    frames = tiny.batch(rng)["noisy"][0]
    old, expected = nem.segment(frames).psi, other.segment(frames).psi
    assert np.abs(old - expected).max() > 1e-3
    nem.stream()(frames[0])
    nem.set_weights(other.get_weights())
    stream = nem.stream()
    found = np.stack([stream(frame).psi for frame in frames])
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_streams_side_by_side_do_not_mix(rng):
    nem = tiny.model()
    clips = tiny.batch(rng)["noisy"]
    streams = [nem.stream(), nem.stream(seed=3), nem.stream(components=2)]
    wholes = [
        nem.segment(clips[0]).psi,
        nem.segment(clips[1], seed=3).psi,
        nem.segment(clips[1], components=2).psi,
    ]
    for t in range(T):
        for stream, whole, clip in zip(streams, wholes, (0, 1, 1), strict=True):
            np.testing.assert_allclose(stream(clips[clip, t]).psi, whole[t], atol=2e-6)
