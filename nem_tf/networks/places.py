"""A network of ours that reads places and draws at places, and its layers.

What the paper's networks have to learn about every pixel on its own, these layers share
between all places.
"""

import math

import keras
import numpy as np
from keras import ops

from nem_tf.layers import Dense, GatedRecurrence, LayerNorm
from nem_tf.layers.prepared import Prepared
from nem_tf.networks.shared import as_e_step, frame_shape

BLANK = 1e-3  # added to a filter's variance over an image: a blank image has no place


def places(
    units=96,
    features=512,
    *,
    size=(28, 28),
    channels=1,
    e_step="bernoulli",
    object_size=(8, 12),
    filters=16,
    rank=16,
):
    """A network for things that move: it reads places and draws at places.

    In noise, dense layers and the paper's convolutions learn slowly where a thing is:
    each pixel of each place on its own. Here filters are shared by all places, and what
    they find is handed on as rows and columns. Together with
    `reads="pixels"` and a `floor` of 0.02 (`RNNEMCell`) it passes the paper's score on
    flying shapes in minutes on two CPU cores (RESULTS.md).

    Args:
        units: M, the size of theta, carried on by a gated recurrence.
        features: width of the dense layer with ReLU before the drawing; the one after
            the filters has half of it, with ELU. Both have layer norm.
        size, channels, e_step: see `nem_tf.networks`.
        object_size: (h, w), also of a pattern.
        filters: F, learned patterns.
        rank: how many products of a row and a column make an image.
    """
    shape, e_step = frame_shape(size, channels), as_e_step(e_step)
    find = MatchedFilters(filters, object_size)
    draw = RowsTimesColumns(rank, shape, background=e_step.likelihood.black)
    encoder = [find, Dense(features // 2), LayerNorm("elu")]
    decoder = [Dense(features), LayerNorm("relu"), draw]
    return {
        "encoder": keras.Sequential(encoder, name="encoder"),
        "recurrence": GatedRecurrence(units, name="recurrence"),
        "decoder": keras.Sequential(decoder, name="decoder"),
        "frame_shape": shape,
        "e_step": e_step,
    }


@keras.saving.register_keras_serializable("nem_tf")
class MatchedFilters(Prepared, keras.layers.Layer):
    """Look for learned patterns, and say in which row and which column they are.

        r = filter * images                               a correlation
        p = softmax over places and filters of s (r - mean(r)) / std(r)

    A place is found although a fifth of the pixels is flipped, because all pixels of
    a pattern speak for it at once, and a filter is learned from objects at all places.

    Args:
        filters: F, how many patterns.
        size: (h, w) of a pattern, in pixels, of about an object's size.
        margin: how far a pattern may stick out of the image, in pixels.
        sharpness: s before training, one number per filter; r is measured in its
            standard deviations over the image.

    Call arguments:
        images: shape `(N, H, W, C)`.

    Returns:
        `(N, F (X + Y + 1))` with X = H + 2 margin - h + 1 and Y likewise: F p summed
        over the rows (Y F), then over the columns (X F), and log var(r), which says
        whether something is there at all (F).

    Raises:
        ValueError: if a pattern is larger than the image with its margin.
    """

    whole_rows = False  # whether each window has to be of whole rows

    def __init__(self, filters, size=(8, 12), margin=2, sharpness=4.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.size = tuple(size)
        self.margin = margin
        self.sharpness = sharpness

    def build(self, images_shape):
        self.images_shape = tuple(images_shape[1:])
        self.places = count_places(self.images_shape, self.size, self.margin)
        self.block = self.places[1] if self.whole_rows else self._block()
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.size, images_shape[-1], self.filters),
            initializer="glorot_uniform",
        )
        self.scale = self.add_weight(
            name="scale",
            shape=(self.filters,),
            initializer=keras.initializers.Constant(self.sharpness),
        )
        self.built = True

    def _block(self):
        """How many places of a row are computed by one product: a divisor of Y.

        A wide block multiplies with many zeros, narrow ones copy pixels many times.
        """
        across, width = self.places[1], self.size[1]
        copy = 60  # of a pixel, as so many multiplications

        def cost(block):
            pixels = across // block * (block + width - 1)
            return pixels * (self.filters * block + copy)

        return min((n for n in range(1, across + 1) if across % n == 0), key=cost)

    def prepare(self):
        """The filters as a matrix for h rows at once, with a column for each place.

        Rows of few channels are too narrow for a convolution to be fast.
        """
        channels = self.images_shape[-1]
        kernel = ops.cast(self.kernel, "float32")
        width = self._sides[1]
        meets = meeting(self.block, width, self.size[1], self._sides[0])
        matrix = ops.einsum("hwcf,yxw->hxcyf", kernel, meets)
        rows = self.size[0] * width * channels
        matrix = ops.reshape(matrix, (rows, self.block * self.filters))
        return ops.cast(matrix, self.compute_dtype)

    @property
    def _sides(self):
        """Columns that one block's patterns stick out by, and those that it sees."""
        if self.block == self.places[1]:
            return self.margin, self.images_shape[1]
        return 0, self.block + self.size[1] - 1

    def call(self, images):
        _, found = self.correlated(images)
        where = located(found, ops.cast(self.scale, "float32"))
        return ops.cast(where, self.compute_dtype)

    def correlated(self, images):
        """The windows of the image, and r, float32 (N, X, Y, F)."""
        windows = self._windows(images)  # (N X blocks, h W C)
        found = ops.matmul(windows, self.ready)  # (N X blocks, Y/blocks F)
        found = ops.reshape(found, (-1, *self.places, self.filters))
        return windows, ops.cast(found, "float32")

    def _windows(self, images):
        """The pixels that each block of places sees, h rows at once."""
        height, width, channels = self.images_shape
        down, across = self.places
        out, seen = self._sides
        beside = self.margin - out  # 0 if one block sees whole rows
        rows = ops.reshape(images, (-1, height, width * channels))
        sides = (self.margin, self.margin), (beside * channels, beside * channels)
        rows = ops.pad(rows, ((0, 0), *sides))
        if self.block < across:
            firsts = range(0, across * channels, self.block * channels)
            blocks = [rows[..., first : first + seen * channels] for first in firsts]
            rows = ops.stack(blocks, 2)  # (N, H, blocks, W C)
        windows = [rows[:, first : first + down] for first in range(self.size[0])]
        windows = ops.concatenate(windows, -1)  # (N, X, blocks, h W C)
        return ops.reshape(windows, (-1, windows.shape[-1]))

    def compute_output_shape(self, images_shape):
        down, across = count_places(images_shape[1:], self.size, self.margin)
        return images_shape[0], self.filters * (down + across + 1)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "size": self.size,
            "margin": self.margin,
            "sharpness": self.sharpness,
        }


def located(r, s, everywhere=False):
    """What filters found, as rows, as columns and in all.

        q = softmax over places and filters of s u,   u = (r - mean(r)) / std(r)

    The gradient is written out: memory is gone through half as often.

    Args:
        r: what each filter found at each place, float32 (N, X, Y, F).
        s: sharpness, float32 (F,).
        everywhere: whether q summed over the filters is wanted, too.

    Returns:
        (N, Y F + X F + F), F q summed over the rows, over the columns, and log var(r);
        with `everywhere`, X Y more.
    """
    down, across, filters = r.shape[1:]
    count = down * across

    @ops.custom_gradient
    def located(r, s):
        mean, variance = ops.moments(r, (1, 2), keepdims=True)  # (N, 1, 1, F)
        variance = variance + BLANK
        scale = ops.rsqrt(variance)
        slope = s * scale
        q = ops.reshape(r * slope - mean * slope, (-1, count * filters))
        q = ops.reshape(ops.softmax(q), (-1, down, across, filters))
        parts = [filters * ops.sum(q, 1), filters * ops.sum(q, 2), ops.log(variance)]
        if everywhere:
            parts.append(ops.sum(q, 3))
        sizes = [math.prod(part.shape[1:]) for part in parts]
        parts = [ops.reshape(x, (-1, n)) for x, n in zip(parts, sizes, strict=True)]
        y = ops.concatenate(parts, -1)

        def backward(dy):
            # With dz for each part of y: dq = F (dz of its row + of its column).
            both = sizes[0] + sizes[1]
            d_log = ops.reshape(dy[:, both : both + filters], (-1, 1, 1, filters))
            inner = ops.sum(y[:, :both] * dy[:, :both], 1)  # sum(q dq), (N,)
            d_rows = ops.reshape(dy[:, : sizes[0]], (-1, 1, across, filters))
            d_columns = ops.reshape(dy[:, sizes[0] : both], (-1, down, 1, filters))
            d_rows, d_columns = filters * d_rows, filters * d_columns
            if everywhere:
                d_all = dy[:, both + filters :]
                inner += ops.sum(y[:, both + filters :] * d_all, 1)
                d_all = ops.reshape(d_all, (-1, down, across, 1))
                d_columns = d_columns + d_all  # (N, X, Y, F)
            inner = ops.reshape(inner, (-1, 1, 1, 1))
            dx = q * ((d_rows - inner) + d_columns)  # of s u
            mean_dx = ops.mean(dx, (1, 2), keepdims=True)
            mean_u_dx = scale * (
                ops.mean(r * dx, (1, 2), keepdims=True) - mean * mean_dx
            )
            tilt = ops.square(scale) * (s * mean_u_dx - 2 / count * d_log)
            shift = slope * mean_dx - mean * tilt
            dr = slope * dx - (r * tilt + shift)
            return dr, count * ops.sum(mean_u_dx, (0, 1, 2))

        return y, backward

    return located(r, s)


class Drawing(keras.layers.Layer):
    """What layers that draw an image have in common: its shape and its background.

    Args:
        frame_shape: (H, W, C).
        background: the bias before training, what is drawn where nothing is.
    """

    def __init__(self, frame_shape, background=0.0, **kwargs):
        super().__init__(**kwargs)
        self.frame_shape = tuple(frame_shape)
        self.background = background

    def add_background(self):
        """The last part of `build`: one bias per channel."""
        self.bias = self.add_weight(
            name="bias",
            shape=self.frame_shape[-1:],
            initializer=keras.initializers.Constant(self.background),
        )
        self.built = True

    def on_background(self, images):
        """(N, C, H, W) -> (N, H, W, C), with the bias."""
        images = ops.moveaxis(images, 1, -1)
        return images + ops.cast(self.bias, images.dtype)

    def compute_output_shape(self, x_shape):
        return (x_shape[0], *self.frame_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "frame_shape": self.frame_shape,
            "background": self.background,
        }


@keras.saving.register_keras_serializable("nem_tf")
class RowsTimesColumns(Drawing):
    """Draw an image as a sum of products of a column and a row of pixels.

        image[i, j] = sum_r a[i, r] b[r, j] + bias,   a, b = linear in x

    To move what is drawn, a and b have to be shifted; H W pixels need not be told.

    Args:
        rank: R, how many products, per channel.
        frame_shape: (H, W, C).
        background: the bias before training, what is drawn where nothing is.

    Call arguments:
        x: shape `(N, F)`.

    Returns:
        `(N, H, W, C)`, before the readout.
    """

    def __init__(self, rank, frame_shape, background=0.0, **kwargs):
        super().__init__(frame_shape, background, **kwargs)
        self.rank = rank
        height, width, channels = self.frame_shape
        numbers = (height + width) * rank * channels
        self.factors = Dense(numbers, name="factors", dtype=self.dtype_policy)

    def build(self, x_shape):
        self.factors.build(x_shape)
        self.add_background()

    def call(self, x):
        height, width, channels = self.frame_shape
        down = height * self.rank * channels
        a, b = ops.split(self.factors(x), [down], -1)
        a = ops.reshape(a, (-1, channels, height, self.rank))
        b = ops.reshape(b, (-1, channels, self.rank, width))
        return self.on_background(ops.matmul(a, b))

    def get_config(self):
        return {
            **super().get_config(),
            "rank": self.rank,
        }


def count_places(frame_shape, size, margin):
    """How many rows and columns a patch of `size` pixels can begin in.

    Raises:
        ValueError: if there are none.
    """
    found = tuple(
        length + 2 * margin - extent + 1
        for length, extent in zip(frame_shape[:2], size, strict=True)
    )
    if min(found) < 1:
        raise ValueError(
            f"size: expected at most {tuple(frame_shape[:2])} with a margin of "
            f"{margin} on each side, received {tuple(size)}"
        )
    return found


def meeting(places, length, extent, margin):
    """1 where pixel i of an image meets pixel u of a patch at place p, else 0.

    Returns:
        float32, `(places, length, extent)`, of p, i and u; i = p + u - margin.
    """
    p, i, u = np.ogrid[:places, :length, :extent]
    return (p + u - margin == i).astype("float32")
