"""Backgrounds of sprites, and colours that can be told from them.

A background mixes two colours, pixel by pixel; a sprite's colours are far from every
mixture of the two.
"""

import numpy as np
import tensorflow as tf

from nem_tf.data.keys import uniform

BACKGROUNDS = ("plain", "gradient", "texture")
CONTRAST = 0.3  # of a background, the most there is in a channel
MARGIN = 0.25  # from a sprite's colour to the background's, root mean square
CANDIDATES = 7  # for a colour
_GRIDS = (4, 8, 16)  # points along a side of the layers of clouds
POINTS = sum(grid**2 for grid in _GRIDS)
_PERIODS = 4.0, 16.0  # of stripes, pixels


def two_colours(draws):
    """Two colours that differ by `CONTRAST` at most: integers (2, C) -> float32."""
    first, change = tf.unstack(uniform(draws))
    second = first + CONTRAST * (2.0 * change - 1.0)
    return tf.stack([first, tf.clip_by_value(second, 0.0, 1.0)])


def sprite_colours(draws, background):
    """The first candidates that are far enough from the background's colours.

    Args:
        draws: integers (N, 2, candidates, C).
        background: float32 (2, C); the background mixes these two.

    Returns:
        float32 (N, 2, C).
    """
    begin, end = tf.unstack(background)
    # A corner of the colour cube is at least 1/2 - CONTRAST/2 away in each channel.
    corner = tf.cast(begin + end < 1.0, tf.float32)  # (C,)
    last = tf.broadcast_to(corner, (*draws.shape[:2], 1, draws.shape[3]))
    candidates = tf.concat([uniform(draws), last], axis=2)
    line, away = end - begin, candidates - begin
    length = tf.maximum(tf.reduce_sum(line**2), 1e-12)  # where both are one colour
    along = tf.reduce_sum(away * line, axis=-1, keepdims=True) / length
    away -= tf.clip_by_value(along, 0.0, 1.0) * line
    far = tf.reduce_mean(away**2, axis=-1) >= MARGIN**2  # (N, 2, candidates)
    chosen = tf.argmax(tf.cast(far, tf.int32), axis=2)
    return tf.gather(candidates, chosen, axis=2, batch_dims=2)


def mixture(draws, points, kinds, size):
    """How much of its second colour a background has: float32 (H, W), in [0, 1].

    Args:
        draws: integers (5,): kind, kind of texture, direction, phase, period.
        points: integers (POINTS,), heights of clouds.
        kinds: of `BACKGROUNDS`, one of which is drawn.
        size: (H, W).
    """
    kind, texture = draws[0], draws[1]
    turn, phase, period = tf.unstack(uniform(draws[2:]))
    rows, columns = (np.arange(n, dtype=np.float32) + 0.5 - n / 2 for n in size)
    sine, cosine = tf.sin(2 * np.pi * turn), tf.cos(2 * np.pi * turn)
    along = columns * cosine + rows[:, None] * sine  # (H, W), pixels

    def gradient():
        reach = (size[1] * tf.abs(cosine) + size[0] * tf.abs(sine)) / 2
        return tf.clip_by_value(0.5 + 0.5 * along / reach, 0.0, 1.0)

    def stripes():
        shortest, longest = _PERIODS
        wave = along / (shortest + period * (longest - shortest)) + phase
        return 0.5 + 0.5 * tf.sin(2 * np.pi * wave)

    def clouds():
        layers = tf.split(uniform(points), [grid**2 for grid in _GRIDS])
        weights = [2.0**-i for i in range(len(_GRIDS))]
        height = tf.zeros(size)
        for grid, layer, weight in zip(_GRIDS, layers, weights, strict=True):
            down, across = (_between(length, grid) for length in size)
            layer = down @ tf.reshape(layer, (grid, grid))  # (H, grid)
            height += weight * tf.matmul(layer, across, transpose_b=True)
        # A mean of many points is seldom far from 1/2.
        return tf.clip_by_value(0.5 + 2.0 * (height / sum(weights) - 0.5), 0.0, 1.0)

    def textured():
        return tf.cond(texture % 2 == 0, clouds, stripes)

    make = {"plain": lambda: tf.zeros(size), "gradient": gradient, "texture": textured}
    makers = [make[name] for name in kinds]
    return tf.switch_case(tf.cast(kind % len(makers), tf.int32), makers)


def _between(length, grid):
    """Weights of grid points, evenly over an axis, at each pixel: (length, grid)."""
    place = (np.arange(length) + 0.5) / length * (grid - 1)
    away = np.abs(place[:, None] - np.arange(grid))
    return np.maximum(0.0, 1.0 - away).astype(np.float32)


def mixed(colours, share):
    """Colours (2, C), so much of the second one: (H, W) -> (H, W, C)."""
    begin, end = tf.unstack(colours)
    return begin + share[..., None] * (end - begin)
