"""What layered models take for the background: given, or estimated from the frames."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from keras import ops

from nem_tf import pixels
from reading.background import FRAMES, estimate

FARTHEST = 320  # frames back that a running estimate looks
SELDOM = 32  # frames from one running estimate to the next, at most
LATER = 8  # frames that one has to be ready in, at most


def of_clips(background, frames, kind):
    """The background of each clip.

    Args:
        background: (H, W, C) or (B, H, W, C) in [0, 1]; None estimates it.
        frames: (B, T, H, W, C), pixels in [0, 1].
        kind: of the background, see `reading.background.estimate`.

    Returns:
        float32 (B, H, W, C).

    Raises:
        ValueError: if the background has another shape, or pixels not in [0, 1].
    """
    if background is None:
        return np.stack([estimate(clip, kind) for clip in frames])
    shape = (len(frames), *frames.shape[2:])
    given = _checked(background, shape[1:], len(frames))
    return np.broadcast_to(given, shape)


def of_stream(background, frame_shape):
    """A given background (H, W, C) in [0, 1], as float32.

    Raises:
        ValueError: if it has another shape, or pixels not in [0, 1].
    """
    return _checked(background, frame_shape)


def refuse(background):
    """Raise ValueError if a cell without layers is given a background."""
    if background is not None:
        raise ValueError(
            "background: expected none, since the model has no layers, received "
            f"{_text(background)}; omit it"
        )


class Running:
    """The background of a video on its way: `background = running(frame)`.

    Up to 40 of the last 320 frames are kept, each n-th; n grows from 1 to 8. They are
    looked at after frames 1, 2, 4, 8, 16, 32, and then after each 32nd. That takes as
    long as several frames, so a thread does it: what began with frame t is the
    background from frame t + min(t // 4, 8) on, on quick and slow machines alike. From
    the first frame alone, all is background but what differs from its one colour.

    Args:
        kind: of the background, see `reading.background.estimate`.
    """

    def __init__(self, kind="auto"):
        self._kind = kind
        self._kept = []  # pairs of a frame's number and the frame, in order
        self._every = 1  # n
        self._count = 0
        self._found = None
        self._coming = None  # the frame from which on it counts, and its Future
        self._worker = ThreadPoolExecutor(1, "background")

    def __call__(self, frame):
        """The background when a frame arrives, both (H, W, C) in [0, 1]."""
        self._keep(frame)
        self._count += 1
        count = self._count
        if count % SELDOM == 0 or (count < SELDOM and count & (count - 1) == 0):
            frames = np.stack([frame for _, frame in self._kept])
            future = self._worker.submit(estimate, frames, self._kind)
            self._coming = count + min(count // 4, LATER), future
        if self._coming is not None and count >= self._coming[0]:
            self._found = self._coming[1].result()
            self._coming = None
        return self._found

    def _keep(self, frame):
        if self._count % self._every:
            return
        self._kept.append((self._count, frame))
        if len(self._kept) <= FRAMES:
            return
        if FRAMES * self._every < FARTHEST:
            self._every *= 2
            self._kept = [one for one in self._kept if one[0] % self._every == 0]
        else:
            del self._kept[0]


def _checked(background, frame_shape, clips=None):
    """Float32 (H, W, C), or (B, H, W, C) if `clips` says B, in [0, 1]."""
    try:
        found = np.asarray(background, "float32")
    except (ValueError, TypeError):
        found = np.zeros(())
    if frame_shape[-1] == 1 and found.shape[-2:] == frame_shape[:2]:
        found = found[..., None]
    shapes = [frame_shape] if clips is None else [frame_shape, (clips, *frame_shape)]
    if found.shape not in shapes:
        raise ValueError(
            f"background: expected {' or '.join(map(str, shapes))}, received "
            f"{_text(background)}; resize or convert it, or omit it: it is estimated"
        )
    return ops.convert_to_numpy(pixels.intensities("background", found))


def _text(value):
    """The shape of an array, or what else there is."""
    shape = np.shape(value) if isinstance(value, np.ndarray) else None
    return str(shape) if shape else type(value).__name__
