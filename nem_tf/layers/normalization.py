"""Normalisation: of input images, and layer norm as the original has it."""

import math

import keras
from keras import ops

EPSILON = 1e-12  # of `LayerNorm`


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


@keras.saving.register_keras_serializable("nem_tf")
class LayerNorm(keras.layers.Layer):
    """Moments over H, W and C together, one scale and shift per channel.

        y = activation(gamma_c (x - mean) / sqrt(variance + 1e-12) + beta_c)

    The same numbers as `keras.layers.GroupNormalization(groups=1, epsilon=1e-12)`, in
    about half the passes over memory: the gradient is written out below. All but the
    input and the output is float32 under any precision.

    Args:
        activation: a name that Keras knows, or None.

    Call arguments:
        x: shape `(N, H, W, C)` or `(N, C)`.

    Returns:
        the same shape.
    """

    def __init__(self, activation=None, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.activation = keras.activations.get(activation)

    def build(self, x_shape):
        channels = (x_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=channels, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=channels, initializer="zeros")
        self.built = True

    def call(self, x):
        x = ops.cast(x, self.compute_dtype)
        norm = _of_vectors if x.ndim == 2 else _of_images
        gamma, beta = ops.cast(self.gamma, "float32"), ops.cast(self.beta, "float32")
        y = norm(x, gamma, beta)
        return ops.cast(self.activation(y), self.compute_dtype)

    def compute_output_shape(self, x_shape):
        return x_shape

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation}


# The gradients below, for u = (x - mean) / sqrt(variance + epsilon) and with means over
# the axes of the moments:
#
#     dx = (gamma dy - mean(gamma dy) - u mean(u gamma dy)) / sqrt(variance + epsilon)


@ops.custom_gradient
def _of_images(x, gamma, beta):
    """(N, H, W, C) -> float32 (N, H, W, C); what depends on N and C only is small."""
    dtype, size = x.dtype, math.prod(x.shape[1:])
    mean, scale = _moments(x)  # (N, 1, 1, 1)
    slope = scale * gamma  # (N, 1, 1, C)
    y = ops.cast(x, "float32") * slope + (beta - mean * slope)

    def backward(dy):
        x32 = ops.cast(x, "float32")
        sum_dy = ops.sum(dy, (1, 2))  # (N, C)
        center, factor = ops.reshape(mean, (-1, 1)), ops.reshape(scale, (-1, 1))
        sum_u_dy = factor * (ops.sum(dy * x32, (1, 2)) - center * sum_dy)  # (N, C)
        column = ops.expand_dims(gamma, 1) / size  # (C, 1)
        mean_dy = factor * ops.matmul(sum_dy, column)  # (N, 1)
        tilt = ops.square(factor) * ops.matmul(sum_u_dy, column)  # (N, 1)
        shift = mean_dy - center * tilt  # (N, 1)
        tilt, shift = (ops.reshape(z, (-1, 1, 1, 1)) for z in (tilt, shift))
        dx = dy * slope - (x32 * tilt + shift)
        return ops.cast(dx, dtype), ops.sum(sum_u_dy, 0), ops.sum(sum_dy, 0)

    return y, backward


@ops.custom_gradient
def _of_vectors(x, gamma, beta):
    """(N, C) -> float32 (N, C)."""
    dtype, size = x.dtype, x.shape[1]
    mean, scale = _moments(x)  # (N, 1)
    u = (ops.cast(x, "float32") - mean) * scale
    y = u * gamma + beta

    def backward(dy):
        column = ops.expand_dims(gamma, 1) / size  # (C, 1)
        u_dy = u * dy
        mean_dy, mean_u_dy = ops.matmul(dy, column), ops.matmul(u_dy, column)  # (N, 1)
        dx = (dy * gamma - (u * mean_u_dy + mean_dy)) * scale
        return ops.cast(dx, dtype), ops.sum(u_dy, 0), ops.sum(dy, 0)

    return y, backward


def _moments(x):
    """mean and 1 / sqrt(variance + epsilon) of each image or vector, float32."""
    every = tuple(range(1, x.ndim))
    mean, variance = ops.moments(ops.cast(x, "float32"), every, keepdims=True)
    return mean, ops.rsqrt(variance + EPSILON)
