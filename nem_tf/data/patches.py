"""From images of digits to small patches, and pools of such patches."""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

INK = 20  # rows and columns of MNIST's largest digit, pixels
DIGIT_SIZE = 10  # of the largest patch, unless asked otherwise

# Copies that fill a pool are turned, shrunk and slanted by at most this much.
_TURN, _SHRINK, _SLANT = np.deg2rad(12), 0.8, 0.2


class Patches(NamedTuple):
    """Digits, cropped to their ink and made smaller.

    pixels: float32 (N, D, D), in [0, 1]; the digit is in the top-left corner.
    extents: int64 (N, 2), height and width of each digit, 1..D pixels.

    In boxes (`in_boxes`), D is the side of a box, and extents are all D.
    """

    pixels: np.ndarray
    extents: np.ndarray


@functools.lru_cache(maxsize=8)
def pool(digits, split, size=None, digit_size=DIGIT_SIZE):
    """The patches that the clips of one split are made of.

    A stage with a pool smaller than the training set uses the first `size` training
    digits in all three splits. With the full pool, train uses the training digits,
    and validation and test use their own.

    Args:
        digits: a `digits.Digits`.
        split: "train", "validation" or "test".
        size: number of digits in the stage's pool; None is all. Where the training
            set has fewer, distorted copies of its own images fill the pool.
        digit_size: D, see `prepare`.

    Returns:
        `Patches`.
    """
    unique = len(digits.train)
    if size is not None and size < unique:
        return prepare(digits.train[:size], _ink(digits), digit_size)
    images = digits.images(split)
    if split == "train" and size is not None and size > unique:
        copies = _copies(images, size - unique, _ink(digits))
        images = np.concatenate([_centred(images, _ink(digits)), copies])
    return prepare(images, _ink(digits), digit_size)


def prepare(images, ink, digit_size=DIGIT_SIZE):
    """Crop each image to its ink and make it smaller; a pixel is a mean over its area.

    The original's code is lost; this is our reading: MNIST's ink is at most 20 x 20
    and is halved, so patches are at most 10 x 10 and each pixel is the mean of 2 x 2.
    Where a digit ends within a pixel, the rest of that pixel is empty. Sources with
    larger or smaller digits are scaled together so that the largest ink is 20 pixels.

    Args:
        images: uint8 (N, rows, columns), background 0.
        ink: side of the largest ink of the source, pixels.
        digit_size: D, side of the largest patch, 1 to 20 pixels.

    Returns:
        `Patches`.
    """
    boxes = _into_corner(images, ink)  # (N, ink, ink)
    if ink != INK:
        boxes = ndimage.zoom(boxes, (1, INK / ink, INK / ink), order=1)
    shares = _shares_of_area(digit_size)  # (D, 20)
    pixels = shares @ boxes.astype(np.float32) @ shares.T / 255  # (N, D, D)
    extents = -(-_extents(boxes) * digit_size // INK)  # (N, 2), rounded up
    return Patches(pixels, np.maximum(extents, 1))


def in_boxes(patches, side):
    """The digits, each in the middle of a square box of `side` pixels."""
    short = side - patches.pixels.shape[1]
    pixels = np.pad(patches.pixels, ((0, 0), (0, short), (0, short)))
    for axis in (1, 2):
        pixels = _roll(pixels, axis, (side - patches.extents[:, axis - 1]) // 2)
    return Patches(pixels, np.full_like(patches.extents, side))


def _shares_of_area(digit_size):
    """Which share of each new pixel each of 20 old ones covers, float32 (D, 20)."""
    edges = np.arange(digit_size + 1) * INK  # in units of 1 / D old pixels
    old = np.arange(INK + 1) * digit_size
    ends = np.minimum(edges[1:, None], old[None, 1:])
    begins = np.maximum(edges[:-1, None], old[None, :-1])
    return (np.maximum(ends - begins, 0) / INK).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _ink(digits):
    """Side of the smallest square that holds the ink of every image of a source."""
    splits = (digits.train, digits.validation, digits.test)
    return int(max(_extents(images).max() for images in splits))


def _span(images, axis):
    """First row (axis 1) or column (axis 2) with ink, and how many from there on."""
    used = images.any(axis=3 - axis)  # (N, rows) or (N, columns)
    first = used.argmax(axis=1)
    behind = used.shape[1] - used[:, ::-1].argmax(axis=1)
    return first, np.where(used.any(axis=1), behind - first, 0)


def _extents(images):
    """Height and width of each image's ink, int64 (N, 2)."""
    return np.stack([_span(images, 1)[1], _span(images, 2)[1]], axis=1)  # (N, 2)


def _roll(images, axis, shift):
    """Shift each image by its own number of pixels, cyclically."""
    size = images.shape[axis]
    source = (np.arange(size) - shift[:, None]) % size  # (N, size)
    return np.take_along_axis(images, np.expand_dims(source, 3 - axis), axis)


def _into_corner(images, side):
    """Move the ink into the top-left corner and crop, uint8 (N, side, side)."""
    for axis in (1, 2):
        first, _ = _span(images, axis)
        images = _roll(images, axis, -first)
    short = [max(0, side - size) for size in images.shape[1:]]
    images = np.pad(images, ((0, 0), (0, short[0]), (0, short[1])))
    return images[:, :side, :side]


def _centred(images, side):
    """Crop to the ink and centre it, uint8 (N, side, side)."""
    images = _into_corner(images, side)
    extents = _extents(images)  # (N, 2)
    for axis in (1, 2):
        images = _roll(images, axis, (side - extents[:, axis - 1]) // 2)
    return images


def _copies(images, count, side):
    """Distorted copies, uint8 (count, side, side); copy i is the same in any count."""
    images = _centred(images, side)
    draws = np.random.default_rng(0).uniform(-1, 1, (count, 4))  # row i for copy i
    turn, slant = _TURN * draws[:, 0], _SLANT * draws[:, 1]
    scale = 1 - (1 - _SHRINK) * np.abs(draws[:, 2:])  # (count, 2), rows and columns
    grid = np.arange(side) - (side - 1) / 2
    copies = np.empty((count, side, side), np.uint8)
    for begin in range(0, count, 4096):  # bounds the memory for coordinates
        part = slice(begin, min(begin + 4096, count))
        cos, sin = np.cos(turn[part]), np.sin(turn[part])
        y = grid[None, :, None] / scale[part, 0, None, None]
        x = grid[None, None, :] / scale[part, 1, None, None]
        x = x + slant[part, None, None] * y
        rows = cos[:, None, None] * y - sin[:, None, None] * x + (side - 1) / 2
        columns = sin[:, None, None] * y + cos[:, None, None] * x + (side - 1) / 2
        which = np.arange(part.start, part.stop) % len(images)
        which = np.broadcast_to(which[:, None, None], rows.shape)
        copies[part] = ndimage.map_coordinates(images, (which, rows, columns), order=1)
    return copies
