"""The background of a clip whose camera stands still: what is behind the objects.

    background = estimate(frames)  # (H, W, C) in [0, 1]

The median over time is wrong wherever an object stays for half of the clip. Two things
mend that. A clip may show one colour in most of its pixels: then that colour is the
background. Else, where the median shows an object that other frames do not, there is an
edge around it in the median and none in those frames: such a region is taken from them.
"""

import numpy as np
from scipy import ndimage

KINDS = ("auto", "plain", "still")
PLAIN = 0.4  # of the pixels; a clip with so many of one colour has a plain background
ALIKE = 10 / 255  # of that colour: no channel is farther from it
DIFFERENT = 0.12  # least distance of a pixel from what is behind it, see `distance`
SMALL = 4  # pixels; less is no object
FRAMES = 40  # looked at, evenly spaced
ROUNDS = 4  # of mending; each uncovers what the one before had as a neighbour


def estimate(frames, kind="auto"):
    """What is behind the objects of one clip.

    Args:
        frames: (T, H, W, C), uint8, or floats in [0, 1].
        kind: "plain", one colour; "still", one image; "auto": plain if one colour has
            at least two fifths of the pixels. Moving cameras are neither.

    Returns:
        float32 (H, W, C) in [0, 1].

    Raises:
        ValueError: if `kind` is none of these, or the shape is another one.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected {', '.join(KINDS)}, received {kind!r}")
    if np.ndim(frames) != 4 or 0 in np.shape(frames):
        raise ValueError(
            f"frames: expected shape (T, H, W, C), received {np.shape(frames)}"
        )
    some = np.linspace(0, len(frames) - 1, min(len(frames), FRAMES)).astype(int)
    x = unit(np.asarray(frames)[some])
    if kind != "still":
        colour, share = plain(x)
        if kind == "plain" or share >= PLAIN:
            return np.broadcast_to(colour, x.shape[1:]).copy()
    return still(x)


def kind_of(clips):
    """Whether most of some clips have a plain background.

    Args:
        clips: list of frames, see `estimate`.

    Returns:
        "plain" or "still".
    """
    votes = [plain(unit(some(frames)))[1] >= PLAIN for frames in clips]
    return "plain" if 2 * sum(votes) > len(votes) else "still"


def some(frames):
    """At most `FRAMES` frames, evenly spaced."""
    count = len(frames)
    return frames[np.linspace(0, count - 1, min(count, FRAMES)).astype(int)]


def unit(frames):
    """Frames of integers or floats as float32 in [0, 1]."""
    frames = np.asarray(frames)
    if frames.dtype.kind in "ui":
        return frames.astype("float32") / np.iinfo(frames.dtype).max
    return frames.astype("float32")


def plain(x):
    """The most frequent colour, float32 (C,), and the share of the pixels that have it.

    Args:
        x: float32 (T, H, W, C) in [0, 1].
    """
    flat = x.reshape(-1, x.shape[-1])
    coarse = np.minimum((flat * 16).astype(np.int64), 15)
    cell = coarse @ (16 ** np.arange(x.shape[-1]))
    centre = np.median(flat[cell == np.bincount(cell).argmax()], axis=0)
    near = np.abs(flat - centre).max(axis=-1) <= ALIKE
    if not near.any():
        return centre, 0.0
    # Twice, since a cell of the coarse grid may cut the colour's noise in two.
    centre = np.median(flat[near], axis=0)
    near = (
        np.abs(flat - centre).max(axis=-1) <= ALIKE + 2 * flat[near].std(axis=0).max()
    )
    return np.median(flat[near], axis=0).astype("float32"), float(near.mean())


def distance(x, background):
    """How far pixels are from what is behind them: Euclidean, over the channels."""
    return np.sqrt(np.square(x - background).sum(axis=-1))


def noise(x):
    """Standard deviation of what changes in every pixel from frame to frame."""
    if len(x) < 2:
        return 0.0
    change = np.abs(np.diff(x, axis=0))
    return float(np.median(change)) / 0.6745 / np.sqrt(2)


def least_distance(x):
    """From where on a pixel of these frames differs from its background."""
    return max(DIFFERENT, 4 * noise(x) * np.sqrt(x.shape[-1]))


def still(x):
    """The image behind moving objects, float32 (H, W, C).

    Args:
        x: float32 (T, H, W, C) in [0, 1].
    """
    least = least_distance(x)
    image = np.median(x, axis=0)
    for _ in range(ROUNDS):
        if not _mend(image, x, distance(x, image) > least):
            break
    near = (distance(x, image) <= least)[..., None]
    count = near.sum(axis=0)  # 0 where a region's frame was not near afterwards
    mean = (x * near).sum(axis=0) / np.maximum(count, 1)
    return np.where(count, mean, image).astype("float32")


def _mend(image, x, differs):
    """Take regions of `image` from frames in which their borders show less.

    Returns:
        whether there was one.
    """
    found = []
    for t, mask in enumerate(differs):
        labels, _ = ndimage.label(mask)
        for label, box in enumerate(ndimage.find_objects(labels), 1):
            region = labels[box] == label
            if region.sum() >= SMALL:
                less = _edge(image, image, box, region) - _edge(
                    image, x[t], box, region
                )
                found.append((less, t, box, region))
    taken = np.zeros(image.shape[:2], bool)
    for less, t, box, region in sorted(found, key=lambda one: -one[0]):
        if less <= 0:
            break
        if not taken[box][region].any():
            taken[box] |= region
            image[box][region] = x[t][box][region]
    return bool(taken.any())


def _edge(image, inside, box, region):
    """Sum of the differences across the border of a region, `inside` within it."""
    size = image.shape[:2]
    wide = tuple(
        slice(max(one.start - 1, 0), min(one.stop + 1, most))
        for one, most in zip(box, size, strict=True)
    )
    here = tuple(
        slice(one.start - more.start, one.stop - more.start)
        for one, more in zip(box, wide, strict=True)
    )
    mask = np.zeros(image[wide].shape[:2], bool)
    mask[here] = region
    pixels = np.where(mask[..., None], inside[wide], image[wide])
    total = 0.0
    for axis in (0, 1):
        border = np.diff(mask.astype(np.int8), axis=axis) != 0
        step = np.sqrt(np.square(np.diff(pixels, axis=axis)).sum(axis=-1))
        total += step[border].sum()
    return float(total)
