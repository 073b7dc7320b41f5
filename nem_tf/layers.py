"""The layers that the paper's networks need and Keras does not have."""

import keras
from keras import ops

from nem_tf.layer_norm import LayerNorm
from nem_tf.prepared import Prepared


@keras.saving.register_keras_serializable("nem_tf")
class InputNormalization(keras.layers.Layer):
    """Shift and scale each image to mean 0 and variance 1.

    An image of one value gives zeros. (The original divides 0 by 0 there.)

    Call arguments:
        images: shape `(N, H, W, C)`; one image is one clip and component.

    Returns:
        the same shape; moments are over H, W and C.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, images):
        images = ops.cast(images, "float32")  # half precision loses small variances
        mean, variance = ops.moments(
            images, axes=(1, 2, 3), keepdims=True
        )  # (N, 1, 1, 1)
        smallest_normal = 1.2e-38  # so that only an exact 0 is replaced
        scale = ops.rsqrt(ops.maximum(variance, smallest_normal))
        scale = ops.where(variance > smallest_normal, scale, 0.0)
        return ops.cast((images - mean) * scale, self.compute_dtype)

    def compute_output_shape(self, images_shape):
        return images_shape


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


@keras.saving.register_keras_serializable("nem_tf")
class Recurrence(Prepared, keras.layers.Layer):
    """The sigmoid recurrence on theta.

        z = W [features, theta] + b
        theta' = sigmoid(z)                    is carried on
        output = sigmoid(layer_norm(z))        is what the decoder reads

    Args:
        units: M, the size of theta.
        normalize: whether the output has the layer norm; without it, output = theta'.

    Call arguments:
        features: shape `(N, F)`.
        theta: shape `(N, M)`.

    Returns:
        output `(N, M)` and theta' `(N, M)`, both in (0, 1).
    """

    def __init__(self, units, normalize=True, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.normalize = normalize
        self.norm = LayerNorm(dtype=self.dtype_policy) if normalize else None

    def build(self, features_shape, theta_shape=None):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features_shape[-1] + self.units, self.units),
            initializer="glorot_uniform",
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        if self.norm is not None:
            self.norm.build((None, self.units))
        self.built = True

    def prepare(self):
        kernel = ops.convert_to_tensor(self.kernel)
        rows = kernel[: -self.units], kernel[-self.units :]  # of features, of theta
        return [prepare_product(part, self.compute_dtype) for part in rows]

    def call(self, features, theta):
        of_features, of_theta = self.ready
        z = product(features, *of_features) + product(theta, *of_theta)
        z = z + self.bias  # (N, M)
        state = ops.sigmoid(z)
        output = state if self.norm is None else ops.sigmoid(self.norm(z))
        return output, state

    def compute_output_shape(self, features_shape, theta_shape=None):
        shape = (features_shape[0], self.units)
        return shape, shape

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "normalize": self.normalize,
        }


@keras.saving.register_keras_serializable("nem_tf")
class GatedRecurrence(keras.layers.Layer):
    """A gated recurrent unit on theta: `keras.layers.GRUCell` as a cell's recurrence.

    Its gates keep what a component knows over many steps, such as a velocity, which the
    sigmoid recurrence has to learn to copy.

    Args:
        units: M, the size of theta.

    Call arguments:
        features: shape `(N, F)`.
        theta: shape `(N, M)`.

    Returns:
        theta' `(N, M)`, in (-1, 1), once to be read and once to be carried on.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.cell = keras.layers.GRUCell(units, dtype=self.dtype_policy)

    def build(self, features_shape, theta_shape=None):
        self.cell.build(features_shape)
        self.built = True

    def call(self, features, theta):
        theta, _ = self.cell(features, [theta])
        return theta, theta

    def compute_output_shape(self, features_shape, theta_shape=None):
        shape = (features_shape[0], self.units)
        return shape, shape

    def get_config(self):
        return {**super().get_config(), "units": self.units}
