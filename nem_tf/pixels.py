"""Pixels as people have them: of any type of number, in [0, 1] up to rounding.

Whoever takes frames takes them through here, so that all of nem_tf allows the same and
says the same about what is wrong.
"""

import contextlib
import re

import keras
import numpy as np
from keras import ops

from reading.values import ROUNDING, outside

ASSERTED = "pixels of "  # how a graph names what it found
TOLD = "told: "  # how a graph begins a line of its own


class OutOfRange(ValueError):
    """A pixel that is not in [0, 1]: what arrived, and the remedy."""


def intensities(name, value, in_graph=True):
    """Pixels of any type as float32 in [0, 1].

    What passes 0 and 1 by less than `ROUNDING` is cut off. In a graph of TensorFlow the
    values are looked at when it runs: `one_line` then tells what was wrong. What XLA
    compiles, JAX's graphs too, cannot look.

    Args:
        name: what to call them in an error.
        value: array or tensor of numbers.
        in_graph: whether a graph has to look; else its values pass as they are.

    Raises:
        ValueError: if one is outside, or no number, where values can be seen.
    """
    check(name, value)
    if concrete(value) is not None:
        return ops.clip(ops.cast(value, "float32"), 0.0, 1.0)
    if not in_graph:
        return ops.cast(value, "float32")
    if keras.backend.backend() == "tensorflow":
        return _asserted(name, value)
    return ops.clip(ops.cast(value, "float32"), 0.0, 1.0)


def check(name, value):
    """Raise ValueError if a pixel is not in [0, 1]; symbolic tensors pass unseen."""
    seen = concrete(value)
    if seen is None or not seen.size:
        return
    if seen.dtype.kind not in "buif" and "float" not in str(seen.dtype):
        raise ValueError(
            f"{name}: expected numbers, received {seen.dtype}; convert them to float32"
        )
    low, high = float(seen.min()), float(seen.max())
    if not (low >= -ROUNDING and high <= 1.0 + ROUNDING):
        raise OutOfRange(outside(name, low, high))


def _asserted(name, x):
    """`x` in [0, 1], once a graph has seen that it is so up to `ROUNDING`."""
    import tensorflow as tf

    x = tf.cast(x, tf.float32)
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    right = (low >= -ROUNDING) & (high <= 1.0 + ROUNDING)
    with tf.control_dependencies(
        [tf.debugging.Assert(right, [f"{ASSERTED}{name}", low, high])]
    ):
        exact = (low >= 0.0) & (high <= 1.0)  # as nearly always: then nothing is copied
        return tf.cond(exact, lambda: x, lambda: tf.clip_by_value(x, 0.0, 1.0))


def looked_through(clips):
    """A `tf.data.Dataset` of clips that looks at its pixels; others as they are."""
    import tensorflow as tf

    if not isinstance(clips, tf.data.Dataset):
        return clips

    def check(*element):
        batch = element[0]
        if not isinstance(batch, dict):
            return element if len(element) > 1 else batch
        names = {"clean", "noisy"} & set(batch)
        batch = {**batch, **{name: _asserted(name, batch[name]) for name in names}}
        return (batch, *element[1:]) if len(element) > 1 else batch

    return clips.map(check)  # not ahead: see `data.pipeline.nothing_ahead`


@contextlib.contextmanager
def one_line():
    """Context in which what a graph found wrong is raised as a ValueError."""
    try:
        yield
    except Exception as error:  # TensorFlow's, or Keras's around it
        number = r"\[([^\[\]]+)\]"
        found = re.search(rf"\[{ASSERTED}(\w+)\] {number} {number}", str(error))
        told = re.search(rf"\[{TOLD}([^\[\]]+)\]", str(error))
        if found is None and told is None:
            raise
        if told is not None:
            line = told.group(1)
        else:
            name, low, high = found.groups()
            line = outside(name, float(low), float(high))
    else:
        return
    raise OutOfRange(line)


def concrete(value):
    """The numbers in a tensor, or None while a graph is traced and there are none."""
    if isinstance(value, np.ndarray):
        return value
    if keras.backend.backend() == "jax":
        import jax

        traced = isinstance(value, jax.core.Tracer | keras.KerasTensor)
        return None if traced else np.asarray(value)
    return value.numpy() if hasattr(value, "numpy") else None
