"""Frames of a live video, one by one, each grouped within milliseconds."""

import functools
import threading

import keras
import numpy as np
from keras import ops

from nem_tf import pixels
from nem_tf.inference import backgrounds
from nem_tf.inference.iteration import iterate
from nem_tf.inference.segment import Segmentation
from nem_tf.inference.starts import (
    LikeliestSoFar,
    check_starts,
    log_likelihood,
    several_starts,
)
from nem_tf.inference.used import count
from nem_tf.layers.prepared import prepare, prepared
from nem_tf.random_start import random_start


class Stream:
    """A video on its way through a model: `found = stream(frame)`.

    Frames one by one give what `NeuralEM.segment` gives for the whole clip; of a
    layered model only with a `background`, since a stream that estimates it has seen
    no later frames. Begin another stream after the weights have changed.

    Several starts run side by side. The result is that of the start that has predicted
    the frames so far best; when another one becomes that, its components get the
    numbers of those that they overlap most, see `starts.LikeliestSoFar`. After the last
    frame of a clip it is the start that `NeuralEM.segment` takes.

    Args:
        nem: a `NeuralEM`.
        components: K; by default the cell's. "auto", where the number of objects is not
            known: 8, or the cell's if that is larger; those to spare stay empty.
        seed: of the random start, an integer from 0 to 2**31 - 1.
        background: of a layered model, (H, W, C) in [0, 1]; None estimates it from the
            last frames, see `backgrounds.Running`.
        starts: random starts, those of `NeuralEM.segment`, at least 1. A frame takes
            1.3 to 1.9 times as long from four as from one, from eight 2 to 3 times (two
            presets, 2 CPU cores); with networks that fill a machine, n times.

    Attributes:
        start: which of them the last result is of, 0 to starts - 1; 0 is that of the
            seed alone.

    Call arguments:
        frame: NumPy array (H, W) or (H, W, C), pixels in [0, 1], as the model was made.

    Returns:
        `Segmentation` of the frame: segments (H, W), gamma (K, H, W, 1) and psi
        (K, H, W, C), which predicts the next frame.

    Raises:
        ValueError: if the frame has another shape, or pixels not in [0, 1], or, when
            the stream is made, if the background has, if there is one for a model
            without layers, if `starts` is below 1, if `components` is "auto" but the
            cell's spare ones do not stay empty, or if a weight is not finite.
    """

    def __init__(self, nem, components=None, seed=0, background=None, starts=1):
        nem.check_weights()
        self._cell = nem.cell
        if not self._cell.layered:
            backgrounds.refuse(background)
        elif background is not None:
            background = backgrounds.of_stream(background, self._cell.frame_shape)
        self._background = background
        self._components = count(self._cell, components)
        self._starts = check_starts(starts)
        pi = random_start([seed], self._components, self._cell.frame_shape)
        self._pi = np.concatenate(several_starts(pi, self._starts))
        self.reset()
        self._step = nem.stream_steps.of(self._components, self._state)

    def reset(self):
        """Begin anew with the next frame, from the same random starts."""
        self._state = self._cell.get_initial_state(pi=self._pi)
        self._likeliest = LikeliestSoFar(self._starts, self._components)
        running = self._cell.layered and self._background is None
        self._running = backgrounds.Running(self._cell.background) if running else None
        self._begins = True

    @property
    def start(self):
        return self._likeliest.start

    def __call__(self, frame):
        frame = np.asarray(frame, "float32")
        height, width, channels = self._cell.frame_shape
        if channels == 1 and frame.shape == (height, width):
            frame = frame[..., None]
        if frame.shape != self._cell.frame_shape:
            raise ValueError(
                f"frame: expected ({height}, {width}, {channels}), received "
                f"{frame.shape}; resize or convert it first"
            )
        pixels.check("frame", frame)
        frame = frame[None].clip(0.0, 1.0)
        background = self._behind(frame) if self._cell.layered else None
        gamma, fits, *self._state = self._step(frame, *self._state)
        gamma, psi = np.asarray(gamma), np.asarray(self._state[1])
        if self._starts > 1:
            objects = None
            if self._cell.layered:
                objects = self._cell.is_object(frame[0], background)
            self._likeliest(np.asarray(fits), gamma, objects)
        start, order = self._likeliest.start, self._likeliest.order
        gamma, psi = gamma[start][order], psi[start][order]
        segments = self._cell.segments(frame[0], gamma, background)
        return Segmentation(segments, gamma, psi.astype("float32"))

    def _behind(self, frame):
        """The background of a frame (1, H, W, C), put into the state.

        The first frame is shown once before, as `NeuralEM.segment` does.
        """
        running = self._running is not None
        background = self._running(frame[0]) if running else self._background
        behind = np.repeat(background[None], self._starts, 0)
        if self._begins:
            self._state = self._cell.get_initial_state(pi=self._pi, background=behind)
            _, _, *self._state = self._step(frame, *self._state)
            self._begins = False
        self._state[3] = ops.convert_to_tensor(behind)
        return background


class Steps:
    """The step of a model's streams, compiled once for each K and number of starts.

    Args:
        cell: of the model, built.
    """

    def __init__(self, cell):
        self._cell = cell
        self._compiled = {}  # by K and what else the graph was made for
        self._seen = None  # the weights that were prepared, NumPy arrays
        self._prepared = None
        self._lock = threading.Lock()

    def of(self, components, state):
        """The step with the weights of now: (frame, *state) -> (gamma, fits, *state).

        `fits` (B,) is how well the frame was predicted, see `starts.log_likelihood`; 0
        for a single start, which is not compared.

        Args:
            components: K.
            state: of one clip from each of B starts, for its shapes.
        """
        cell = self._cell
        key = (components, len(state[0]), *cell.switches)
        with self._lock:
            weights = self._weights()
            if key not in self._compiled:
                frame = np.zeros((1, *cell.frame_shape), "float32")
                self._compiled[key] = _compiled(cell, [frame, *state], weights)
            return functools.partial(self._compiled[key], weights)

    def _weights(self):
        """The prepared weights, made anew if the model's have changed."""
        now = [ops.convert_to_numpy(weight) for weight in self._cell.weights]
        same = self._seen is not None and all(map(np.array_equal, now, self._seen))
        if not same:
            self._seen = [np.array(weight) for weight in now]
            weights = prepare(self._cell)
            # Copies: JAX gives the buffers of a model's variables away in `fit`.
            copies = [ops.copy(x) for x in _tensors(weights)]
            self._prepared = _filled(weights, copies)
        return self._prepared


def _compiled(cell, inputs, weights):
    """As `Steps.of`, before the weights: (weights, frame, *state) -> the same."""
    starts = len(inputs[1])

    def one_frame(tensors, frame, *state):
        fits = ops.zeros(1)
        if starts > 1:
            fits = log_likelihood(frame, state[1], cell.likelihood)
        with prepared(cell, _filled(weights, tensors)):
            gamma, state = iterate(cell, ops.repeat(frame, starts, 0), state)
        return gamma, fits, *state

    if keras.backend.backend() == "jax":
        import jax

        @jax.jit
        def with_variables(values, tensors, *inputs):
            pairs = zip(cell.variables, values, strict=True)
            with keras.StatelessScope(state_mapping=list(pairs)):
                return one_frame(tensors, *inputs)

        def step(weights, *inputs):
            values = [variable.value for variable in cell.variables]
            return with_variables(values, _tensors(weights), *inputs)

        step(weights, *inputs)  # compiles it
        return step
    import tensorflow as tf

    count = len(_tensors(weights))
    specs = [tf.TensorSpec(x.shape, x.dtype) for x in (*_tensors(weights), *inputs)]

    def flat(*tensors):
        return one_frame(tensors[:count], *tensors[count:])

    graph = tf.function(flat, autograph=False).get_concrete_function(*specs)
    return lambda weights, frame, *state: graph(
        *_tensors(weights), tf.constant(frame), *state
    )


def _tensors(weights):
    """What `prepare` returned as a flat list, without what is None."""
    return [x for x in keras.tree.flatten(weights) if x is not None]


def _filled(weights, tensors):
    """Undo `_tensors`: the structure of `weights` with other tensors in it."""
    tensors = iter(tensors)
    flat = [x if x is None else next(tensors) for x in keras.tree.flatten(weights)]
    return keras.tree.pack_sequence_as(weights, flat)
