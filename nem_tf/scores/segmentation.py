"""How well segments agree with labelled objects, frame by frame and over time.

Unlike the scores of gamma, these know a background: pixels of label 0 in `groups`, of
segment 0 in what was found. Each takes images (..., H, W). A clip is scored as one
volume by `volume`: then an object has to keep its segment over time.
"""

import math
from typing import NamedTuple

import numpy as np

from nem_tf.scores.metrics import ari_from_table
from nem_tf.scores.mutual_information import ami_from_tables


class Grouping(NamedTuple):
    """Scores of clips (..., T, H, W), float64, NaN where nothing is labelled.

    Of each frame, shape (..., T), and of clips as volumes, names with `clip_`, shape
    (...). Means over frames leave NaN aside: `numpy.nanmean`.

    foreground_ari: adjusted Rand index of the labelled pixels.
    ari: the same of all pixels, background being one more object.
    ami: adjusted mutual information of the labelled pixels, as the paper's.
    best_overlap: intersection over union of an object and its best segment, mean over
        objects.
    """

    foreground_ari: np.ndarray
    ari: np.ndarray
    ami: np.ndarray
    best_overlap: np.ndarray
    clip_foreground_ari: np.ndarray
    clip_ari: np.ndarray
    clip_ami: np.ndarray
    clip_best_overlap: np.ndarray


def grouping(groups, segments) -> Grouping:
    """All scores of clips.

    Args:
        groups: labels, integers, shape (..., T, H, W): 0 background, 1..n objects.
        segments: what was found, integers of that shape: 0 background, 1..K segments.

    Raises:
        ValueError: if a shape or a number is not as above.
    """
    groups, segments = _checked(groups, segments, least=3)
    frames = _tables(groups, segments)  # (..., T, K + 1, n + 1)
    clips = frames.sum(axis=-3)  # numbers mean the same in all frames
    kinds = _foreground_ari, _ari, _foreground_ami, _best_overlap
    return Grouping(*(score(tables) for tables in (frames, clips) for score in kinds))


def volume(clips):
    """Each clip as one tall image: (..., T, H, W) -> (..., T*H, W)."""
    clips = np.asarray(clips)
    *leading, steps, height, width = clips.shape
    return clips.reshape(*leading, steps * height, width)


def foreground_ari(groups, segments):
    """Adjusted Rand index of the labelled pixels: two of (..., H, W) -> (...).

    1 for equal partitions, 0 on average for random ones, NaN where nothing is labelled.
    Segments that reach into the background lose nothing; `ari_with_background` sees it.
    """
    return _foreground_ari(_tables(*_checked(groups, segments)))


def ari_with_background(groups, segments):
    """Adjusted Rand index of all pixels: two of (..., H, W) -> (...).

    Background is an object, and segment 0 one more segment. NaN where nothing is
    labelled.
    """
    return _ari(_tables(*_checked(groups, segments)))


def foreground_ami(groups, segments):
    """Adjusted mutual information of the labelled pixels: two of (..., H, W) -> (...).

    That of `adjusted_mutual_information`, normalised by the larger entropy; NaN where
    nothing is labelled.
    """
    return _foreground_ami(_tables(*_checked(groups, segments)))


def best_overlap(groups, segments):
    """Intersection over union of each object with its best segment, mean over objects.

    Two of (..., H, W) -> (...), from 0 to 1. All pixels of a segment count, those on
    the background, too. Segment 0 is no candidate, and one segment may be the best of
    several objects. NaN where nothing is labelled.
    """
    return _best_overlap(_tables(*_checked(groups, segments)))


def _checked(groups, segments, least=2):
    """Both as arrays, or ValueError unless they are numbers of the same pixels."""
    groups, segments = np.asarray(groups), np.asarray(segments)
    if groups.ndim < least or segments.shape != groups.shape:
        expected = "(..., T, H, W)" if least == 3 else "(..., H, W)"
        raise ValueError(
            f"segments: expected the shape {expected} of groups, received "
            f"{segments.shape} for {groups.shape}; give each labelled pixel a segment"
        )
    for name, numbers in (("groups", groups), ("segments", segments)):
        check_numbers(name, numbers)
    return groups, segments


def check_numbers(name, numbers):
    """Raise ValueError unless an array holds integers from 0 on, or booleans."""
    if numbers.dtype.kind not in "iub":
        raise ValueError(
            f"{name}: expected integers, received {numbers.dtype}; number them 1, 2, "
            "..., and 0 for background"
        )
    if numbers.size and numbers.min() < 0:
        raise ValueError(
            f"{name}: expected 0 and above, received {numbers.min()}; 0 is background"
        )


def _tables(groups, segments):
    """Pixels of each segment and object: two of (..., H, W) -> int64 (..., K+1, n+1).

    The first row and column are of 0, the background; the others are of the numbers
    above it that occur in any of the images.
    """
    images = groups.shape[:-2]
    columns, objects = _renumbered(groups)
    rows, found = _renumbered(segments)
    image = np.arange(math.prod(images)).reshape(*images, 1, 1)
    entry = (image * found + rows) * objects + columns
    counts = np.bincount(entry.ravel(), minlength=image.size * found * objects)
    return counts.reshape(*images, found, objects)


def _renumbered(numbers):
    """Numbers that occur as 0, 1, ..., where 0 stays itself; and how many there are."""
    if numbers.max(initial=0) < numbers.size:  # then counting is faster than sorting
        numbers = numbers.astype(np.intp)
        occur = np.bincount(numbers.ravel(), minlength=1) > 0
        occur[0] = True
        return (np.cumsum(occur) - 1)[numbers], np.count_nonzero(occur)
    occur, place = np.unique(np.append(numbers.ravel(), 0), return_inverse=True)
    return place[:-1].reshape(numbers.shape), len(occur)


# The scores of `_tables`, (..., K + 1, n + 1) -> (...).


def _ari(tables):
    return _unless_bare(tables, ari_from_table(tables.astype(np.float64)))


def _foreground_ari(tables):
    foreground = tables[..., 1:].astype(np.float64)
    return _unless_bare(tables, ari_from_table(foreground))


def _foreground_ami(tables):
    *images, found, objects = tables[..., 1:].shape
    score = ami_from_tables(tables[..., 1:].reshape(math.prod(images), found, objects))
    return _unless_bare(tables, score.reshape(images))


def _best_overlap(tables):
    claimed = tables.sum(axis=-1, keepdims=True)  # (..., K + 1, 1)
    sizes = tables.sum(axis=-2, keepdims=True)  # (..., 1, n + 1)
    union = np.maximum(claimed + sizes - tables, 1)
    overlap = (tables / union)[..., 1:, 1:].max(axis=-2, initial=0.0)  # (..., n)
    objects = (sizes[..., 0, 1:] > 0).sum(axis=-1)  # (...)
    return _unless_bare(tables, overlap.sum(axis=-1) / np.maximum(objects, 1))


def _unless_bare(tables, score):
    """NaN where a table has no labelled pixel, else the score, float64 (...)."""
    bare = tables[..., 1:].sum(axis=(-2, -1)) == 0
    return np.where(bare, np.nan, np.asarray(score, np.float64))
