"""The paper's networks (Appendix A), and the two kinds that they are of."""

import math

import keras
from keras import layers

from nem_tf.cells.e_step import EStep
from nem_tf.layers import (
    Dense,
    HalvingConv2D,
    InputNormalization,
    LayerNorm,
    Recurrence,
    UpsampleConv2D,
)
from nem_tf.networks.shared import as_e_step, frame_shape


def static_shapes(units=250, features=None, *, e_step=None, **shared):
    """Static shapes (Sec. 4.1): H*W*C -> recurrence -> H*W*C, 455 534 weights.

    Args:
        e_step: by default of Bernoulli pixels, with gradients through gamma, as in the
            original.
        units, features, shared: see `fully_connected`.
    """
    if e_step is None:
        e_step = EStep("bernoulli", differentiable=True)
    return fully_connected(units, features, e_step=e_step, **shared)


def flying_shapes(
    units=100, features=512, *, size=(28, 28), filters=(32, 64), **shared
):
    """Flying shapes (Sec. 4.2, A.2), 3 403 389 weights. Arguments: `convolutional`."""
    return convolutional(units, features, filters=filters, size=size, **shared)


def flying_mnist(
    units=250,
    features=512,
    *,
    size=(24, 24),
    e_step="gaussian",
    filters=(32, 64, 128),
    **shared,
):
    """Flying MNIST (Sec. 4.3, A.3), 1 835 091 weights. Arguments: `convolutional`."""
    return convolutional(
        units,
        features,
        filters=filters,
        size=size,
        e_step=e_step,
        normalize_input=True,
        **shared,
    )


def fully_connected(
    units=250,
    features=None,
    *,
    size=(28, 28),
    channels=1,
    e_step="bernoulli",
    object_size=None,
    normalize=False,
):
    """A recurrence between dense layers.

    Args:
        features: width of a dense layer with ELU before the recurrence and one with
            ReLU after it; None for neither.
        units, size, channels, e_step: see `nem_tf.networks`.
        object_size: not used.
        normalize: whether dense layers and the recurrence's output have layer norm.
    """
    shape = frame_shape(size, channels)

    def hidden(activation):
        if features is None:
            return []
        norm = LayerNorm if normalize else layers.Activation
        return [Dense(features), norm(activation)]

    encoder = [layers.Flatten(data_format="channels_last"), *hidden("elu")]
    decoder = [*hidden("relu"), Dense(math.prod(shape))]
    return {
        "encoder": keras.Sequential(encoder, name="encoder"),
        "recurrence": Recurrence(units, normalize=normalize, name="recurrence"),
        "decoder": keras.Sequential([*decoder, layers.Reshape(shape)], name="decoder"),
        "frame_shape": shape,
        "e_step": as_e_step(e_step),
    }


def convolutional(
    units,
    features=512,
    *,
    filters,
    size,
    channels=1,
    e_step="bernoulli",
    object_size=None,
    normalize_input=False,
    decoder_filters=None,
    decoder_features=None,
):
    """The infoGAN-like networks of the flying experiments.

    Args:
        features: width of the encoder's dense layer.
        filters: of the encoder's 4 x 4 convolutions of stride 2.
        size: H, or (H, W), each divisible by 2 for each convolution.
        units, channels, e_step: see `nem_tf.networks`.
        object_size: not used.
        normalize_input: whether each image is brought to mean 0 and variance 1 first.
        decoder_filters: of the decoder's upsampling convolutions but the last, which
            makes the C channels; by default the encoder's, mirrored.
        decoder_features: width of the decoder's first dense layer; by default
            `features`.

    Raises:
        ValueError: if `size` cannot be halved as often as there are filters.
    """
    shape = frame_shape(size, channels)
    halvings = 2 ** len(filters)
    if any(side % halvings for side in shape[:2]):
        raise ValueError(
            f"size: expected multiples of {halvings} for {len(filters)} convolutions "
            f"of stride 2, received {shape[:2]}"
        )
    small = tuple(side // halvings for side in shape[:2])
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
        "frame_shape": shape,
        "e_step": as_e_step(e_step),
    }
