"""A network of ours that follows a thing, and its layers.

It finds the thing near where it is expected, and says how far it will move. Theta of a
component is [h, p, q]: p says in which row and q in which column the next frame has its
thing, h is all else. The encoder finds the thing, the recurrence moves its place on,
the decoder draws it there. Before the first frame p and q are 0: nothing is expected
anywhere.
"""

import math

import keras
from keras import ops

from nem_tf.layers import Dense, SkipDense
from nem_tf.layers.parts import ThetaEncoder, ThetaRecurrence
from nem_tf.networks.places import (
    Drawing,
    MatchedFilters,
    count_places,
    located,
    meeting,
)
from nem_tf.networks.shared import as_e_step, frame_shape

FAINT = 1e-6  # added to the share of a place before its logarithm
ANYWHERE = 3e-3  # added to what is expected of a place: a thing may be lost


def tracking(
    units=250,
    features=512,
    *,
    size=(24, 24),
    channels=1,
    e_step="gaussian",
    object_size=(10, 10),
    filters=16,
    reach=2,
):
    """A network for things of many kinds that move: it follows one thing.

    As `places`, but each component finds, moves and draws one patch at one place. Which
    place that is stands in theta by itself, so that neither motion nor looks have to be
    learned for each place; what is at the place found passes by the dense layers on its
    way into theta, and from there to the patch. A component cannot draw two things that
    are apart. With `reads="pixels"`, a `floor` of 0.1 that is kept, `start="sides"` and
    `theta_noise` (`RNNEMCell`) it passes the paper's scores on flying MNIST
    (RESULTS.md).

    Args:
        units: numbers of theta without the place, carried on by a gated recurrence. M
            is as much larger as there are rows and columns to begin a patch in.
        features: width of the dense layer with ReLU before the drawing; those after
            the filters, with ELU, and before the motion, with ReLU, have half of it.
            All have layer norm.
        size, channels, e_step: see `nem_tf.networks`.
        object_size: (h, w); what is found and drawn is a pixel larger.
        filters: F, learned patterns, of the size of a patch.
        reach: the largest displacement that is learned, pixels per frame and axis.
    """
    shape, e_step = frame_shape(size, channels), as_e_step(e_step)
    patch_size = tuple(extent + 1 for extent in object_size)
    draw = PatchAtPlace(patch_size, shape, background=e_step.likelihood.black)
    decoder = [SkipDense(features, "relu"), draw]
    half = features // 2
    return {
        "encoder": TrackingEncoder(filters, patch_size, half, name="encoder"),
        "recurrence": TrackingRecurrence(
            units, draw.places, half, reach, name="recurrence"
        ),
        "decoder": keras.Sequential(decoder, name="decoder"),
        "frame_shape": shape,
        "e_step": e_step,
    }


@keras.saving.register_keras_serializable("nem_tf")
class TrackedFilters(MatchedFilters):
    """Look for learned patterns, and first of all where they are expected.

        f = what `MatchedFilters` finds at a place, all filters together
        e = p[row] q[column]                                     what is expected of it
        found = softmax over places of a log f + b log e,        a = b = 1 at first

    In noise, and behind others, a thing is not seen surely enough in one frame; what
    was expected decides between places that look alike.

    Args:
        filters, size, margin, sharpness: see `MatchedFilters`.

    Call arguments:
        images: shape `(N, H, W, C)`.
        theta: shape `(N, M)`, [h, p, q].

    Returns:
        `(N, F (X + Y + 1) + h w C + X + Y)`: what `MatchedFilters` returns, the mean
        under `found` of the windows of the image, and `found` summed over columns and
        over rows.
    """

    whole_rows = True

    def build(self, images_shape):
        super().build(images_shape)
        self.trust = self.add_weight(name="trust", shape=(2,), initializer="ones")
        self.built = True

    def call(self, images, theta):
        down, across = self.places
        windows, found = self.correlated(images)
        found = located(found, ops.cast(self.scale, "float32"), everywhere=True)
        found, seen = ops.split(found, [found.shape[-1] - down * across], -1)
        expected = ops.cast(theta[:, -(down + across) :], "float32")
        rows, columns = ops.split(expected, [down], -1)
        expected = rows[:, :, None] * columns[:, None]
        expected = ops.reshape(expected, (-1, down * across))
        trust = ops.cast(self.trust, "float32")
        seen = trust[0] * ops.log(seen + FAINT)
        p = ops.softmax(seen + trust[1] * ops.log(expected + ANYWHERE))
        p = ops.reshape(p, (-1, down, across))
        glimpse = self._at_place(windows, p)
        glimpse = ops.reshape(glimpse, (-1, math.prod(glimpse.shape[1:])))
        parts = [found, ops.cast(glimpse, "float32"), ops.sum(p, 2), ops.sum(p, 1)]
        return ops.cast(ops.concatenate(parts, -1), self.compute_dtype)

    def _at_place(self, windows, p):
        """The mean window under p (N, X, Y), of rows that are whole: (N, h, C, w)."""
        (height, width), (_, whole, channels) = self.size, self.images_shape
        down, across = self.places
        windows = ops.reshape(windows, (-1, down, height * whole * channels))
        p = ops.cast(ops.swapaxes(p, 1, 2), windows.dtype)  # (N, Y, X)
        rows = ops.reshape(
            ops.matmul(p, windows), (-1, across, height, whole, channels)
        )
        rows = ops.transpose(rows, (0, 2, 4, 1, 3))  # (N, h, C, Y, W)
        rows = ops.reshape(rows, (-1, height, channels, across * whole))
        meets = meeting(across, whole, width, self.margin).reshape(-1, width)
        return ops.matmul(rows, ops.cast(meets, rows.dtype))

    def compute_output_shape(self, images_shape):
        count, found = super().compute_output_shape(images_shape)
        seen = math.prod(self.size) * images_shape[-1]
        where = sum(count_places(images_shape[1:], self.size, self.margin))
        return count, found + seen + where


@keras.saving.register_keras_serializable("nem_tf")
class TrackingEncoder(ThetaEncoder):
    """`TrackedFilters`, and a dense layer that what is at the place passes by.

    Args:
        filters, size, margin, sharpness: see `MatchedFilters`.
        features: width of the dense layer, with layer norm and ELU.

    Call arguments:
        images: shape `(N, H, W, C)`.
        theta: shape `(N, M)`, [h, p, q].

    Returns:
        `(N, features + h w C + X + Y)`, the place where it is found last.
    """

    def __init__(self, filters, size, features=256, margin=2, sharpness=6.0, **kwargs):
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.find = TrackedFilters(
            filters, size, margin, sharpness, name="find", dtype=policy
        )
        self.features = features

    def build(self, images_shape):
        self.find.build(images_shape)
        where = sum(self.find.places)
        keep = math.prod(self.find.size) * images_shape[-1] + where
        self.dense = SkipDense(
            self.features, "elu", keep, name="dense", dtype=self.dtype_policy
        )
        self.dense.build(self.find.compute_output_shape(images_shape))
        self.built = True

    def call(self, images, theta):
        return self.dense(self.find(images, theta))

    def compute_output_shape(self, images_shape):
        found = self.find.compute_output_shape(images_shape)
        return self.dense.compute_output_shape(found)

    def get_config(self):
        find = self.find
        return {
            **super().get_config(),
            "filters": find.filters,
            "size": find.size,
            "features": self.features,
            "margin": find.margin,
            "sharpness": find.sharpness,
        }


@keras.saving.register_keras_serializable("nem_tf")
class TrackingRecurrence(ThetaRecurrence):
    """A gated recurrent unit on h, and a place that is moved by what h says.

        h' = GRU(features, h)
        p' = (1 - g) move(p) + g p0

    p is where the encoder found the thing; move(p) is its convolution with a
    distribution of displacements, p0 a place of its own, and g how much that counts:
    at walls, and where nothing was found. These are read off h' by a dense layer and
    are different for rows and columns.

    Args:
        hidden: how many numbers h has.
        places: (X, Y), in how many rows and columns a thing can be.
        features: width of the dense layer, with layer norm and ReLU.
        reach: the largest displacement, pixels per frame.

    Attributes:
        units: M, the size of theta: hidden + X + Y.
        noisy_units: hidden: a place is moved by no noise.

    Call arguments:
        features: shape `(N, F)`; the last X + Y numbers are the place.
        theta: shape `(N, M)`, [h, p, q].

    Returns:
        theta' `(N, M)`, once to be read and once to be carried on.
    """

    def __init__(self, hidden, places, features=256, reach=2, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden
        self.places = tuple(places)
        self.reach = reach
        policy = self.dtype_policy
        self.cell = keras.layers.GRUCell(hidden, dtype=policy)
        self.dense = SkipDense(features, "relu", name="dense", dtype=policy)
        self.moves = 2 * reach + 1
        numbers = 2 * (self.moves + 1) + sum(self.places)
        self.motion = Dense(numbers, name="motion", dtype=policy)

    @property
    def units(self):
        return self.hidden + sum(self.places)

    @property
    def noisy_units(self):
        return self.hidden

    def build(self, features_shape, theta_shape=None):
        self.cell.build(features_shape)
        self.dense.build((None, self.hidden))
        self.motion.build(self.dense.compute_output_shape((None, self.hidden)))
        self.built = True

    def call(self, features, theta):
        h, _ = self.cell(features, [theta[:, : self.hidden]])
        motion = ops.cast(self.motion(self.dense(h)), "float32")
        found = ops.cast(features[:, -sum(self.places) :], "float32")
        down, across = self.places
        each = self.moves + 1
        rows, columns = ops.split(motion, [each + down], -1)
        p, q = ops.split(found, [down], -1)
        parts = [
            h,
            ops.cast(self._moved(p, rows), h.dtype),
            ops.cast(self._moved(q, columns), h.dtype),
        ]
        theta = ops.concatenate(parts, -1)
        return theta, theta

    def _moved(self, p, motion):
        """p' along one axis, (N, X), from [logit of g, displacements, p0]."""
        length, reach = p.shape[-1], self.reach
        share = ops.sigmoid(motion[:, :1] - 2.0)  # (N, 1); small before training
        by = ops.softmax(2.0 * motion[:, 1 : self.moves + 1])  # (N, 2 reach + 1)
        own = ops.softmax(2.0 * motion[:, self.moves + 1 :])  # (N, X)
        wide = ops.pad(p, ((0, 0), (reach, reach)))
        steps = [by[:, i : i + 1] * wide[:, i : i + length] for i in range(self.moves)]
        moved = sum(steps)  # what would leave the frame is lost, hence the division
        moved = moved / (ops.sum(moved, -1, keepdims=True) + FAINT)
        return share * own + (1 - share) * moved

    def get_config(self):
        return {
            **super().get_config(),
            "hidden": self.hidden,
            "places": self.places,
            "features": self.dense.units,
            "reach": self.reach,
        }


@keras.saving.register_keras_serializable("nem_tf")
class PatchAtPlace(Drawing):
    """Draw one patch at one place.

        image[i, j] = sum_uv p[i - u] q[j - v] patch[u, v] + bias
        x = [h, p, q],   patch = linear in h

    What a thing looks like is learned once for all places, and there is no way to draw
    two things that are far apart. While p and q are not sure, the patch is blurred.

    Args:
        size: (h, w) of the patch, in pixels, a little more than an object's.
        frame_shape: (H, W, C).
        margin: how far the patch may stick out of the frame, in pixels.
        background: the bias before training, what is drawn where nothing is.

    Call arguments:
        x: shape `(N, F)`.

    Returns:
        `(N, H, W, C)`, before the readout.

    Raises:
        ValueError: if the patch is larger than the frame with its margin.
    """

    def __init__(self, size, frame_shape, margin=2, background=0.0, **kwargs):
        super().__init__(frame_shape, background, **kwargs)
        self.size = tuple(size)
        self.margin = margin
        self.places = count_places(frame_shape, size, margin)
        faint = keras.initializers.VarianceScaling(0.05, distribution="uniform")
        pixels = math.prod(self.size) * self.frame_shape[-1]
        self.what = Dense(pixels, faint, name="what", dtype=self.dtype_policy)

    def build(self, x_shape):
        self.what.build((None, x_shape[-1] - sum(self.places)))
        self.add_background()

    def call(self, x):
        down, across = self.places
        h, p, q = ops.split(x, [x.shape[-1] - down - across, x.shape[-1] - across], -1)
        patch = ops.reshape(self.what(h), (-1, self.frame_shape[-1], *self.size))
        a, b = self._shifts(p, 0), self._shifts(q, 1)
        return self.on_background(
            ops.matmul(ops.matmul(a, patch), ops.swapaxes(b, -1, -2))
        )

    def _shifts(self, p, axis):
        """p[i - u] as a matrix, (N, 1, H, h) for rows and (N, 1, W, w) for columns."""
        extent, length = self.size[axis], self.frame_shape[axis]
        count = self.places[axis]
        meets = meeting(count, length, extent, self.margin)
        meets = ops.cast(meets.reshape(count, length * extent), p.dtype)
        return ops.reshape(ops.matmul(p, meets), (-1, 1, length, extent))

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "margin": self.margin,
        }
