"""Dense layers whose gradient reads a matrix that was transposed beforehand."""

import keras
from keras import ops

from nem_tf.layers.normalization import LayerNorm
from nem_tf.layers.prepared import Prepared


def prepare_product(kernel, dtype):
    """The arguments that `product` takes beside x, from a float32 matrix (F, G)."""
    kernel = ops.cast(kernel, "float32")  # a tensor, where `kernel` is a variable
    copy = ops.stop_gradient(ops.cast(kernel, dtype))
    # Not ops.transpose(copy), which TensorFlow would merge into each product again.
    turned = ops.transpose(ops.expand_dims(copy, 0), (0, 2, 1))  # (1, G, F)
    return kernel, copy, ops.reshape(turned, copy.shape[::-1])


def product(x, kernel, copy, transposed):
    """x kernel: (N, F) -> (N, G), with the gradient of x from the transposed matrix.

    A matrix that is transposed on the way is read at half the speed. The kernel's
    gradient is float32 under any precision, since it is summed over all steps.
    """

    @ops.custom_gradient
    def multiply(x, kernel):
        def backward(dy):
            d_kernel = ops.matmul(ops.transpose(x), dy)
            return ops.matmul(dy, transposed), ops.cast(d_kernel, kernel.dtype)

        return ops.matmul(x, copy), backward

    return multiply(x, kernel)


@keras.saving.register_keras_serializable("nem_tf")
class Dense(Prepared, keras.layers.Layer):
    """y = x W + b, as `keras.layers.Dense`; see `product`.

    Args:
        units: G, the size of the output.
        kernel_initializer: of W; a name, or a `keras.initializers.Initializer`.

    Call arguments:
        x: shape `(N, F)`.

    Returns:
        shape `(N, G)`.
    """

    def __init__(self, units, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = kernel_initializer

    def build(self, x_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(x_shape[-1], self.units),
            initializer=self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        self.built = True

    def prepare(self):
        return prepare_product(self.kernel, self.compute_dtype)

    def call(self, x):
        return product(x, *self.ready) + self.bias

    def compute_output_shape(self, x_shape):
        return x_shape[0], self.units

    def get_config(self):
        initializer = self.kernel_initializer
        if not isinstance(initializer, str):
            initializer = keras.initializers.serialize(initializer)
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": initializer,
        }


@keras.saving.register_keras_serializable("nem_tf")
class SkipDense(keras.layers.Layer):
    """A dense layer with layer norm, and beside its output the input (a skip).

        y = [activation(layer_norm(x W + b)), x]

    Args:
        units: G, the size of the output without the input.
        activation: anything that `keras.activations.get` takes.
        keep: how many numbers of the input, the last ones, go along; None: all, F.

    Call arguments:
        x: shape `(N, F)`.

    Returns:
        shape `(N, G + keep)`.
    """

    def __init__(self, units, activation=None, keep=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.keep = keep
        policy = self.dtype_policy
        self.dense = Dense(units, name="dense", dtype=policy)
        self.norm = LayerNorm(activation, name="norm", dtype=policy)

    def build(self, x_shape):
        self.dense.build(x_shape)
        self.norm.build((None, self.units))
        self.built = True

    def call(self, x):
        kept = x if self.keep is None else x[:, -self.keep :]
        return ops.concatenate([self.norm(self.dense(x)), kept], -1)

    def compute_output_shape(self, x_shape):
        kept = x_shape[-1] if self.keep is None else self.keep
        return x_shape[0], self.units + kept

    def get_config(self):
        activation = keras.activations.serialize(self.norm.activation)
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activation,
            "keep": self.keep,
        }
