"""The served graph: what a SavedModel computes, signature by signature.

    init             seed                           -> theta, psi, pi
    step             frame, theta, psi, pi          -> the frame's results and the state
    chunk            frames, theta, psi, pi         -> the same for several frames
    serving_default  frames, seed                   -> all results of whole clips

A layered model also takes a `background` where it begins, in `init` and
`serving_default`, and carries it with the state. `serving_default` shows it the first
frame twice; so does a stream, and leaves out the first reply: what it predicts then
assigns the pixels of that frame.

Every input and output has the batch B on axis 0 and is float32 or int32. One function,
`ServedModel._iterate`, is behind all of them, so a stream, its chunks and the whole
clip give the same numbers.
"""

import math

import keras
import tensorflow as tf

from export.documents import STATE, carried
from nem_tf import NeuralEM, pixels
from nem_tf.inference.iteration import iterate
from nem_tf.inference.starts import log_likelihood
from nem_tf.inference.used import present
from nem_tf.layers.prepared import prepared
from nem_tf.random_start import random_start
from reading.background import RIM, SMOOTH

MOST_BYTES = 2**30  # of a reply; protobuf's own limit is 2 GiB
MOST_FRAMES = 16_384  # of a request, B * T, where replies are small
HALF = ("bfloat16", "float16")


class ServedModel:
    """A trained model as functions of tensors, for one K.

    Results of a frame x[t], as `NeuralEM.segment` has them:

        segmentation  (B, H, W) int32        the component that explains the pixel
        confidence    (B, H, W)              its gamma, in [1/K, 1]
        gamma         (B, K, H, W, 1)        E-step of x[t], sums to 1 over K (Eq. 3)
        next_frame    (B, H, W, C)           prediction of x[t+1], see
                                             `EMCell.next_frame`
        used          (B,) int32             components in the frame, see
                                             `inference.present`
        log_likelihood  (B,)                 of the prediction of x[t], nats, 0 if there
                                             was none, see `inference.log_likelihood`

    Of a layered model segmentation is 0 for background and 1 to K for components, and
    next_frame what `EMCell.next_frame` makes of psi, pi and the background.

    State: theta (B, K, M), psi (B, K, H, W, C), pi (B, K, H, W, 1), and of a layered
    model background (B, H, W, C).

    Args:
        nem: the model; it is computed in float32, whatever it was trained in.
        components: K.
    """

    def __init__(self, nem: NeuralEM, components: int):
        self.nem = in_float32(nem)
        self.cell = self.nem.cell
        self.components = components
        self.state = carried(self.cell.layered)
        floats = sum(math.prod(shape) for shape in self._state_shapes())
        self.most_frames = min(MOST_FRAMES, MOST_BYTES // (8 * floats))

    @property
    def specs(self):
        """The inputs of each signature: dict of lists of `tf.TensorSpec`."""
        frame = self.cell.frame_shape
        seed = _spec("seed", None, dtype=tf.int32)
        state = [
            _spec(name, None, *shape)
            for name, shape in zip(self.state, self._state_shapes(), strict=True)
        ]
        begin = [seed, *state[len(STATE) :]]
        return {
            "serving_default": [_spec("frames", None, None, *frame), *begin],
            "init": begin,
            "step": [_spec("frame", None, *frame), *state],
            "chunk": [_spec("frames", None, None, *frame), *state],
        }

    def write(self, path):
        """Write the SavedModel, with one endpoint per signature, to a new folder."""
        functions = {"serving_default": self.clip, "init": self.init}
        functions |= {"step": self.step, "chunk": self.chunk}
        specs = self.specs
        self.save(path, {name: (functions[name], specs[name]) for name in specs})

    def save(self, path, endpoints):
        """Write a SavedModel of some functions of this model.

        `keras.export.ExportArchive` would trace each of them twice.

        Args:
            path: a new folder.
            endpoints: dict from a signature's name to a function of tensors and the
                list of its `tf.TensorSpec`.

        Returns:
            dict from the name to the traced function.
        """
        root, signatures = tf.Module(), {}
        root.weights = [weight.value for weight in self.nem.weights]
        for name, (function, specs) in endpoints.items():
            graph = tf.function(function, autograph=False)
            inputs = {spec.name: spec for spec in specs}
            signatures[name] = graph.get_concrete_function(**inputs)
        tf.saved_model.save(root, str(path), signatures)
        return signatures

    def init(self, seed, background=None):
        """The state before the first frame."""
        seed = tf.ensure_shape(seed, (None,))
        lowest = tf.reduce_min(seed)
        right = _Checks()
        count = tf.size(seed)
        right.add(count > 0, "seed: expected one per clip, received none")
        most = f"seed: expected at most {self.most_frames} in a request, received"
        right.add(count <= self.most_frames, most, count)
        right.add(lowest >= 0, "seed: expected 0 to 2147483647, received", lowest)
        layered = {}
        if self.cell.layered:
            background = tf.ensure_shape(background, (None, *self.cell.frame_shape))
            right.same_batch("background", background, seed)
            right.pixels("background", background)
            layered = {"background": tf.clip_by_value(background, 0.0, 1.0)}
        with right:
            seed = tf.identity(seed)
        pi = random_start(seed, self.components, self.cell.frame_shape)
        state = self.cell.get_initial_state(pi=pi, **layered)
        return dict(zip(self.state, state, strict=True))

    def step(self, frame, theta, psi, pi, background=None):
        """One frame of a stream."""
        frame = tf.ensure_shape(frame, (None, *self.cell.frame_shape))
        state = self._checked_state(frame, (theta, psi, pi, background))
        with self._checks("frame", frame, tf.shape(frame)[0]):
            frame = tf.clip_by_value(frame, 0.0, 1.0)
        return self.trusted_step(frame, *state)

    def trusted_step(self, frame, theta, psi, pi, background=None):
        """`step` without its checks, for runtimes that cannot raise errors."""
        state = [theta, psi, pi, background][: len(self.state)]
        fits = self._fits(frame, state)
        gamma, state = iterate(self.cell, frame, state)
        state = dict(zip(self.state, state, strict=True))
        return {**self._results(frame, gamma, fits, state), **state}

    def chunk(self, frames, theta, psi, pi, background=None):
        """Several frames of a stream: results with T on axis 1, the state after them.

        `predictions` (B, T, K, H, W, C) is psi after each frame.
        """
        frames = tf.ensure_shape(frames, (None, None, *self.cell.frame_shape))
        state = self._checked_state(frames, (theta, psi, pi, background))
        frames = self._checked_frames(frames)
        gamma, fits, states = self._run(frames, state)
        results = self._results(frames, gamma, fits, states)
        state = {name: states[name][:, -1] for name in self.state}
        return {**results, "predictions": states["psi"], **state}

    def clip(self, frames, seed, background=None):
        """Whole clips: all results, psi (B, T, K, H, W, C) and theta (B, T, K, M)."""
        frames = tf.ensure_shape(frames, (None, None, *self.cell.frame_shape))
        start = self.init(seed, background)
        same = _Checks()
        same.same_batch("seed", seed, frames)
        with same:
            frames = tf.identity(frames)
        frames = self._checked_frames(frames)
        seen = frames
        if self.cell.layered:
            seen = tf.concat([frames[:, :1], frames], axis=1)
        gamma, fits, states = self._run(seen, list(start.values()))
        if self.cell.layered:
            gamma, fits = gamma[:, 1:], fits[:, 1:]
            states = {name: x[:, 1:] for name, x in states.items()}
        results = self._results(frames, gamma, fits, states)
        return {**results, "psi": states["psi"], "theta": states["theta"]}

    def _checked_frames(self, frames):
        """Frames (B, T, H, W, C) in [0, 1], once they were looked at."""
        shape = tf.shape(frames)
        with self._checks("frames", frames, shape[0] * shape[1]):
            return tf.clip_by_value(frames, 0.0, 1.0)

    def _run(self, frames, state):
        """E-steps and M-steps over T, without noise.

        Returns:
            gamma, `_fits`, and a dict of the states after each frame, all with T on
            axis 1.
        """
        frames = tf.transpose(frames, (1, 0, 2, 3, 4))  # (T, B, H, W, C)

        def advance(carried, frame):
            state = list(carried[2:])
            fits = self._fits(frame, state)
            gamma, state = iterate(self.cell, frame, state)
            return (gamma, fits, *state)

        with prepared(self.cell):
            begin = (state[2], tf.zeros(tf.shape(frames)[1]), *state)
            gamma, *states = tf.scan(advance, frames, begin)
        gamma, fits, *states = (_batch_first(x) for x in (gamma, *states))
        return gamma, fits, dict(zip(self.state, states, strict=True))

    def _fits(self, frame, state):
        """How well a state predicts a frame (B, H, W, C), nats; 0 if it is `init`'s."""
        theta, psi, _, *behind = state
        start = tf.expand_dims(behind[0], 1) if behind else 0.0
        drawn = tf.reduce_any(tf.not_equal(psi, start), (1, 2, 3, 4))
        learnt = tf.reduce_any(tf.not_equal(theta, 0.0), (1, 2))
        fits = log_likelihood(frame, psi, self.cell.likelihood)
        return tf.where(drawn | learnt, fits, 0.0)

    def _results(self, frames, gamma, fits, states):
        """What a client looks at: of (..., H, W, C), gamma, fits, a dict of states."""
        segments = tf.argmax(gamma[..., 0], axis=-3, output_type=tf.int32)
        behind = states.get("background")
        if self.cell.layered:
            objects = self._are_objects(frames, behind)
            segments = (segments + 1) * tf.cast(objects, tf.int32)
        expected = self.cell.next_frame(states["psi"], states["pi"], behind)
        there = present(self.cell, segments, frames, self.components)
        return {
            "segmentation": segments,
            "confidence": tf.reduce_max(gamma[..., 0], axis=-3),
            "gamma": gamma,
            "next_frame": expected,
            "used": tf.reduce_sum(tf.cast(there, tf.int32), axis=-1),
            "log_likelihood": fits,
        }

    def _are_objects(self, frames, background):
        """`EMCell.is_object` as a graph, boolean (..., H, W)."""
        away = tf.reshape(frames - background, (-1, *self.cell.frame_shape))
        far = tf.norm(away, axis=-1, keepdims=True)
        beside = tf.nn.max_pool2d(far, 3, 1, "SAME")
        for axis, size in enumerate(self.cell.frame_shape[:2], start=1):
            sides = [[int(n == axis)] * 2 for n in range(4)]
            wide = tf.pad(away, sides, "SYMMETRIC")
            parts = [
                tf.gather(wide, tf.range(i, i + size), axis=axis) for i in range(3)
            ]
            away = sum(w * part for w, part in zip(SMOOTH, parts, strict=True))
        smooth = tf.norm(away, axis=-1, keepdims=True)
        least = tf.constant(self.cell.foreground, "float32")
        least = least[..., None] if least.shape.rank else least  # (H, W, 1)
        found = (smooth > least) & (far > RIM * beside)
        return tf.reshape(found, tf.shape(frames)[:-1])

    def _state_shapes(self):
        height, width, channels = self.cell.frame_shape
        shapes = (
            (self.components, self.cell.units),
            (self.components, height, width, channels),
            (self.components, height, width, 1),
            (height, width, channels),  # of a layered model
        )
        return shapes[: len(self.state)]

    def _checks(self, name, frames, count):
        """Pixels in [0, 1], and neither no frame nor too many."""
        checks = _Checks()
        checks.add(count > 0, f"{name}: expected at least one frame, received none")
        checks.add(
            count <= self.most_frames,
            f"{name}: expected at most {self.most_frames} frames in a request (B * T), "
            "send several requests; received",
            count,
        )
        checks.pixels(name, frames)
        return checks

    def _checked_state(self, frames, state):
        """The state, if it could have come from `init` or `step`."""
        shapes = self._state_shapes()
        state = [
            tf.ensure_shape(x, (None, *shape))
            for x, shape in zip(state[: len(shapes)], shapes, strict=True)
        ]
        checks = _Checks()
        for name, x in zip(self.state, state, strict=True):
            checks.same_batch(name, x, frames)
            checks.finite(name, x)
        pi = state[2]
        if self.cell.layered:
            weights = tf.reduce_all(pi >= 0.0)
            checks.add(weights, "pi: expected weights of at least 0; use `init`'s")
            checks.pixels("background", state[3])
        else:
            sums = tf.reduce_sum(pi, axis=1)  # (B, H, W, 1)
            even = tf.reduce_all(tf.abs(sums - 1.0) < 1e-3)
            weights = tf.reduce_all(pi >= 0.0) & even
            checks.add(
                weights, "pi: expected weights that sum to 1 over K; use `init`'s"
            )
        with checks:
            return [tf.identity(x) for x in state]


class _Checks:
    """Assertions, and the context in which everything waits for them."""

    def __init__(self):
        self.assertions = []

    def add(self, condition, *message):
        check = tf.debugging.Assert(condition, message, summarize=1)
        self.assertions.append(check)

    def finite(self, name, x):
        finite = tf.reduce_all(tf.math.is_finite(x))
        self.add(finite, f"{name}: expected finite numbers, received NaN or infinity")

    def pixels(self, name, x):
        self.finite(name, x)
        least, most = tf.reduce_min(x), tf.reduce_max(x)
        self.add(
            (least >= -pixels.ROUNDING) & (most <= 1.0 + pixels.ROUNDING),
            f"{name}: expected pixels in [0, 1], clip what is a little outside and "
            "divide 8-bit frames by 255; received values from and to",
            least,
            most,
        )

    def same_batch(self, name, x, frames):
        batch, clips = tf.shape(x)[0], tf.shape(frames)[0]
        message = f"{name}: expected as many as there are clips, received"
        self.add(tf.equal(batch, clips), message, batch, "for", clips)

    def __enter__(self):
        self.context = tf.control_dependencies(self.assertions)
        return self.context.__enter__()

    def __exit__(self, *error):
        return self.context.__exit__(*error)


def in_float32(nem: NeuralEM) -> NeuralEM:
    """The same model with all layers computed in float32."""
    config = _replace_policies(keras.saving.serialize_keras_object(nem))
    config.pop("compile_config", None)  # the optimizer is not served
    exact = keras.saving.deserialize_keras_object(config)
    exact.set_weights(nem.get_weights())
    return exact


def _replace_policies(config):
    """A serialized object with each dtype policy in it replaced by float32.

    The input of a Sequential has no policy but a dtype, to which it would round.
    """
    if isinstance(config, dict):
        if config.get("class_name", "").endswith("DTypePolicy"):
            policy = keras.dtype_policies.DTypePolicy("float32")
            return keras.dtype_policies.serialize(policy)
        return {
            name: "float32" if value in HALF else _replace_policies(value)
            for name, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_replace_policies(value) for value in config)
    return config


def _spec(name, *shape, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype, name=name)


def _batch_first(x):
    """(T, B, ...) -> (B, T, ...)."""
    rank = len(x.shape)
    return tf.transpose(x, (1, 0, *range(2, rank)))
