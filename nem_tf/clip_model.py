"""A `keras.Model` of clips, whose pixels are looked at before anything is learned."""

import contextlib
import inspect

import keras
import numpy as np
from keras import ops

from nem_tf import pixels
from nem_tf.data import plain


class ClipModel(keras.Model):
    """`keras.Model` on dicts of clips, as `NeuralEM` takes them, without a target.

    `fit`, `evaluate`, `predict` and their kin for one batch refuse pixels outside
    [0, 1] in one line, and leave the weights as they were when they fail.
    """

    def fit(self, *args, **kwargs):
        """`keras.Model.fit` on clips in the form of the call arguments, without `y`.

        Frames alone will do, an array or a `tf.data.Dataset`, as `validation_data`,
        too: see `data.plain`. They have no noise; their random starts are drawn for
        them. Of an array, clips that do not fill the last batch of an epoch are left
        out of it, other ones in each; with `shuffle=False` all are taken, in their
        order, with the same random starts in each.
        """
        given = self._given("fit", args, kwargs)
        data = given.get("x")
        if hasattr(data, "element_spec") or inspect.isgenerator(data):
            given.setdefault("shuffle", False)  # Keras cannot, and warns
        if given.get("validation_data") is not None:
            given["validation_data"] = self._looked_through(given["validation_data"])
        with self._intact():
            return super().fit(**given)

    def evaluate(self, *args, **kwargs):
        """`keras.Model.evaluate` on clips in the form of the call arguments."""
        given = self._given("evaluate", args, kwargs)
        with self._intact():
            return super().evaluate(**given)

    def predict(self, *args, **kwargs):
        """`keras.Model.predict` of clips in the form of the call arguments."""
        given = self._given("predict", args, kwargs)
        with self._intact():
            return super().predict(**given)

    def train_on_batch(self, x, *args, **kwargs):
        with self._intact():
            return super().train_on_batch(self._looked_through(x), *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        with self._intact():
            return super().test_on_batch(self._looked_through(x), *args, **kwargs)

    def predict_on_batch(self, x):
        with self._intact():
            return super().predict_on_batch(self._looked_through(x))

    def _given(self, method, args, kwargs):
        """The arguments of a method of `keras.Model` by name, clips looked through."""
        signature = inspect.signature(getattr(keras.Model, method))
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        del given["self"]
        given |= given.pop("kwargs", {})
        held_out = given.get("validation_data")
        if plain.are_frames(held_out):
            size = given.get("validation_batch_size") or given.get("batch_size")
            given["validation_data"] = self._clips_of(held_out, "test", size)
        if plain.are_frames(given.get("x")):
            self._take_frames(method, given)
        if isinstance(given.get("x"), dict) and given.get("sample_weight") is not None:
            given["y"] = _beside(given["sample_weight"], given.get("y"))
        if "x" in given:
            given["x"] = self._looked_through(given["x"])
        return given

    def _take_frames(self, method, given):
        """Put clips in the place of frames, in the arguments of a method."""
        split = "train" if method == "fit" else "test"
        frames, size = given["x"], given.get("batch_size")
        if isinstance(frames, np.ndarray):
            given.pop("batch_size", None)
            if not given.pop("shuffle", True):
                split = "test"
            held_out = given.pop("validation_split", 0.0)
            if held_out:
                kept = len(frames) - int(held_out * len(frames))
                frames, rest = frames[:kept], frames[kept:]
                given.setdefault("validation_data", self._clips_of(rest, "test", size))
        given["x"] = self._clips_of(frames, split, size)

    def _clips_of(self, frames, split, batch_size=None):
        """Clips in the form of the call arguments, made of frames."""
        cell = self.cell
        return plain.clips_of(
            frames,
            split,
            components=cell.components,
            background=cell.background if cell.layered else None,
            batch_size=batch_size,
        )

    @contextlib.contextmanager
    def _intact(self):
        """Context of a loop that may fail: in one line, and with its weights."""
        self._trace_anew_if_set()
        jax = keras.backend.backend() == "jax"
        before = []
        if jax:
            self._jax_state = None  # of an earlier call, which may be out of date
            optimizer = getattr(self, "optimizer", None)
            variables = [*self.variables, *self.metrics_variables]
            variables += optimizer.variables if optimizer else []
            before = [(variable, variable.value) for variable in variables]
        try:
            with pixels.one_line():
                yield
        except BaseException:
            # Keras with JAX takes the values out of the variables for the loop.
            if jax:
                self.jax_state_sync()
            for variable, value in before:
                if variable._value is None:  # no step was done
                    variable.assign(value)
            raise

    def _trace_anew_if_set(self):
        """Forget the graphs that were made for other `switches` of the cell."""
        now = self.cell.switches
        if getattr(self, "_switches", now) != now:
            self.train_function = self.test_function = self.predict_function = None
        self._switches = now

    def _looked_through(self, x):
        """Clips whose pixels were looked at, where the model's graph cannot do it."""
        if isinstance(x, tuple | list) and x:  # of validation
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(x)
            return self._looked_through(x), _beside(sample_weight, y), sample_weight
        if isinstance(x, dict):
            for name in ("clean", "noisy"):
                if name in x:
                    pixels.check(name, x[name])
            groups = x.get("groups")
            if isinstance(groups, np.ndarray) and not (groups > 0).any():
                return {name: value for name, value in x.items() if name != "groups"}
            return x
        jit_compile = getattr(self, "jit_compile", False)  # of a compiled model
        blind = keras.backend.backend() == "jax" or jit_compile
        return pixels.looked_through(x) if blind else x

    def check_weights(self):
        """Raise ValueError if a weight is NaN or infinite."""
        for weight in self.weights:
            value = ops.convert_to_numpy(weight)
            if not np.isfinite(value.astype("float32")).all():
                raise ValueError(
                    f"model: expected finite weights, received NaN or infinity in "
                    f"{weight.path}; take a model that was saved earlier, or train "
                    "with a smaller learning rate"
                )


def _beside(sample_weight, y):
    """`y`, or zeros, since Keras forgets the weights of arrays without a `y`."""
    if y is None and sample_weight is not None:
        return np.zeros(len(sample_weight), "float32")
    return y
