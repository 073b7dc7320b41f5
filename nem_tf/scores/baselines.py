"""What finds moving objects without learning: a learned model should find them better.

Background subtraction, connected components, and an assignment of components from frame
to frame. Where objects touch, they are one.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

FAINTEST = 0.05  # difference of intensity; Otsu's threshold is never below
BINS = 256  # of the histogram of differences
PATIENCE = 5  # frames that an object may be out of sight
REACH = 1.5  # diameters that an object may be from where it was, or would be
FAR = 1e6  # cost of what is not to be assigned
NEIGHBOURS = np.ones((3, 3))  # pixels that touch at a corner are together


class _Track(NamedTuple):
    """An object that was seen: its number, and where and when that was last."""

    number: int
    step: int
    mask: np.ndarray  # (H, W)
    middle: np.ndarray  # (2,)
    velocity: np.ndarray  # (2,), pixels per frame


def no_learning(frames, background=None, smallest=0.002):
    """Segments of one clip, by subtraction of the background.

    The difference to the background, the largest over channels, is cut at one threshold
    for the whole clip: Otsu's, but at least `FAINTEST`. What is connected in a frame is
    an object, which takes the number of the one in an earlier frame that it overlaps
    with most or is nearest to (Hungarian assignment).

    Args:
        frames: shape (T, H, W, C) or (T, H, W), in [0, 1].
        background: shape of a frame; None is the median over time of each pixel.
        smallest: share of the frame below which an object is a speck and left out.

    Returns:
        segments, int32 (T, H, W): 0 background, 1, 2, ... objects in the order of their
        appearance.

    Raises:
        ValueError: if shapes do not belong together, or `smallest` is not in [0, 1).
    """
    frames = np.asarray(frames, np.float32)
    if frames.ndim == 3:
        frames = frames[..., None]
        background = None if background is None else np.asarray(background)[..., None]
    if frames.ndim != 4 or 0 in frames.shape:
        raise ValueError(
            f"frames: expected one clip, shape (T, H, W, C) or (T, H, W), received "
            f"{frames.shape}; take one clip after another"
        )
    if not 0 <= smallest < 1:
        raise ValueError(
            f"smallest: expected a share in [0, 1), received {smallest!r}; 0 keeps all"
        )
    behind = median_background(frames) if background is None else np.asarray(background)
    if behind.shape != frames.shape[1:]:
        raise ValueError(
            f"background: expected shape {frames.shape[1:]}, that of a frame, received "
            f"{behind.shape}; None is the median over time"
        )
    difference = np.abs(frames - behind.astype(np.float32)).max(axis=-1)  # (T, H, W)
    moving = difference > max(FAINTEST, otsu(difference))
    least = smallest * moving[0].size
    return _followed([_objects(mask, least) for mask in moving], moving.shape)


def median_background(frames):
    """The median of each pixel and channel over time: (T, H, W, C) -> (H, W, C)."""
    return np.median(np.asarray(frames, np.float32), axis=0)


def otsu(values):
    """The threshold that parts values so that both sides vary least (Otsu, 1979).

    Of all thresholds between bins of a histogram it has the largest variance between
    the two classes, w0 w1 (mu0 - mu1)^2. Values that are all equal have themselves.
    """
    counts, edges = np.histogram(values, BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(float)  # values under edges[1:-1]
    above = np.size(values) - below
    total, of_below = (counts * middles).sum(), np.cumsum(counts * middles)[:-1]
    gap = of_below / np.maximum(below, 1) - (total - of_below) / np.maximum(above, 1)
    between = below * above * gap**2
    if not between.any():
        return float(np.max(values))
    # Between two far peaks all thresholds are as good: the middle one.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(edges[1 + best[len(best) // 2]])


def _objects(mask, least):
    """Connected parts of at least so many pixels: (H, W) -> masks (n, H, W)."""
    parts, count = ndimage.label(mask, NEIGHBOURS)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return parts == (1 + np.flatnonzero(sizes >= max(least, 1)))[:, None, None]


def _followed(objects, shape):
    """Number the objects of each frame, masks (n, H, W): int32 (T, H, W)."""
    segments = np.zeros(shape, np.int32)
    tracks = {}
    known = 0
    for step, masks in enumerate(objects):
        middles = [np.argwhere(mask).mean(axis=0) for mask in masks]
        seen = [t for t in tracks.values() if step - t.step <= PATIENCE]
        before = _assigned(seen, masks, middles, step)
        for mask, middle, track in zip(masks, middles, before, strict=True):
            velocity = np.zeros(2)
            if track is None:
                known += 1
                number = known
            else:
                number = track.number
                velocity = (middle - track.middle) / (step - track.step)
            tracks[number] = _Track(number, step, mask, middle, velocity)
            segments[step][mask] = number
    return segments


def _assigned(tracks, masks, middles, step):
    """The track that each object goes on with, or None."""
    cost = np.full((len(tracks), len(masks)), FAR)
    for row, track in enumerate(tracks):
        area = track.mask.sum()
        moved = track.velocity * (step - track.step)
        places = np.stack([track.middle, track.middle + moved])  # or it bounced
        for column, (mask, middle) in enumerate(zip(masks, middles, strict=True)):
            shared = (track.mask & mask).sum()
            overlap = shared / (area + mask.sum() - shared)
            # In diameters of a disc as large as the larger of the two.
            diameter = 2 * np.sqrt(max(area, mask.sum()) / np.pi)
            distance = np.linalg.norm(middle - places, axis=1).min() / diameter
            if overlap > 0 or distance < REACH:
                cost[row, column] = 1.0 - overlap + distance
    before = [None] * len(masks)
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if cost[row, column] < FAR:
            before[column] = tracks[row]
    return before
