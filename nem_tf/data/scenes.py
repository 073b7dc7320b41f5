"""Scenes: where objects begin, how they move and bounce, and how frames compose.

Objects are patches, small pictures (h, w), on a frame of H x W pixels. Here F counts
frames (T + 1 in a clip of T steps) and N objects. Positions are the (row, column) of
a patch's top-left pixel; velocities are in pixels per frame along (rows, columns).
"""

import tensorflow as tf


def launch(draws, free, speed):
    """Uniform draws: any place where the object fits, any velocity up to `speed`.

    Args:
        draws: integers uniform in a large range, int64 (B, N, 4).
        free: largest legal top-left, H - h and W - w, int64 (B, N, 2).
        speed: largest velocity along an axis, pixels per frame.

    Returns:
        top_left, int64 (B, N, 2), in [0, free]; velocity, int64 (B, N, 2), in
        {-speed, ..., speed}, drawn per axis, so an object may stand still.
    """
    top_left = draws[..., :2] % (free + 1)
    velocity = draws[..., 2:] % (2 * speed + 1) - speed
    return top_left, velocity


def fly(top_left, velocity, free, frames):
    """Straight flight; a move that would leave the frame is mirrored first.

    Each axis is on its own: if the next place is outside, the velocity along this
    axis changes its sign, then the object moves. Objects pass through each other.

    Args:
        top_left: int64 (B, N, 2), in [0, free].
        velocity: int64 (B, N, 2).
        free: int64 (B, N, 2).
        frames: F.

    Returns:
        top_left in every frame, int32 (B, N, F, 2).
    """
    path = [top_left]
    for _ in range(frames - 1):
        move = path[-1] + velocity
        leaves = (move < 0) | (move > free)
        velocity = tf.where(leaves, -velocity, velocity)
        path.append(path[-1] + velocity)
    return tf.cast(tf.stack(path, axis=2), tf.int32)


def place(patches, top_left, size):
    """Put each patch on an empty frame, once per frame of its path.

    Two matrix products with one-hot shifts: rows (H, h) @ patch (h, w) @ columns
    (w, W). Products are faster here than scattering pixels.

    Args:
        patches: float32 (B, N, h, w), intensity in [0, 1].
        top_left: int32 (B, N, F, 2); the whole patch, or at least its non-zero
            part, lies on the frame.
        size: (H, W).

    Returns:
        layers, float32 (B, N, F, H, W): one object each, 0 elsewhere.
    """
    height, width = size
    objects, h, w = patches.shape[1:]
    frames = top_left.shape[2]
    rows = _shift(top_left[..., 0], height, h)  # (B, N, F, H, h)
    columns = _shift(top_left[..., 1], width, w)  # (B, N, F, W, w)
    rows = tf.reshape(rows, (-1, objects, frames * height, h))  # (B, N, F*H, h)
    layers = rows @ patches  # (B, N, F*H, w)
    layers = tf.reshape(layers, (-1, objects, frames, height, w))  # (B, N, F, H, w)
    return tf.matmul(layers, columns, transpose_b=True)  # (B, N, F, H, W)


def paint(patches, top_left, size):
    """Sum of all patches on one frame: `place` followed by a sum over N, but faster.

    The sum over objects is part of the second matrix product.

    Args:
        patches: float32 (B, N, h, w).
        top_left: int32 (B, N, F, 2).
        size: (H, W).

    Returns:
        float32 (B, F, H, W).
    """
    height, width = size
    objects, h, w = patches.shape[1:]
    frames = top_left.shape[2]
    columns = _shift(top_left[..., 1], width, w)  # (B, N, F, W, w)
    columns = tf.reshape(columns, (-1, objects, frames * width, w))  # (B, N, F*W, w)
    columns = tf.matmul(columns, patches, transpose_b=True)  # (B, N, F*W, h)
    columns = tf.reshape(columns, (-1, objects, frames, width, h))  # (B, N, F, W, h)
    columns = tf.transpose(columns, (0, 2, 3, 1, 4))  # (B, F, W, N, h)
    columns = tf.reshape(columns, (-1, frames, width, objects * h))  # (B, F, W, N*h)
    # Not tf.transpose: oneDNN complains on stderr about transposing integers.
    top = tf.stack(tf.unstack(top_left[..., 0], axis=1), axis=-1)  # (B, F, N)
    top = top[:, :, None]  # (B, F, 1, N)
    rows = tf.one_hot(tf.range(height)[:, None] - top, h)
    rows = tf.reshape(rows, (-1, frames, height, objects * h))  # (B, F, H, N*h)
    return tf.matmul(rows, columns, transpose_b=True)  # (B, F, H, W)


def _shift(position, length, extent):
    """One-hot float32 (..., length, extent): 1 where length index = position + i."""
    offset = tf.range(length) - position[..., None]
    return tf.one_hot(offset, extent)


def marks(objects):
    """A number per object whose sum over a pixel tells how many cover it, and who.

    A lone object n adds up to N + n, at most 2 N, and two objects to more than that.

    Returns:
        float32 (N,): N + 1, ..., 2 N.
    """
    return tf.range(objects + 1, 2 * objects + 1, dtype=tf.float32)


def labels(marked, objects):
    """Group ids: n where object n alone covers the pixel, 0 elsewhere.

    0 stands for background and for overlap; the scores leave such pixels out.

    Args:
        marked: float32 (B, F, H, W), the sum of the `marks` of all objects there.
        objects: N.

    Returns:
        groups, int32 (B, F, H, W), in 0..N.
    """
    group = tf.where(marked > 2 * objects, 0.0, tf.maximum(marked - objects, 0))
    return tf.cast(group, tf.int32)
