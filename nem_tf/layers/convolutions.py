"""The two convolutions of the paper's networks: one halves an image, one doubles it.

The weights are those of the original's 4 x 4 convolutions. How they are applied, and
how gradients flow back, is chosen for speed; the numbers are the same.
"""

import keras
import numpy as np
from keras import ops

from nem_tf.layers.prepared import Prepared, with_input_gradient

FEW_CHANNELS = 4  # up to so many, blocks of 4 x 4 pixels are computed at once

# Nearest-neighbour upsampling repeats each pixel: several taps of a 4-tap kernel meet
# the same pixel, and can be added up beforehand. Row i of the small image and rows
# 2i + p of the large one; [p, u, a] = 1: tap a of row 2i + p meets row i + u - 1.
_FOLD = np.array(
    [
        [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]],
        [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]],
    ]
)
# The same for rows 4i + p and pairs of small rows: tap a meets row 2i + r - 1.
_FOLD_BLOCKS = np.zeros((4, 4, 4), int)
# And backwards, [r, a] = 1: small row i was met by large row 2i + r - 2 through tap a.
_FOLD_BACK = np.zeros((5, 4), int)
for _p, _u, _a in np.argwhere(_FOLD):
    _FOLD_BLOCKS[_p, _u, _a] = _FOLD_BLOCKS[_p + 2, _u + 1, _a] = 1
    _FOLD_BACK[_p - 2 * _u + 4, _a] = 1

# A convolution of stride 2 backwards: large row 4i + p was met by small row 2i + r - 1
# through tap a.
_BACK_BLOCKS = np.zeros((4, 4, 4), int)
for _p, _r in np.ndindex(4, 4):
    if 0 <= _p - 2 * _r + 3 < 4:
        _BACK_BLOCKS[_p, _r, _p - 2 * _r + 3] = 1


class _Convolution(Prepared, keras.layers.Layer):
    """Weights of a 4 x 4 convolution with bias."""

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
        self.height, self.width = images_shape[1:3]
        self.built = True

    def _convolve(self, images, kernel, stride, padding="same"):
        kernel = ops.cast(kernel, self.compute_dtype)
        return ops.conv(images, kernel, stride, padding, data_format="channels_last")

    def _constant(self, kernel):
        """A form of the weights that only passes gradients on, and gets none."""
        return ops.stop_gradient(ops.cast(kernel, self.compute_dtype))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("nem_tf")
class HalvingConv2D(_Convolution):
    """A 4 x 4 convolution of stride 2 ("same" padding).

    Args:
        filters: channels of the output.

    Call arguments:
        images: shape `(N, H, W, C)`, H and W even.

    Returns:
        shape `(N, H/2, W/2, filters)`.
    """

    @property
    def _in_blocks(self):
        """Whether the gradient of the images is computed in blocks of 4 x 4 pixels.

        A convolution to few channels wastes most of a processor's vectors.
        """
        few = self.kernel.shape[2] <= FEW_CHANNELS
        return few and self.height % 4 == 0 and self.width % 4 == 0

    def prepare(self):
        kernel = ops.convert_to_tensor(self.kernel)
        if not self._in_blocks:
            return kernel, None
        back = _fold("pra,qsb,abio->rsopqi", _BACK_BLOCKS, _BACK_BLOCKS, kernel)
        back = ops.reshape(back, (4, 4, self.filters, -1))  # (4, 4, filters, 16 C)
        return kernel, self._constant(back)

    def call(self, images):
        kernel, back = self.ready
        if back is None:
            return self._convolve(images, kernel, 2) + self.bias

        def gradient(dy):
            return _out_of_blocks(self._convolve(dy, back, 2), 4)  # (N, H, W, C)

        y = self._convolve(ops.stop_gradient(images), kernel, 2) + self.bias
        return with_input_gradient(y, images, gradient)

    def compute_output_shape(self, images_shape):
        batch, height, width, _ = images_shape
        return batch, height // 2, width // 2, self.filters


@keras.saving.register_keras_serializable("nem_tf")
class UpsampleConv2D(_Convolution):
    """Nearest-neighbour upsampling by 2, then a 4 x 4 convolution ("same" padding).

    The weights are those of the 4 x 4 convolution. Taps that would meet the same pixel
    are added up first, which leaves one 3 x 3 convolution to 4 x the channels on the
    small image, followed by depth-to-space: 9/16 of the multiplications. The gradient
    of the images is a 5 x 5 convolution of stride 2: 25/64 of them.

    Args:
        filters: channels of the output.

    Call arguments:
        images: shape `(N, H, W, C)`.

    Returns:
        shape `(N, 2H, 2W, filters)`.
    """

    @property
    def _in_blocks(self):
        """Whether the output is computed in blocks of 4 x 4 pixels."""
        few = self.filters <= FEW_CHANNELS
        return few and self.height % 2 == 0 and self.width % 2 == 0

    def prepare(self):
        kernel = ops.convert_to_tensor(self.kernel)
        channels = kernel.shape[2]
        if self._in_blocks:
            fold = _fold("pra,qsb,abio->rsipqo", _FOLD_BLOCKS, _FOLD_BLOCKS, kernel)
        else:
            fold = _fold("pua,qvb,abio->uvipqo", _FOLD, _FOLD, kernel)
        fold = ops.reshape(fold, (*fold.shape[:2], channels, -1))
        back = _fold("ra,sb,abio->rsoi", _FOLD_BACK, _FOLD_BACK, kernel)
        return fold, self._constant(back)  # back: (5, 5, filters, C)

    def call(self, images):
        fold, back = self.ready

        def gradient(dy):
            dy = ops.pad(dy, ((0, 0), (2, 1), (2, 1), (0, 0)))
            return self._convolve(dy, back, 2, "valid")  # (N, H, W, C)

        stride = 2 if self._in_blocks else 1
        blocks = self._convolve(ops.stop_gradient(images), fold, stride)
        y = _out_of_blocks(blocks, 2 * stride) + self.bias
        return with_input_gradient(y, images, gradient)

    def compute_output_shape(self, images_shape):
        batch, height, width, _ = images_shape
        return batch, 2 * height, 2 * width, self.filters


def _fold(equation, rows, columns, kernel):
    """Sum taps of a kernel: the einsum of two tables of 0 and 1 with it."""
    first, second = (ops.convert_to_tensor(x, kernel.dtype) for x in (rows, columns))
    return ops.einsum(equation, first, second, kernel)


def _out_of_blocks(blocks, size):
    """Depth to space: (N, H, W, size * size * C) -> (N, size * H, size * W, C).

    One transposition that moves size * C neighbours at a time.
    """
    height, width, depth = blocks.shape[1:]
    blocks = ops.reshape(blocks, (-1, width, size, depth // size))
    pixels = ops.transpose(blocks, (0, 2, 1, 3))  # (N * H, size, W, size * C)
    return ops.reshape(pixels, (-1, size * height, size * width, depth // size**2))
