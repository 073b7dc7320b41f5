"""The random start: what tells the components apart before the first frame.

The original draws gamma as normalised |N(0, 1)|. Here the draws are a function of a
seed, in integer arithmetic: the same numbers in Python, in a served graph, and on any
backend, and no random operation in the graph, which other runtimes would not load.
"""

import math

import keras
import numpy as np
from keras import ops

from nem_tf import axes

# "lowbias32" of Wellons: two multiplications that mix 32 bits almost without bias.
_SHIFTS, _FACTORS = (16, 15, 16), (0x7FEB352D, 0x846CA68B)
_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio, spreads the counter


def random_start(seed, components, frame_shape):
    """|N(0, 1)| draws normalised over K at every pixel.

    Args:
        seed: integers (B,), one per clip, in [0, 2**31).
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
    words = _words(ops.cast(seed, "uint32"), 2 * size)  # (B, 2 * size)
    uniform = ops.cast(ops.right_shift(words, _word(9)), "float32")  # of 23 bits
    uniform = (uniform + 0.5) / 2.0**23  # in (0, 1), exactly
    radius = ops.sqrt(-2.0 * ops.log(uniform[:, :size]))  # Box and Muller
    draws = ops.abs(radius * ops.cos(2.0 * math.pi * uniform[:, size:]))  # (B, size)
    draws = ops.reshape(draws, (-1, components, height, width, 1))
    return draws / ops.sum(draws, axis=axes.COMPONENTS, keepdims=True)


def _words(seed, count):
    """32 random bits per clip and counter: uint32 (B,) -> uint32 (B, count)."""
    start = _mix(ops.bitwise_xor(seed, _word(_GOLDEN)))
    counter = np.arange(1, count + 1, dtype="uint64") * _GOLDEN % 2**32
    counter = ops.convert_to_tensor(counter.astype("uint32"))  # (count,)
    return _mix(ops.expand_dims(start, 1) + counter)


def _mix(word):
    for shift, factor in zip(_SHIFTS, (*_FACTORS, None), strict=True):
        word = ops.bitwise_xor(word, ops.right_shift(word, _word(shift)))
        word = word if factor is None else word * _word(factor)
    return word


def _word(number):
    return ops.convert_to_tensor(np.uint32(number))


def _checked(seed):
    seed = np.asarray(seed)
    whole = seed.ndim == 1 and np.issubdtype(seed.dtype, np.integer)
    if not whole or (seed.size and not 0 <= seed.min() <= seed.max() < 2**31):
        raise ValueError(
            f"seed: expected integers from 0 to 2**31 - 1, one per clip, received "
            f"{seed.tolist()}"
        )
    return seed
