"""The two kinds of noise of Section 4, as functions of pixels and 16-bit draws.

Each pixel spends one draw u, uniform over the integers in [0, 2**16). A probability
p is met to within 2**-17.
"""

import numpy as np
import tensorflow as tf

_RANGE = 2**16


def bit_flip(x, u, rate):
    """Flip each pixel, x -> 1 - x, with probability `rate`.

    Args:
        x: pixels, float32, any shape, intensity in [0, 1].
        u: uint16 draws of the same shape.
        rate: probability in [0, 1].

    Returns:
        noisy pixels, float32, same shape, in [0, 1].
    """
    flip = tf.cast(u, tf.float32) < _threshold(rate)
    return tf.abs(x - tf.cast(flip, tf.float32))


def masked_uniform(x, u, rate):
    """Replace each pixel by a draw from Uniform(0, 1) with probability `rate`.

    Given that u is below the threshold, u / threshold is itself uniform: one draw
    decides whether to replace the pixel and by what.

    Args and returns: as `bit_flip`.
    """
    threshold = _threshold(rate)
    u = tf.cast(u, tf.float32)
    return tf.where(u < threshold, (u + 0.5) / max(threshold, 1), x)


def _threshold(rate):
    return float(round(rate * _RANGE))


KINDS = {"bitflip": bit_flip, "masked-uniform": masked_uniform}
OR_AUTO = ("auto", *KINDS)


def kind_for(noise_kind, sample, white=1):
    """A key of `KINDS`; "auto" is bit flips where all pixels are 0 or `white`.

    Args:
        noise_kind: a key of `KINDS` or "auto".
        sample: clips, looked at one by one along the first axis.
        white: the number that stands for intensity 1.
    """
    if noise_kind != "auto":
        return noise_kind
    binary = all(np.isin(clip, (0, white)).all() for clip in sample)
    return "bitflip" if binary else "masked-uniform"
