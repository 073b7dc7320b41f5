"""Frames one by one give what the whole clip gives."""

import keras
import numpy as np
import pytest

from tests import tiny
from tests.tiny import H, K, T, W


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
