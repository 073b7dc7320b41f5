"""The layers that the paper's networks need and Keras does not have."""

import keras
from keras import ops


def layer_norm(**kwargs):
    """Layer norm as the original has it.

    Moments over H, W and C together, one scale and shift per channel, epsilon 1e-12.
    """
    return keras.layers.GroupNormalization(groups=1, epsilon=1e-12, **kwargs)


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
class Recurrence(keras.layers.Layer):
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
        self.norm = layer_norm(dtype=self.dtype_policy) if normalize else None

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

    def call(self, features, theta):
        z = ops.matmul(ops.concatenate([features, theta], axis=-1), self.kernel)
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


# Which taps of a 4-tap kernel meet in which tap of a 3-tap one, for even (first) and
# odd output positions, when each input pixel stands twice in a row. See UpsampleConv2D.
_FOLD = (
    ((1, 0, 0, 0), (0, 1, 1, 0), (0, 0, 0, 1)),
    ((0, 0, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1)),
)


@keras.saving.register_keras_serializable("nem_tf")
class UpsampleConv2D(keras.layers.Layer):
    """Nearest-neighbour upsampling by 2, then a 4 x 4 convolution ("same" padding).

    The weights are those of the 4 x 4 convolution. The arithmetic is one 3 x 3
    convolution to 4 x the channels on the small image, followed by depth-to-space: the
    same numbers from 9/16 of the multiplications, since taps that would meet the same
    pixel are added up first.

    Args:
        filters: channels of the output.

    Call arguments:
        images: shape `(N, H, W, C)`.

    Returns:
        shape `(N, 2H, 2W, filters)`.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, images_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(4, 4, images_shape[-1], self.filters),
            initializer="glorot_uniform",
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.filters,), initializer="zeros"
        )
        self.built = True

    def call(self, images):
        fold = ops.convert_to_tensor(_FOLD, dtype=self.compute_dtype)  # (2, 3, 4)
        kernel = ops.einsum("pua,abio->pubio", fold, self.kernel)
        kernel = ops.einsum("qvb,pubio->uvipqo", fold, kernel)
        channels = images.shape[-1]
        kernel = ops.reshape(kernel, (3, 3, channels, 4 * self.filters))
        blocks = ops.conv(images, kernel, padding="same")  # (N, H, W, 4 * filters)
        return ops.nn.depth_to_space(blocks, 2) + self.bias  # (N, 2H, 2W, filters)

    def compute_output_shape(self, images_shape):
        batch, height, width, _ = images_shape
        return batch, 2 * height, 2 * width, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}
