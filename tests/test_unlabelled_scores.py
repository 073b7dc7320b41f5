"""Scores of clips without labels: prediction, and pixels that move."""

import numpy as np
import pytest

from nem_tf import likelihoods, scores

B, T, H, W, C = 2, 4, 5, 6, 3


@pytest.fixture
def frames(rng):
    return rng.random((B, T, H, W, C)).astype(np.float32)


def test_prediction_and_repetition_against_the_next_frame(frames, rng):
    predicted = rng.random(frames[:, 1:].shape).astype(np.float32)
    found = scores.foretold(frames, predicted)
    following = frames[:, 1:].astype(float)
    for guess, prefix in ((predicted, ""), (frames[:, :-1], "repeat_")):
        error = np.square(following - guess)
        nats = getattr(found, f"{prefix}nats")
        assert nats.shape == (B, T - 1)
        np.testing.assert_allclose(nats, error.sum((2, 3, 4)) / 2, rtol=1e-5)
        np.testing.assert_allclose(
            getattr(found, f"{prefix}psnr"), -10 * np.log10(error.mean((2, 3, 4)))
        )
        np.testing.assert_allclose(
            getattr(found, f"{prefix}clip_psnr"),
            -10 * np.log10(error.mean((1, 2, 3, 4))),
        )


def test_a_prediction_beyond_the_clip_is_not_looked_at(frames):
    some = scores.foretold(frames[0], frames[0, 1:])
    assert np.isinf(some.psnr).all() and not some.nats.any()
    assert some.psnr.shape == (T - 1,) and some.clip_psnr.shape == ()
    beyond = np.concatenate([frames[0, 1:], frames[0, :1]])
    for one, other in zip(some, scores.foretold(frames[0], beyond), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nats_are_those_of_the_likelihood(frames):
    binary = (frames > 0.5).astype(np.float32)
    predicted = np.full_like(binary, 0.25)
    nats = scores.foretold(binary, predicted, "bernoulli").nats
    on = binary[:, 1:].sum((2, 3, 4))
    expected = -on * np.log(0.25) - (H * W * C - on) * np.log(0.75)
    np.testing.assert_allclose(nats, expected, rtol=1e-5)
    likelihood = likelihoods.get("bernoulli")
    again = scores.foretold(binary, predicted, likelihood).nats
    np.testing.assert_array_equal(nats, again)


def test_psnr_of_a_tenth_is_twenty_decibel():
    image = np.full((4, 5, 1), 0.5)
    assert scores.psnr(image, image + 0.1) == pytest.approx(20)


@pytest.fixture
def dot():
    """A bright dot that goes right by a pixel per frame, over a grey background."""
    behind = np.full((H, W, C), 0.3, np.float32)
    frames = np.tile(behind, (T, 1, 1, 1))
    for t in range(T):
        frames[t, 2, t, 1] = 0.8
    return frames, behind


def test_a_pixel_moves_off_the_background_or_from_the_frame_before(dot):
    frames, behind = dot
    moves = scores.moving(frames, behind)
    assert moves.shape == (T, H, W) and moves.dtype == bool
    assert [tuple(place) for place in np.argwhere(moves)] == [
        (t, 2, t) for t in range(T)
    ]
    changed = scores.moving(frames)
    assert not changed[0].any()
    for t in range(1, T):  # where it is, and where it was
        np.testing.assert_array_equal(np.argwhere(changed[t]), [[2, t - 1], [2, t]])
    assert not scores.moving(frames, behind, threshold=0.51).any()
    both = scores.moving(np.stack([frames, 0 * frames]), np.stack([behind, 0 * behind]))
    np.testing.assert_array_equal(both, [moves, 0 * moves])


def test_share_of_moving_pixels_in_segments(dot):
    moves = scores.moving(*dot)
    segments = np.zeros((T, H, W), int)
    segments[1:, 2, 1:] = 5
    np.testing.assert_array_equal(scores.moving_found(moves, segments), [0, 1, 1, 1])
    bare = scores.moving_found(moves & False, segments)
    assert np.isnan(bare).all()


def test_share_of_moving_pixels_foretold_better_than_by_the_background(dot):
    frames, behind = dot
    predicted = frames[1:].copy()
    predicted[0] = behind  # no better
    predicted[1, 2, 2, 1] = 0.56  # a little better
    predicted[2, 2, 3] = 1.0  # worse: other channels are off
    share = scores.moving_foretold(frames, predicted, behind)
    np.testing.assert_array_equal(share, [0, 1, 0])
    still = scores.moving_foretold(np.stack([behind] * 3), predicted[:2], behind)
    assert np.isnan(still).all() and still.shape == (2,)


FRAMES = np.zeros((3, 4, 5, 1))
BAD = [
    (lambda: scores.foretold(FRAMES[:1], FRAMES[:1]), "frames: expected .* T of at"),
    (lambda: scores.foretold(FRAMES, FRAMES[:1]), r"predicted: .* \(2, 4, 5, 1\)"),
    (lambda: scores.moving(FRAMES, FRAMES), "background: expected shape"),
    (lambda: scores.moving(FRAMES, threshold=-1), "threshold: .* received -1"),
    (lambda: scores.moving_found(FRAMES, FRAMES), "segments: expected integers"),
    (lambda: scores.moving_found(FRAMES, np.zeros((3, 4), int)), "segments: .* shape"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[text for _, text in BAD])
def test_wrong_arguments_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value) and ";" in str(error.value)
