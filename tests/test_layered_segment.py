"""Layers over a background: whole clips, frames one by one, and what is background."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from nem_tf.inference import backgrounds
from tests import layered, tiny
from tests.layered import C, H, K, T, W


@pytest.fixture(scope="module")
def nem():
    return layered.model()


@pytest.fixture(scope="module")
def clip():
    """Frames, background and labels."""
    return layered.scene()


@pytest.fixture(scope="module")
def found(nem, clip):
    frames, background, _ = clip
    return nem.segment(frames, background=background)


def test_what_is_background_is_0_and_components_count_from_1(nem, clip, found):
    frames, _, labels = clip
    np.testing.assert_array_equal(found.segments > 0, labels > 0)
    most = found.gamma[..., 0].argmax(axis=1) + 1
    np.testing.assert_array_equal(found.segments[labels > 0], most[labels > 0])
    assert found.segments.dtype == np.int32
    assert found.gamma.shape == (T, K, H, W, 1)
    assert found.psi.shape == (T, K, H, W, C)


def test_the_first_frame_is_segmented_too(found, clip):
    labels = clip[2][0]
    one, two = (found.segments[0][labels == label] for label in (1, 2))
    assert len(set(one)) == len(set(two)) == 1 and one[0] != two[0]


def test_frame_t_is_assigned_by_what_was_predicted_of_it(nem, clip, found):
    frames, background, _ = clip
    inputs = {"noisy": np.concatenate([frames[:1], frames])}
    inputs |= {"clean": np.concatenate([frames[:1], frames, frames[-1:]])}
    inputs["pi"] = np.full((K, H, W, 1), 1 / K, "float32")
    inputs["background"] = background
    outputs = nem({name: x[None] for name, x in inputs.items()})
    np.testing.assert_allclose(found.psi, outputs["psi"][0, 1:], atol=1e-4)
    np.testing.assert_allclose(found.gamma, outputs["gamma"][0, :-1], atol=1e-4)


def test_the_background_is_estimated_clip_by_clip(nem, clip, found):
    frames, background, _ = clip
    both = np.stack([frames, 1.0 - frames])
    estimated = nem.segment(both)
    given = nem.segment(both, background=np.stack([background, 1.0 - background]))
    np.testing.assert_array_equal(estimated.segments, given.segments)
    np.testing.assert_array_equal(given.segments[0], found.segments)
    np.testing.assert_array_equal(given.segments[1] > 0, clip[2] > 0)


@pytest.mark.parametrize("components", [None, 2])
def test_frames_one_by_one_give_what_the_clip_gives(nem, clip, found, components):
    frames, background, _ = clip
    whole = found
    if components:
        whole = nem.segment(frames, components, 4, background=background)
    stream = nem.stream(components, 4 if components else 0, background)
    for _ in range(2):
        parts = [stream(frame) for frame in frames]
        stream.reset()
        for name in ("gamma", "psi", "segments"):
            one_by_one = np.stack([getattr(part, name) for part in parts])
            np.testing.assert_allclose(one_by_one, getattr(whole, name), atol=1e-4)


def test_a_stream_finds_the_background_itself(nem, clip):
    frames, _, labels = clip
    stream = nem.stream()
    first = stream(frames[0]).segments
    assert not first.any()  # nothing has moved yet
    for t in range(1, T):
        last = stream(frames[t]).segments
    np.testing.assert_array_equal(last > 0, labels[-1] > 0)
    stream.reset()
    np.testing.assert_array_equal(stream(frames[0]).segments, first)


def test_several_starts(nem, clip):
    frames, background, _ = clip
    best = nem.segment(frames, starts=3, background=background)
    np.testing.assert_array_equal(best.segments > 0, clip[2] > 0)
    again = nem.segment(frames, starts=3, background=background)
    np.testing.assert_array_equal(best.gamma, again.gamma)
    stream = nem.stream(background=background, starts=3)
    for _ in range(2):
        parts = [stream(frame) for frame in frames]
        stream.reset()
    gamma = [part.gamma[..., 0] for part in parts]
    overlap = np.einsum("khw,jhw->kj", gamma[-1], best.gamma[-1, ..., 0])
    _, order = linear_sum_assignment(overlap, maximize=True)
    for name in ("gamma", "psi"):
        one, all_at_once = getattr(parts[-1], name), getattr(best, name)[-1][order]
        np.testing.assert_allclose(one, all_at_once, atol=1e-4)
    for part, labels in zip(parts, clip[2], strict=True):
        np.testing.assert_array_equal(part.segments > 0, labels > 0)


def test_a_running_background_looks_at_few_frames_of_a_long_past(monkeypatch):
    looked = []

    def estimate(frames, kind):
        assert kind == "plain"
        looked.append(frames[:, 0, 0, 0].astype(int).tolist())
        return frames[-1]

    monkeypatch.setattr(backgrounds, "estimate", estimate)
    running = backgrounds.Running("plain")
    used = [running(np.full((1, 1, 1), t))[0, 0, 0] for t in range(1, 701)]
    ends = [frames[-1] for frames in looked]
    assert ends[:6] == [1, 2, 4, 8, 16, 32] and len(looked) == 6 + 700 // 32 - 1
    assert max(map(len, looked)) == 40
    last = looked[-1]
    assert set(np.diff(last)) == {8} and 672 - 320 <= last[0] <= 672 - 304
    assert used[:10] == [1, 2, 2, 2, 4, 4, 4, 4, 4, 8]
    assert used[38:40] == [16, 32] and used[70:72] == [32, 63]


@pytest.mark.parametrize(
    ("background", "problem"),
    [
        (np.zeros((H, W, 1)), r"expected \(16, 20, 3\).*received \(16, 20, 1\)"),
        (np.zeros((2, H, W, C)), r"received \(2, 16, 20, 3\)"),
        (np.full((H, W, C), 2.0), r"background: expected pixels in \[0, 1\]"),
        ("still", r"received str; resize or convert it, or omit it"),
    ],
)
def test_refuses_other_backgrounds(nem, clip, background, problem):
    for call in (nem.segment, lambda *_, background: nem.stream(None, 0, background)):
        with pytest.raises(ValueError, match=problem):
            call(clip[0], background=background)


def test_the_papers_cells_take_no_background(rng):
    nem = tiny.model("n-em")
    frames = tiny.batch(rng)["noisy"][0]
    for call in (nem.segment, lambda *_, background: nem.stream(background=background)):
        with pytest.raises(ValueError, match="^background: expected none"):
            call(frames, background=frames[0])
