"""Frames of a live video, one by one, each grouped within milliseconds."""

from typing import NamedTuple

import keras
import numpy as np

from nem_tf import axes
from nem_tf.prepared import prepared
from nem_tf.random_start import random_start


class Segmentation(NamedTuple):
    """What was found in a clip; B, or B and T, are absent if the input had none."""

    segments: np.ndarray  # (B, T, H, W) int32, the component that explains the pixel
    gamma: np.ndarray  # (B, T, K, H, W, 1), soft assignment of frame t
    psi: np.ndarray  # (B, T, K, H, W, C), each component's prediction of frame t+1


class Stream:
    """A video on its way through a model: `found = stream(frame)`.

    Frames one by one give what `NeuralEM.segment` gives for the whole clip. Begin
    another stream after the weights have changed.

    Args:
        nem: a `NeuralEM`.
        components: K; by default the cell's.
        seed: of the random start, an integer from 0 to 2**31 - 1.

    Call arguments:
        frame: NumPy array (H, W) or (H, W, C), pixels in [0, 1], as the model was made.

    Returns:
        `Segmentation` of the frame: segments (H, W), gamma (K, H, W, 1) and psi
        (K, H, W, C), which predicts the next frame.

    Raises:
        ValueError: if the frame has another shape, or pixels not in [0, 1].
    """

    def __init__(self, nem, components=None, seed=0):
        self._cell = cell = nem.cell
        self._components = cell.check_components(components)
        self._seed = seed
        self.reset()
        with prepared(cell):
            self._step = _compiled(self._iterate, cell.frame_shape, self._state)

    def reset(self):
        """Begin anew with the next frame, from the same random start."""
        pi = random_start([self._seed], self._components, self._cell.frame_shape)
        self._state = self._cell.get_initial_state(pi=pi)

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
        axes.check_pixels("frame", frame)
        gamma, *self._state = self._step(frame[None], *self._state)
        gamma, psi = np.asarray(gamma)[0], np.asarray(self._state[1])[0]
        segments = gamma[..., 0].argmax(axis=0).astype("int32")
        return Segmentation(segments, gamma, psi.astype("float32"))

    def _iterate(self, frame, theta, psi, pi):
        gamma, state = self._cell.iterate(frame, frame, [theta, psi, pi])
        return gamma, *state


def _compiled(function, frame_shape, state):
    """The function of a frame and a state, compiled for one clip."""
    frame = np.zeros((1, *frame_shape), "float32")
    if keras.backend.backend() == "jax":
        import jax

        step = jax.jit(function)
        step(frame, *state)  # compiles it
        return step
    import tensorflow as tf

    specs = [tf.TensorSpec(x.shape, x.dtype) for x in (frame, *state)]
    step = tf.function(function, autograph=False).get_concrete_function(*specs)
    return lambda frame, *state: step(tf.constant(frame), *state)
