"""The layers that read a place off an image and draw at a place."""

import contextlib
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from nem_tf import NeuralEM, RNNEMCell, data, networks
from nem_tf.layers import GatedRecurrence, SkipDense
from nem_tf.layers.prepared import prepared
from nem_tf.networks.places import BLANK, MatchedFilters, RowsTimesColumns


def assert_same(layer, inputs, plain, inside):
    """A layer's values and gradients are those that TensorFlow derives of `plain()`.

    `inside`: whether the layer is called in `prepared`.
    """
    sources = [weight.value for weight in layer.weights] + list(inputs[1:])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs[1:])
        with prepared(layer) if inside else contextlib.nullcontext():
            ours = layer(*inputs)
        theirs = plain()
        ours_at, theirs_at = (tf.reduce_sum(y * tf.cos(y)) for y in (ours, theirs))
    assert ours.shape == layer.compute_output_shape(inputs[0].shape)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for a, b in zip(
        tape.gradient(ours_at, sources), tape.gradient(theirs_at, sources), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-3, rtol=1e-3)


def plain_filters(images, kernel, scale, margin):
    """The equations of `MatchedFilters` with TensorFlow's correlation."""
    sides = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
    r = tf.nn.conv2d(tf.pad(images, sides), kernel, 1, "VALID")
    mean, variance = tf.nn.moments(r, (1, 2), keepdims=True)
    logits = scale * (r - mean) / tf.sqrt(variance + BLANK)
    flat = tf.reshape(logits, (len(images), -1))
    p = r.shape[-1] * tf.reshape(tf.nn.softmax(flat), r.shape)
    parts = [tf.reduce_sum(p, 1), tf.reduce_sum(p, 2), tf.math.log(variance + BLANK)]
    return tf.concat([tf.reshape(part, (len(images), -1)) for part in parts], 1)


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "prepared"])
@pytest.mark.parametrize(
    ("size", "margin", "channels"), [((3, 4), 2, 1), ((4, 2), 0, 3), ((1, 1), 1, 2)]
)
def test_filters_are_a_correlation(rng, size, margin, channels, inside):
    shape = (7, 9, channels)
    config = MatchedFilters(5, size, margin).get_config()
    layer = MatchedFilters.from_config(config)
    layer.build((None, *shape))
    assert layer.block < layer.places[1]  # several blocks
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    images = tf.constant(rng.standard_normal((3, *shape)), "float32")
    weights = [weight.value for weight in layer.weights]
    assert_same(
        layer, (images,), lambda: plain_filters(images, *weights, margin), inside
    )


def test_a_filter_finds_its_pattern_in_noise(rng):
    pattern = data.shapes.SQUARE[..., None, None].astype("float32") - 0.5
    layer = MatchedFilters(1, (7, 7), margin=0, sharpness=10.0)
    layer.build((None, 28, 28, 1))
    layer.kernel.assign(pattern)
    images = np.zeros((50, 28, 28, 1), "float32")
    places = rng.integers(0, 22, (50, 2))
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + 7, column : column + 7, 0] = data.shapes.SQUARE
    noisy = np.where(rng.random(images.shape) < 0.2, 1 - images, images)
    found = np.asarray(layer(noisy.astype("float32")))
    columns, rows = found[:, :22].argmax(1), found[:, 22:44].argmax(1)
    assert np.mean(np.stack([rows, columns], 1) == places) > 0.95
    empty, full = (np.asarray(layer(x))[:, -1] for x in (0 * images, images))
    assert (empty < full).all()


def test_a_pattern_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match=r"size: expected at most \(4, 5\)"):
        MatchedFilters(2, (5, 5), margin=0).build((None, 4, 5, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_a_sum_of_products(rng, channels):
    layer = RowsTimesColumns(2, (4, 5, channels), background=-3.0)
    layer = RowsTimesColumns.from_config(layer.get_config())
    layer.build((None, 6))
    assert (np.asarray(layer.bias) == -3.0).all()
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    x = rng.standard_normal((3, 6)).astype("float32")
    factors = x @ np.asarray(layer.factors.kernel) + np.asarray(layer.factors.bias)
    a = factors[:, : 4 * 2 * channels].reshape(3, channels, 4, 2)
    b = factors[:, 4 * 2 * channels :].reshape(3, channels, 2, 5)
    expected = np.einsum("ncir,ncrj->nijc", a, b) + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert layer.compute_output_shape((3, 6)) == expected.shape


def test_the_gated_recurrence_is_keras_cell(rng):
    layer = GatedRecurrence.from_config(GatedRecurrence(4).get_config())
    layer.build((None, 3), (None, 4))
    x, theta = (rng.standard_normal((2, n)).astype("float32") for n in (3, 4))
    read, carried = layer(x, theta)
    np.testing.assert_array_equal(read, carried)
    np.testing.assert_allclose(read, layer.cell(x, [theta])[0], atol=1e-6)


@pytest.mark.parametrize("keep", [None, 2])
def test_the_input_goes_beside_the_dense_layer(rng, keep):
    layer = SkipDense.from_config(SkipDense(4, "elu", keep).get_config())
    layer.build((None, 5))
    x = rng.standard_normal((3, 5)).astype("float32")
    found = np.asarray(layer(x))
    np.testing.assert_array_equal(found[:, 4:], x if keep is None else x[:, -2:])
    np.testing.assert_allclose(found[:, :4], layer.norm(layer.dense(x)), atol=1e-6)
    assert layer.compute_output_shape((3, 5)) == found.shape
    assert found[:, :4].min() < 0 and keras.activations.elu is layer.norm.activation


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(
    ("network", "small"),
    [
        (networks.places, {"object_size": (4, 5)}),
        (networks.tracking, {"object_size": (3, 4)}),
    ],
    ids=["places", "tracking"],
)
def test_the_network_begins_with_a_black_frame_and_its_own_pixels(
    rng, likelihood, network, small
):
    parts = network(size=(12, 14), e_step=likelihood, **small)
    cell = RNNEMCell(**parts, components=2, reads="pixels", floor=0.02)
    nem = NeuralEM(cell)
    clean = (rng.random((2, 4, 12, 14, 1)) < 0.2).astype("float32")
    pi = rng.random((2, 2, 12, 14, 1)).astype("float32")
    pi /= pi.sum(1, keepdims=True)
    clips = {"clean": clean, "noisy": clean[:, :-1], "pi": pi}
    found = nem(clips)
    assert found["psi"].shape == (2, 3, 2, 12, 14, 1)
    assert np.abs(nem(clips, training=True)["psi"] - found["psi"])[:, 1:].max() > 1e-6
    black = np.asarray(cell.decoder.layers[-1].bias)
    assert black == (-3.0 if likelihood == "bernoulli" else 0.0)
    theta, psi = rng.random((2, 2, cell.units)), rng.random((2, 2, 12, 14, 1))
    theta, psi = theta.astype("float32"), psi.astype("float32")
    for training, kept, taught in itertools.product((True, False), repeat=3):
        cell.keep_floor, cell.floor_in_training = kept, taught
        floor = 0.02 if (taught if training else kept) else 0.0
        _, (_, by_cell, _) = cell.iterate(
            clean[:, 0], clean[:, 0], [theta, psi, pi], training
        )
        share = cell.e_step(clean[:, 0], psi, pi, floor=floor)
        _, by_hand = cell.m_step(share * clean[:, 0][:, None], theta)
        np.testing.assert_allclose(by_cell, by_hand, atol=1e-6)
