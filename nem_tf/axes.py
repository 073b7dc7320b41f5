"""The notation: which axis means what, and every reshape that moves K.

Axes stand in this order wherever they occur:

    B clips, T steps, K components, H rows, W columns, C channels; M size of theta

    clean  (B, T+1, H, W, C)   a clip of a data set, pixels with intensity in [0, 1]
    noisy  (B, T, H, W, C)     its first T frames with noise: what the network sees
    x      (B, T, H, W, C)     its last T frames: what is to be predicted
    theta  (B, K, M)           what component k knows about its object
    psi    (B, K, H, W, C)     the pixel parameters that component k predicts
    gamma  (B, K, H, W, 1)     soft assignment of pixel i to component k, sums to 1
    pi     (B, K, H, W, 1)     mixing weights of Eq. 1, sum to 1 over K

At one step, T is missing and x is the frame that has just come. `frames` are people's
own: a clip without noise.
"""

import itertools
import math

from keras import ops

__all__ = [
    "COMPONENTS",
    "PIXELS",
    "STEPS",
    "check_components",
    "check_shape",
    "flatten_psi",
    "fold_components",
    "pack_frames",
    "parts",
    "unflatten_psi",
    "unfold_components",
    "uniform_pi",
    "unpack_frames",
]

COMPONENTS = -4  # the position of K in psi, gamma and pi
STEPS = 1  # the position of T in a batch of clips
PIXELS = (-3, -2, -1)  # the positions of H, W and C


def fold_components(x):
    """Make each component a clip of its own: (B, K, ...) -> (B*K, ...)."""
    shape = ops.shape(x)
    return ops.reshape(x, (-1, *shape[2:]))  # (B*K, ...)


def unfold_components(x, *, like):
    """Undo `fold_components`: (B*K, ...) -> (B, K, ...), B and K those of `like`."""
    leading = ops.shape(like)[:2]
    return ops.reshape(x, (*leading, *ops.shape(x)[1:]))  # (B, K, ...)


def pack_frames(x, noisy):
    """Put the frame above the noisy one, since keras.layers.RNN takes one tensor.

    (..., H, W, C) and (..., H, W, C) -> (..., 2H, W, C)
    """
    return ops.concatenate([x, noisy], axis=-3)


def unpack_frames(packed):
    """Undo `pack_frames`: (..., 2H, W, C) -> x (..., H, W, C), noisy (..., H, W, C)."""
    return ops.split(packed, 2, axis=-3)


def flatten_psi(psi):
    """As keras.layers.RNN takes it: (B, K, H, W, C) -> (B, K*H*W*C)."""
    sizes = psi.shape[1:]
    if None in sizes:
        return ops.reshape(psi, (ops.shape(psi)[0], -1))
    return ops.reshape(psi, (-1, math.prod(sizes)))


def unflatten_psi(psi, components, frame_shape):
    """Undo `flatten_psi` of each step: (B, T, K*H*W*C) -> (B, T, K, H, W, C)."""
    batch, steps = ops.shape(psi)[:2]
    return ops.reshape(psi, (batch, steps, components, *frame_shape))


def parts(x, sizes):
    """Parts of the last axis, of so many numbers each: (..., N) -> (..., n), ...

    The gradient of a split is one concatenation, that of slices a copy of all N for
    each. Where `sizes` are known in a running graph only, they are slices.
    """
    ends = list(itertools.accumulate(sizes))
    if isinstance(ends[-1], int):  # then N is; `keras.layers.RNN` does not tell
        return ops.split(ops.reshape(x, (*ops.shape(x)[:-1], ends[-1])), ends[:-1], -1)
    return [x[..., end - size : end] for size, end in zip(sizes, ends, strict=True)]


def uniform_pi(pi):
    """The mixing weights 1/K in the shape of `pi`, (..., K, H, W, 1)."""
    components = pi.shape[COMPONENTS]
    if components is not None:
        return ops.full_like(pi, 1.0 / components)
    ones = ops.ones_like(pi)
    return ones / ops.sum(ones, axis=COMPONENTS, keepdims=True)


def check_components(psi, *, like):
    """Raise ValueError unless `psi` is `like` with one component axis inserted."""
    x_shape, psi_shape = tuple(like.shape), tuple(psi.shape)
    expected = (*x_shape[:-3], None, *x_shape[-3:])
    if len(x_shape) < 3 or not _compatible(psi_shape, expected):
        raise ValueError(
            f"psi: expected the shape of x {_text(x_shape)} with one component axis "
            f"inserted, {_text(expected)}; received {_text(psi_shape)}"
        )


def check_shape(name, value, expected):
    """Raise ValueError unless `value` has the `expected` shape; None fits any size."""
    if not _compatible(tuple(value.shape), expected):
        raise ValueError(
            f"{name}: expected shape {_text(expected)}, received {_text(value.shape)}"
        )


def _compatible(shape, expected):
    return len(shape) == len(expected) and all(
        size is None or wanted is None or size == wanted
        for size, wanted in zip(shape, expected, strict=True)
    )


def _text(shape):
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"
