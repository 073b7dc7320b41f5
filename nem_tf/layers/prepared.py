"""Weights in the forms that fast arithmetic wants, made once per clip, not per step.

A cell applies the same weights T times. What can be computed from them beforehand (a
folded kernel, a transposed matrix, a copy in half precision) is computed outside of the
loop over the steps:

    with prepared(cell):
        psi = rnn(frames)
"""

import contextlib
import threading

import keras
from keras import ops


class _Made(threading.local):
    """id of a layer -> what its `prepare` returned, for each thread on its own.

    Of two threads that call a model, one may be tracing a graph: its tensors are of no
    use to the other.
    """

    def __init__(self):
        self.parts = {}


_MADE = _Made()


class Prepared:
    """Mixin of layers that do not compute with their weights as they are kept."""

    def prepare(self):
        """The weights as `call` wants them: a tuple of tensors in the compute dtype."""
        raise NotImplementedError

    @property
    def ready(self):
        """What `prepare` returns: from the surrounding `prepared`, or made now."""
        made = _MADE.parts.get(id(self))
        return self.prepare() if made is None else made


def prepare(layer):
    """The weights of a built layer's parts, prepared: a list of tuples of tensors."""
    return [part.prepare() for part in _parts(layer)]


@contextlib.contextmanager
def prepared(layer, weights=None):
    """Context in which the parts of a built `layer` have their weights prepared.

    Args:
        layer: whose parts are meant.
        weights: what `prepare` returned for it; made now if None.
    """
    made = _MADE.parts
    parts = _parts(layer)
    weights = [None] * len(parts) if weights is None else weights
    pairs = [
        (part, ready)
        for part, ready in zip(parts, weights, strict=True)
        if id(part) not in made  # those of an outer context are
    ]
    made.update(
        {id(part): part.prepare() if ready is None else ready for part, ready in pairs}
    )
    try:
        yield
    finally:
        for part, _ in pairs:
            del made[id(part)]


def _parts(layer):
    """The `Prepared` layers in `layer`, in its attributes, and in theirs."""
    found, seen = [], set()

    def look(value):
        if isinstance(value, list | tuple):
            for one in value:
                look(one)
        elif isinstance(value, keras.Layer) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Prepared):
                found.append(value)
            for attribute in vars(value).values():
                look(attribute)

    look(layer)
    return found


def with_input_gradient(y, x, gradient):
    """`y` unchanged, with another way to compute the gradient with respect to `x`.

    The layer computes `y` from `ops.stop_gradient(x)`: weights then get their gradients
    as usual, and `x` gets `gradient(dy)`. That must be the same number as without this
    function; it exists because some ways to compute it are several times slower.

    Args:
        y: what a layer computed from `ops.stop_gradient(x)`.
        x: its input.
        gradient: function from dy, of the shape of `y`, to dx, of the shape of `x`.
    """

    @ops.custom_gradient
    def route(y, x):
        def backward(dy):
            return dy, gradient(dy)

        return ops.copy(y), backward

    return route(y, x)
