"""The paper's networks: the parts of an RNNEMCell for each experiment (Appendix A).

Each function returns the keyword arguments of `RNNEMCell`:

    cell = RNNEMCell(**networks.flying_mnist(), components=2)
"""

import math

import keras
from keras import layers

from nem_tf.convolutions import HalvingConv2D, UpsampleConv2D
from nem_tf.e_step import EStep
from nem_tf.layer_norm import LayerNorm
from nem_tf.layers import (
    Dense,
    GatedRecurrence,
    InputNormalization,
    Recurrence,
    SkipDense,
)
from nem_tf.places import MatchedFilters, RowsTimesColumns
from nem_tf.tracking import PatchAtPlace, TrackingEncoder, TrackingRecurrence


def static_shapes(units=250, size=(28, 28), channels=1, differentiable=True):
    """Static shapes (Sec. 4.1): H*W*C -> recurrence -> H*W*C, 455 534 weights.

    Args:
        units: M, the size of theta.
        size: H, or (H, W).
        channels: C.
        differentiable: whether gradients flow through gamma, as in the original.
    """
    e_step = EStep("bernoulli", differentiable=differentiable)
    return fully_connected(units, size=size, channels=channels, e_step=e_step)


def flying_shapes(filters=(32, 64), features=512, units=100, size=(28, 28), channels=1):
    """Flying shapes (Sec. 4.2, A.2), 3 403 389 weights. Arguments: `convolutional`."""
    return convolutional(
        filters, features, units, size=size, channels=channels, e_step="bernoulli"
    )


def flying_mnist(
    filters=(32, 64, 128), features=512, units=250, size=(24, 24), channels=1
):
    """Flying MNIST (Sec. 4.3, A.3), 1 835 091 weights. Arguments: `convolutional`."""
    return convolutional(
        filters,
        features,
        units,
        size=size,
        channels=channels,
        e_step="gaussian",
        normalize_input=True,
    )


def narrow(units=16, features=1024, size=(28, 28), channels=1, e_step="bernoulli"):
    """Our network for shapes: a theta that has room for one object, not for two.

    Nothing in Eq. 5 forbids a component to draw several objects, or a random share of
    the pixels; a theta of 16 numbers between wide layers cannot hold that much. On
    static shapes it groups better than the paper's 250 (RESULTS.md), together with an
    inter-cluster weight of 2, the loss at all steps and gamma as a constant.

    Args:
        units: M, the size of theta.
        features: width of the layers before and after it.
        size, channels, e_step: see `fully_connected`.
    """
    return fully_connected(
        units,
        features=features,
        size=size,
        channels=channels,
        e_step=e_step,
        normalize=True,
    )


def places(
    filters=16,
    filter_size=(8, 12),
    features=512,
    units=96,
    rank=16,
    size=(28, 28),
    channels=1,
    e_step="bernoulli",
):
    """Our network for things that move: it reads places and draws at places.

    In noise, dense layers and the paper's convolutions learn slowly where a thing is:
    each pixel of each place on its own. Here filters are shared by all places, and what
    they find is handed on as rows and columns; see `nem_tf.places`. Together with
    `reads="pixels"` and a `floor` of 0.02 (`RNNEMCell`) it passes the paper's score on
    flying shapes in minutes on two CPU cores (RESULTS.md).

    Args:
        filters: F, learned patterns.
        filter_size: (h, w) of a pattern, about an object's, pixels.
        features: width of the dense layer with ReLU before the drawing; the one after
            the filters has half of it, with ELU. Both have layer norm.
        units: M, the size of theta, carried on by a gated recurrence.
        rank: how many products of a row and a column make an image.
        size: H, or (H, W).
        channels: C.
        e_step: an `EStep`, or the name of its likelihood.
    """
    frame_shape = _frame_shape(size, channels)
    e_step = e_step if isinstance(e_step, EStep) else EStep(e_step)
    find = MatchedFilters(filters, filter_size)
    draw = RowsTimesColumns(rank, frame_shape, background=_black(e_step))
    encoder = [find, Dense(features // 2), LayerNorm("elu")]
    decoder = [Dense(features), LayerNorm("relu"), draw]
    return {
        "encoder": keras.Sequential(encoder, name="encoder"),
        "recurrence": GatedRecurrence(units, name="recurrence"),
        "decoder": keras.Sequential(decoder, name="decoder"),
        "frame_shape": frame_shape,
        "e_step": e_step,
    }


def tracking(
    filters=16,
    patch_size=(11, 11),
    features=512,
    units=250,
    reach=2,
    size=(24, 24),
    channels=1,
    e_step="gaussian",
):
    """Our network for things of many kinds that move: it follows one thing.

    As `places`, but each component finds, moves and draws one patch at one place. Which
    place that is stands in theta by itself, so that neither motion nor looks have to be
    learned for each place; what is at the place found passes by the dense layers on its
    way into theta, and from there to the patch. A component cannot draw two things that
    are apart. With `reads="pixels"`, a `floor` of 0.1 that is kept, `start="sides"` and
    `theta_noise` (`RNNEMCell`) it passes the paper's scores on flying MNIST
    (RESULTS.md).

    Args:
        filters: F, learned patterns, of the size of a patch.
        patch_size: (h, w) of what is drawn, a little more than an object's, pixels.
        features: width of the dense layer with ReLU before the drawing; those after
            the filters, with ELU, and before the motion, with ReLU, have half of it.
            All have layer norm.
        units: numbers of theta without the place, carried on by a gated recurrence. M
            is as much larger as there are rows and columns to begin a patch in.
        reach: the largest displacement that is learned, pixels per frame and axis.
        size: H, or (H, W).
        channels: C.
        e_step: an `EStep`, or the name of its likelihood.
    """
    frame_shape = _frame_shape(size, channels)
    e_step = e_step if isinstance(e_step, EStep) else EStep(e_step)
    draw = PatchAtPlace(patch_size, frame_shape, background=_black(e_step))
    decoder = [SkipDense(features, "relu"), draw]
    half = features // 2
    return {
        "encoder": TrackingEncoder(filters, patch_size, half, name="encoder"),
        "recurrence": TrackingRecurrence(
            units, draw.places, half, reach, name="recurrence"
        ),
        "decoder": keras.Sequential(decoder, name="decoder"),
        "frame_shape": frame_shape,
        "e_step": e_step,
    }


def _black(e_step):
    """What is drawn before training, ahead of the readout, so that it is black."""
    return -3.0 if e_step.likelihood.name == "bernoulli" else 0.0


def fully_connected(
    units,
    *,
    features=None,
    size=(28, 28),
    channels=1,
    e_step="bernoulli",
    normalize=False,
):
    """A recurrence between dense layers.

    Args:
        units: M, the size of theta.
        features: width of a dense layer with ELU before the recurrence and one with
            ReLU after it; None for neither.
        size: H, or (H, W).
        channels: C.
        e_step: an `EStep`, or the name of its likelihood.
        normalize: whether dense layers and the recurrence's output have layer norm.
    """
    frame_shape = _frame_shape(size, channels)

    def hidden(activation):
        if features is None:
            return []
        norm = LayerNorm if normalize else layers.Activation
        return [Dense(features), norm(activation)]

    encoder = [layers.Flatten(data_format="channels_last"), *hidden("elu")]
    decoder = [*hidden("relu"), Dense(math.prod(frame_shape))]
    return {
        "encoder": keras.Sequential(encoder, name="encoder"),
        "recurrence": Recurrence(units, normalize=normalize, name="recurrence"),
        "decoder": keras.Sequential(
            [*decoder, layers.Reshape(frame_shape)], name="decoder"
        ),
        "frame_shape": frame_shape,
        "e_step": e_step if isinstance(e_step, EStep) else EStep(e_step),
    }


def convolutional(
    filters,
    features,
    units,
    *,
    size,
    channels=1,
    e_step="bernoulli",
    normalize_input=False,
    decoder_filters=None,
    decoder_features=None,
):
    """The infoGAN-like networks of the flying experiments.

    Args:
        filters: of the encoder's 4 x 4 convolutions of stride 2.
        features: width of the encoder's dense layer.
        units: M, the size of theta.
        size: H, or (H, W), each divisible by 2 for each convolution.
        channels: C.
        e_step: an `EStep`, or the name of its likelihood.
        normalize_input: whether each image is brought to mean 0 and variance 1 first.
        decoder_filters: of the decoder's upsampling convolutions but the last, which
            makes the C channels; by default the encoder's, mirrored.
        decoder_features: width of the decoder's first dense layer; by default
            `features`.

    Raises:
        ValueError: if `size` cannot be halved as often as there are filters.
    """
    frame_shape = _frame_shape(size, channels)
    halvings = 2 ** len(filters)
    if any(side % halvings for side in frame_shape[:2]):
        raise ValueError(
            f"size: expected multiples of {halvings} for {len(filters)} convolutions "
            f"of stride 2, received {frame_shape[:2]}"
        )
    small = tuple(side // halvings for side in frame_shape[:2])
    if decoder_filters is None:
        decoder_filters = filters[-2::-1]

    encoder = [InputNormalization()] if normalize_input else []
    for count in filters:
        encoder += [HalvingConv2D(count), LayerNorm("elu")]
    encoder += [
        layers.Flatten(data_format="channels_last"),
        Dense(features),
        LayerNorm("elu"),
    ]

    decoder = []
    for count in (decoder_features or features, math.prod(small) * filters[-1]):
        decoder += [Dense(count), LayerNorm("relu")]
    decoder += [layers.Reshape((*small, filters[-1]))]
    for count in decoder_filters:
        decoder += [UpsampleConv2D(count), LayerNorm("relu")]
    decoder += [UpsampleConv2D(channels)]

    return {
        "encoder": keras.Sequential(encoder, name="encoder"),
        "recurrence": Recurrence(units, name="recurrence"),
        "decoder": keras.Sequential(decoder, name="decoder"),
        "frame_shape": frame_shape,
        "e_step": e_step if isinstance(e_step, EStep) else EStep(e_step),
    }


def _frame_shape(size, channels):
    height, width = (size, size) if isinstance(size, int) else size
    return (height, width, channels)
