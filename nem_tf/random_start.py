"""The random start: what tells the components apart before the first frame.

The original draws gamma as normalised |N(0, 1)|. Here the draws are a function of a
seed, see `nem_tf.draws`. Data sets draw theirs in `data.pipeline.random_pi`, from
TensorFlow's numbers, on which the recorded scores rest.
"""

import math

import keras
import numpy as np
from keras import ops

from nem_tf import axes, draws

LEANS = 1e-3  # a start that leans less than this has no side: rounding alone


def random_start(seed, components, frame_shape):
    """|N(0, 1)| draws normalised over K at every pixel.

    Args:
        seed: integers (B,), one per clip, in [0, 2**31); uint32 tensors may have more.
        components: K; K = 1 gives ones.
        frame_shape: (H, W, C).

    Returns:
        pi, float32, shape (B, K, H, W, 1), summing to 1 over K.

    Raises:
        ValueError: if a seed is no integer in [0, 2**31), where values can be seen.
    """
    height, width, _ = frame_shape
    if not keras.ops.is_tensor(seed):
        seed = _checked(seed)
    size = components * height * width
    seed = ops.cast(seed, "int32")  # the bits of those from 2**31 on, in uint32, stay
    drawn = ops.abs(draws.normals(seed, size))  # (B, size)
    drawn = ops.reshape(drawn, (-1, components, height, width, 1))
    return drawn / ops.sum(drawn, axis=axes.COMPONENTS, keepdims=True)


def sides(pi):
    """A start in which each component begins with one side of the frame.

        pi'_k = softmax over k of  cos(a_k) x + sin(a_k) y,    a_k = a + 2 pi k / K

    x and y run from -1 to 1 over the frame; the angle a is the one at which component 0
    of `pi` leans, by chance, and so a random one. With weights that differ from pixel
    to pixel all components see a share of every object, and need several frames until
    each has one; from two sides they mostly begin with one each.

    Args:
        pi: a random start, shape `(B, K, H, W, 1)`.

    Returns:
        pi', float32, the same shape, summing to 1 over K; uniform where `pi` is.
    """
    pi = ops.cast(pi, "float32")
    height, width = pi.shape[2:4]
    y, x = _centred(height), _centred(width)
    first = pi[:, 0, :, :, 0]  # (B, H, W)
    leans = [ops.sum(first * axis, (1, 2)) for axis in (x[None, :], y[:, None])]
    length = ops.sqrt(ops.maximum(leans[0] ** 2 + leans[1] ** 2, LEANS**2))
    cos, sin = (ops.expand_dims(lean / length, 1) for lean in leans)  # of a, (B, 1)
    components = ops.shape(pi)[1]
    turns = ops.cast(ops.arange(components), "float32") / ops.cast(
        components, "float32"
    )
    turn_cos, turn_sin = ops.cos(2.0 * math.pi * turns), ops.sin(2.0 * math.pi * turns)
    across = cos * turn_cos - sin * turn_sin  # cos(a_k), (B, K)
    down = sin * turn_cos + cos * turn_sin
    slopes = across[..., None, None] * x[None, :] + down[..., None, None] * y[:, None]
    weights = ops.exp(ops.expand_dims(slopes, -1))  # (B, K, H, W, 1)
    return weights / ops.sum(weights, axis=axes.COMPONENTS, keepdims=True)


def _centred(size):
    """Where the centres of pixels are, float32 (size,), in (-1, 1)."""
    return ((np.arange(size) + 0.5) * 2.0 / size - 1.0).astype("float32")


def _checked(seed):
    seed = np.asarray(seed)
    whole = seed.ndim == 1 and np.issubdtype(seed.dtype, np.integer)
    if not whole or (seed.size and not 0 <= seed.min() <= seed.max() < 2**31):
        raise ValueError(
            f"seed: expected integers from 0 to 2**31 - 1, one per clip, received "
            f"{seed.tolist()}"
        )
    return seed
