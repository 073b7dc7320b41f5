"""Opaque sprites on a frame: their bitmaps, their shares of pixels, who covers whom.

N counts sprites, F frames, h the side of a bitmap in cells, `CELLS` to a pixel.
Positions are in units of 1/64 pixel. The share of a pixel that a sprite covers is then
a multiple of 2^-14, and float32 adds such numbers exactly, in whatever order.
"""

import numpy as np
import tensorflow as tf

from nem_tf.data.silhouettes import ANGLES

STEP = 64  # positions in a pixel
CELLS = 2  # in a pixel, along an axis
CELL = STEP // CELLS
_SAMPLES = 2  # in a cell, along an axis
ONE_COLOUR, HALVES, CORE = range(3)  # patterns
_CORE = 0.6  # how far a core reaches, from the inner to the outer radius


def bitmaps(radii, kinds, diameters, turns, patterns, side):
    """Draw each sprite in the middle of a square of cells, `CELLS` to a pixel.

    Args:
        radii: float32 (kinds, 2, ANGLES), see `silhouettes`.
        kinds: integers (N,), positions in `radii`.
        diameters: float32 (N,), pixels, at most h / CELLS.
        turns: integers (N,), in [0, ANGLES), counterclockwise.
        patterns: integers (N,), `ONE_COLOUR`, or of two `HALVES` or a `CORE`.
        side: h, cells.

    Returns:
        cover and tone, float32 (N, h, h), multiples of 1/4 in [0, 1]: the share of a
        cell that the sprite covers, and that its second colour does.
    """
    distance, angle = _polar(side * _SAMPLES)  # (q, q)
    kinds, turns = tf.cast(kinds, tf.int32), tf.cast(turns, tf.int32)
    angle = (angle - turns[:, None, None]) % ANGLES  # (N, q, q)
    place = angle + ANGLES * 2 * kinds[:, None, None]
    radii = tf.reshape(radii, (-1,))
    inner, outer = tf.gather(radii, place), tf.gather(radii, place + ANGLES)
    distance = distance / (diameters[:, None, None] / 2)  # (N, q, q)
    inside = (distance >= inner) & (distance <= outer)
    pattern = patterns[:, None, None]
    halves = (pattern == HALVES) & (angle < ANGLES // 2)
    core = (pattern == CORE) & (distance <= inner + _CORE * (outer - inner))
    second = inside & (halves | core)
    both = tf.cast(tf.stack([inside, second], axis=-1), tf.float32)  # (N, q, q, 2)
    both = tf.nn.avg_pool2d(both, _SAMPLES, _SAMPLES, "VALID")  # (N, h, h, 2)
    return both[..., 0], both[..., 1]


def paint(cover, tone, colours, path, background, hard):
    """Lay sprites over a background, the first one farthest.

    Args:
        cover, tone: float32 (N, h, h), see `bitmaps`.
        colours: float32 (N, 2, C), in [0, 1].
        path: int32 (N, F, 2), row and column of a bitmap's corner, 1/64 pixel.
        background: float32 (H, W, C).
        hard: boolean; pixels then belong to one alone.

    Returns:
        clean, float32 (F, H, W, C) in [0, 1]; covers, float32 (N, F, H, W): 1 where
        sprite n covers at least half of a pixel, those before it left aside.
    """
    height, width, channels = background.shape
    count, frames = path.shape[:2]
    layers = _place(cover, tone, path, (height, width))  # (N, F, H, 2, W)
    share, second = layers[..., 0, :], layers[..., 1, :]  # (N, F, H, W)
    covers = share >= 0.5
    sharp = tf.cast(covers, tf.float32)
    toned = tf.cast(covers & (second >= share / 2), tf.float32)
    share, second = tf.cond(hard, lambda: (sharp, toned), lambda: (share, second))
    left = tf.ones(share.shape[1:])  # of each pixel, by those nearer: (F, H, W)
    weights = []
    for mine, other in reversed(
        list(zip(*map(tf.unstack, (share, second)), strict=True))
    ):
        weights += [other * left, mine * left]
        left = left * (1.0 - mine)
    weights = tf.reshape(tf.stack(weights[::-1]), (2 * count, -1))  # (2 N, F*H*W)
    first, other = colours[:, 0], colours[:, 1]
    colours = tf.reshape(tf.stack([first, other - first], 1), (2 * count, channels))
    sprites = tf.matmul(colours, weights, transpose_a=True)  # (C, F*H*W)
    sprites = tf.reshape(sprites, (channels, frames, height, width))
    behind = tf.transpose(background, (2, 0, 1))[:, None]  # (C, 1, H, W)
    clean = tf.clip_by_value(sprites + left * behind, 0.0, 1.0)
    return tf.transpose(clean, (1, 2, 3, 0)), sharp  # (F, H, W, C)


def _place(cover, tone, path, size):
    """The share of each pixel under a sprite and its second colour: (N, F, H, 2, W).

    Two matrix products with the shares of pixels that lie under a row or a column of
    cells.
    """
    count, frames = path.shape[:2]
    side = cover.shape[-1]
    rows = _overlap(path[..., 0], size[0], side)  # (N, F, H, h)
    columns = _overlap(path[..., 1], size[1], side)  # (N, F, W, h)
    rows = tf.reshape(rows, (count, frames * size[0], side))  # (N, F*H, h)
    both = rows @ tf.concat([cover, tone], axis=-1)  # (N, F*H, 2 h)
    both = tf.reshape(both, (count, frames, size[0] * 2, side))  # (N, F, 2 H, h)
    both = tf.matmul(both, columns, transpose_b=True)  # (N, F, 2 H, W)
    return tf.reshape(both, (count, frames, size[0], 2, size[1]))


def _overlap(place, length, side):
    """Share of each pixel under each cell of an axis: (N, F) -> (N, F, length, h)."""
    ahead = CELL * np.arange(side) - STEP * np.arange(length)[:, None]
    middle = ahead.astype(np.float32) + (CELL - STEP) / 2
    distance = tf.abs(tf.cast(place, tf.float32)[..., None, None] + middle)
    shared = tf.clip_by_value((CELL + STEP) / 2 - distance, 0.0, CELL)
    return shared / STEP


def _polar(samples):
    """Distance from the middle in pixels, and direction, of samples: two of (q, q)."""
    along = (np.arange(samples) + 0.5 - samples / 2) / (CELLS * _SAMPLES)
    x, y = along[None], -along[:, None]
    angle = np.floor(np.arctan2(y, x) / (2 * np.pi) * ANGLES).astype(np.int32)
    return np.hypot(x, y).astype(np.float32), angle % ANGLES


def bounds(cover):
    """Where the cells of a bitmap begin, and how many there are: int64 (N, 2) each."""
    some = cover > 0
    lines = [tf.reduce_any(some, axis=2), tf.reduce_any(some, axis=1)]  # rows, columns
    lines = tf.cast(tf.stack(lines, axis=1), tf.int32)  # (N, 2, h)
    first, after = tf.argmax(lines, axis=2), tf.argmax(lines[..., ::-1], axis=2)
    return first, cover.shape[-1] - first - after


def nearest(covers):
    """Number of the nearest of the sprites on a pixel: (N, F, H, W) -> (F, H, W)."""
    numbers = tf.range(1, covers.shape[0] + 1, dtype=tf.float32)
    return tf.cast(tf.reduce_max(covers * numbers[:, None, None, None], 0), tf.int32)
