"""How well a clip without labels is understood: foretold, and its moving pixels found.

Each score has a plain rival beside it: "the next frame is this frame".
"""

from typing import NamedTuple

import numpy as np

from nem_tf import likelihoods
from nem_tf.scores.prediction import next_step_bound
from nem_tf.scores.segmentation import check_numbers

THRESHOLD = 0.1  # of intensity: about 25 of 255, above the noise of most cameras


class Foretold(NamedTuple):
    """Prediction of the next frame, and the last frame in its place (`repeat`).

    Shapes (..., T-1) where frames have (..., T, H, W, C), and (...) for `clip_`.

    nats: -log P(next frame | prediction), sum over pixels and channels.
    psnr: peak signal-to-noise ratio, dB; infinite where both frames are equal.
    clip_psnr: that of the mean squared error over all T-1 frames.
    """

    nats: np.ndarray
    psnr: np.ndarray
    clip_psnr: np.ndarray
    repeat_nats: np.ndarray
    repeat_psnr: np.ndarray
    repeat_clip_psnr: np.ndarray


def foretold(frames, predicted, likelihood="gaussian") -> Foretold:
    """Score one predicted frame per step against the next frame.

    Args:
        frames: shape (..., T, H, W, C), in [0, 1], T of at least 2.
        predicted: the prediction of frame t + 1 at t, shape (..., T-1, H, W, C), or
            with T, the last of which is not looked at. A mixture's is its mean.
        likelihood: as of `likelihoods.get`.

    Raises:
        ValueError: if shapes do not belong together.
    """
    frames, predicted = _paired(frames, predicted)
    likelihood = likelihoods.get(likelihood)
    now, following = frames[..., :-1, :, :, :], frames[..., 1:, :, :, :]

    def scores(guess):
        nats = next_step_bound(following, guess[..., None, :, :, :], likelihood)
        return (
            np.asarray(nats, np.float64),
            psnr(following, guess),
            psnr(_tall(following), _tall(guess)),
        )

    return Foretold(*scores(predicted), *scores(now))


def psnr(x, y):
    """Peak signal-to-noise ratio of images in [0, 1]: (..., H, W, C) -> (...), dB.

        PSNR = -10 log10 mean (x - y)^2

    20 dB is an error of 0.1. Equal images have infinity.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    error = np.square(x - y).mean(axis=(-3, -2, -1))
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(error)


def moving(frames, background=None, threshold=THRESHOLD):
    """Which pixels belong to something that moves.

    With a background: those that differ from it by more than `threshold` in some
    channel. Without: those that differ so from the frame before; none in frame 0. The
    latter includes background that has just been uncovered.

    Args:
        frames: shape (..., T, H, W, C), in [0, 1].
        background: shape (..., H, W, C), one for each clip, or None.
        threshold: difference of intensity, at least 0.

    Returns:
        boolean, shape (..., T, H, W).

    Raises:
        ValueError: if shapes do not belong together, or `threshold` is negative.
    """
    frames = _frames(frames)
    if not threshold >= 0:
        raise ValueError(
            f"threshold: expected a difference of at least 0, received {threshold!r}; "
            f"{THRESHOLD} is above most cameras' noise"
        )
    if background is None:
        step = np.abs(np.diff(frames, axis=-4)).max(axis=-1) > threshold
        return np.concatenate([np.zeros_like(step[..., :1, :, :]), step], axis=-3)
    behind = _behind(background, frames)
    return np.abs(frames - behind).max(axis=-1) > threshold


def moving_found(moves, segments):
    """Share of the moving pixels that are in a segment above 0.

    Args:
        moves: boolean, shape (..., H, W), as of `moving`.
        segments: integers of that shape, 0 for background.

    Returns:
        float64, shape (...), NaN where nothing moves.
    """
    moves, segments = np.asarray(moves, bool), np.asarray(segments)
    check_numbers("segments", segments)
    _same_shape("segments", segments, moves, "moves")
    return _share(moves & (segments > 0), moves)


def moving_foretold(frames, predicted, background, threshold=THRESHOLD):
    """Share of the moving pixels that a prediction meets better than the background.

    A pixel of frame t + 1 that is `moving` off the background counts if the squared
    error of the prediction made at t, summed over channels, is below that of the
    background.

    Args:
        frames, predicted: as of `foretold`.
        background, threshold: as of `moving`; a background is needed.

    Returns:
        float64, shape (..., T-1), NaN where nothing moves.
    """
    frames, predicted = _paired(frames, predicted)
    moves = moving(frames, background, threshold)[..., 1:, :, :]
    following, behind = frames[..., 1:, :, :, :], _behind(background, frames)
    error = np.square(following - predicted).sum(axis=-1)
    return _share(moves & (error < np.square(following - behind).sum(axis=-1)), moves)


def _frames(frames):
    frames = np.asarray(frames, np.float32)
    if frames.ndim < 4 or frames.shape[-4] < 2:
        raise ValueError(
            "frames: expected shape (..., T, H, W, C) with T of at least 2, received "
            f"{frames.shape}; grey frames are frames[..., None]"
        )
    return frames


def _paired(frames, predicted):
    """Frames and the predictions of all but the first of them."""
    frames, predicted = _frames(frames), np.asarray(predicted, np.float32)
    if predicted.shape == frames.shape:
        predicted = predicted[..., :-1, :, :, :]
    _same_shape("predicted", predicted, frames[..., 1:, :, :, :], "frames[1:]")
    return frames, predicted


def _behind(background, frames):
    """A background (..., H, W, C) beside frames (..., T, H, W, C)."""
    background = np.asarray(background, np.float32)
    _same_shape("background", background, frames[..., 0, :, :, :], "a frame")
    return background[..., None, :, :, :]


def _same_shape(name, value, like, of):
    if value.shape != like.shape:
        raise ValueError(
            f"{name}: expected shape {like.shape}, that of {of}, received "
            f"{value.shape}; pass those of the same clip"
        )


def _share(part, whole):
    """Share of pixels: two of (..., H, W) -> (...), NaN of none."""
    part, whole = part.sum(axis=(-2, -1)), whole.sum(axis=(-2, -1))
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _tall(frames):
    """(..., T, H, W, C) -> (..., T*H, W, C)"""
    *leading, steps, height, width, channels = frames.shape
    return frames.reshape(*leading, steps * height, width, channels)
