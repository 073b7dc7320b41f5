"""Random numbers as functions of a seed, in integer arithmetic.

They are the same in Python, in a served graph, and on any backend, and no random
operation is in the graph, which other runtimes would not load and a loop over frames
could not carry.

A word is 32 bits, in uint32 or in int32 as the seed is, and the bits are the same. The
steps of training take uint32: TensorFlow multiplies int32 on the host of a GPU. What is
served takes int32: OpenVINO computes uint32 as if it were int32, so that a shift copies
the sign, and cuts constants off at 2**31 - 1.
"""

import math

import keras
import numpy as np
from keras import ops

# "lowbias32" of Wellons: two multiplications that mix 32 bits almost without bias.
_SHIFTS, _FACTORS = (16, 15, 16), (0x7FEB352D, 0x846CA68B)
_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio, spreads the counter
_LEVELS = 2.0**16 - 1  # of brightness; odd, so that all bits count in binary frames


def normals(seed, count):
    """N(0, 1) draws: uint32 or int32 (B,) -> float32 (B, count)."""
    uniform = uniforms(seed, 2 * count)  # (B, 2 * count)
    radius = ops.sqrt(-2.0 * ops.log(uniform[:, :count]))  # Box and Muller
    return radius * ops.cos(2.0 * math.pi * uniform[:, count:])


def uniforms(seed, count):
    """Draws from (0, 1), its ends left out: (B,) -> float32 (B, count)."""
    bits = _shifted(words(seed, count), 9)
    return (ops.cast(bits, "float32") + 0.5) / 2.0**23  # exactly


def words(seed, count):
    """32 random bits per seed and counter: (B,) -> (B, count), uint32 or int32."""
    start = _mix(ops.bitwise_xor(seed, _word(_GOLDEN, seed.dtype)))
    return _mix(ops.expand_dims(start, 1) + _counter(count, seed.dtype))


def fingerprint(frames):
    """A seed per frame, another one for another frame: (B, H, W, C) -> uint32 (B,).

    Sums of integers are the same in any order, so that it does not depend on who
    computes it, as a sum of the pixels would.
    """
    pixels = math.prod(frames.shape[1:])
    flat = ops.reshape(ops.cast(frames, "float32"), (-1, pixels))
    levels = ops.cast(flat * _LEVELS, "uint32")
    odd = ops.bitwise_or(_mix(_counter(pixels)), _word(1))
    return ops.sum(levels * odd, axis=1)


def spread(seed, count):
    """`count` seeds for each: uint32 (B,) -> uint32 (B * count,); a tensor will do."""
    counter = ops.cast(ops.arange(1, count + 1), "uint32") * _word(_GOLDEN)
    return ops.reshape(_mix(ops.expand_dims(seed, 1) + counter), (-1,))


def _counter(count, dtype="uint32"):
    counter = np.arange(1, count + 1, dtype="uint64") * _GOLDEN % 2**32
    return _word(counter, dtype)  # (count,)


def _mix(word):
    for shift, factor in zip(_SHIFTS, (*_FACTORS, None), strict=True):
        word = ops.bitwise_xor(word, _shifted(word, shift))
        word = word if factor is None else word * _word(factor, word.dtype)
    return word


def _shifted(word, count):
    """The upper 32 - count bits, after zeros.

    An int32 shifts copies of its sign in. With the top bit turned over it is the uint32
    less 2**31, which shifts to what is wanted less 2**(31 - count).
    """
    by = _word(count, word.dtype)
    if keras.backend.standardize_dtype(word.dtype) == "uint32":
        return ops.right_shift(word, by)
    less = ops.right_shift(ops.bitwise_xor(word, _word(2**31, word.dtype)), by)
    return less + _word(2 ** (31 - count), word.dtype)


def _word(number, dtype="uint32"):
    bits = np.asarray(number).astype("uint32")
    return ops.convert_to_tensor(bits.view(keras.backend.standardize_dtype(dtype)))
