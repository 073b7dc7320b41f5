"""Layers whose gradients are written out equal the plain ones, gradients included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from nem_tf import EStep, axes, likelihoods, networks
from nem_tf.layers import Dense, Recurrence
from nem_tf.layers.convolutions import HalvingConv2D, UpsampleConv2D
from nem_tf.layers.normalization import LayerNorm
from nem_tf.layers.prepared import prepare, prepared
from tests import tiny


def halving(images, kernel, bias):
    return tf.nn.conv2d(images, kernel, 2, "SAME") + bias


def upsampling(images, kernel, bias):
    height, width = images.shape[1:3]
    images = tf.image.resize(images, (2 * height, 2 * width), "nearest")
    return tf.nn.conv2d(images, kernel, 1, "SAME") + bias


def normalised(activation):
    def norm(x, gamma, beta):
        plain = keras.layers.GroupNormalization(groups=1, epsilon=1e-12)
        plain.build(x.shape)
        mean, variance = tf.nn.moments(x, list(range(1, x.ndim)), keepdims=True)
        u = (x - mean) / tf.sqrt(variance + 1e-12)
        plain.set_weights([gamma, beta])
        np.testing.assert_allclose(plain(x), u * gamma + beta, atol=1e-4)
        return keras.activations.get(activation)(u * gamma + beta)

    return norm


def dense(x, kernel, bias):
    return x @ kernel + bias


CASES = [
    ("halving, in blocks", HalvingConv2D(5), halving, (3, 8, 12, 1)),
    ("halving, three channels", HalvingConv2D(5), halving, (3, 4, 8, 3)),
    ("halving, odd after it", HalvingConv2D(5), halving, (3, 6, 10, 1)),
    ("halving, many channels", HalvingConv2D(5), halving, (3, 8, 4, 6)),
    ("upsampling, in blocks", UpsampleConv2D(1), upsampling, (3, 4, 6, 5)),
    ("upsampling, three channels", UpsampleConv2D(3), upsampling, (3, 2, 4, 5)),
    ("upsampling, odd", UpsampleConv2D(2), upsampling, (3, 5, 4, 6)),
    ("upsampling, many channels", UpsampleConv2D(7), upsampling, (3, 4, 5, 6)),
    ("norm of images", LayerNorm("elu"), normalised("elu"), (3, 4, 5, 6)),
    ("norm of vectors", LayerNorm("relu"), normalised("relu"), (4, 7)),
    ("norm alone", LayerNorm(), normalised(None), (3, 4, 5, 6)),
    ("dense", Dense(5), dense, (4, 7)),
]


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "prepared"])
@pytest.mark.parametrize(
    ("layer", "plain", "shape"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_values_and_gradients_are_the_plain_ones(rng, layer, plain, shape, inside):
    layer = type(layer).from_config(layer.get_config())
    layer.build((None, *shape[1:]))
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    x = tf.constant(rng.standard_normal(shape), "float32")
    weights = [weight.value for weight in layer.weights]

    @tf.function
    def both(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            if inside:
                with prepared(layer):
                    y = layer(x)
            else:
                y = layer(x)
        return [y, *tape.gradient(y, [x, *weights], dy)]

    expected = plain(x, *map(tf.constant, layer.get_weights()))
    dy = tf.constant(rng.standard_normal(expected.shape), "float32")
    with tf.GradientTape() as tape:
        copies = [x, *(tf.constant(w) for w in layer.get_weights())]
        tape.watch(copies)
        y = plain(*copies)
    expected = [y, *tape.gradient(y, copies, dy)]
    assert both(x, dy)[0].shape == layer.compute_output_shape(shape)
    for ours, theirs in zip(both(x, dy), expected, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=3e-6)


def test_a_blank_image_has_finite_norm_and_gradient():
    layer = LayerNorm("elu")
    layer.build((None, 2, 3, 4))
    for x in (tf.zeros((1, 2, 3, 4)), tf.fill((1, 2, 3, 4), 0.3)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        assert np.isfinite(y).all()
        assert np.isfinite(tape.gradient(y, x)).all()


def test_half_precision_sums_gradients_of_weights_in_float32(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = Dense(3)
    layer.build((None, 5))
    x = tf.constant(rng.standard_normal((4, 5)), "float32")
    with tf.GradientTape() as tape, prepared(layer):
        y = layer(x)
    assert y.dtype == tf.bfloat16
    assert tape.gradient(y, layer.kernel.value).dtype == tf.float32


def test_weights_are_prepared_once_per_clip(rng, monkeypatch):
    nem, batch = tiny.model("conv"), tiny.batch(rng)
    parts = prepare(nem.cell)
    assert len(parts) == 8  # 2 + 2 convolutions, 1 + 2 dense, the recurrence
    calls = []
    for kind in (HalvingConv2D, UpsampleConv2D, Dense, Recurrence):
        plain = kind.prepare

        def counted(layer, plain=plain):
            calls.append(layer)
            return plain(layer)

        monkeypatch.setattr(kind, "prepare", counted)
    nem(batch)
    assert len(calls) == len(parts)


def test_what_was_prepared_is_forgotten_afterwards(rng):
    layer = Dense(2)
    layer.build((None, 3))
    x = rng.standard_normal((4, 3)).astype("float32")
    with pytest.raises(KeyError), prepared(layer):
        raise KeyError
    before = np.asarray(layer(x))
    layer.kernel.assign(2 * layer.kernel)
    np.testing.assert_allclose(layer(x), 2 * before, rtol=1e-6)
    with prepared(layer), prepared(layer):
        pass
    layer.kernel.assign(2 * layer.kernel)
    np.testing.assert_allclose(layer(x), 4 * before, rtol=1e-6)


@pytest.mark.parametrize("name", ["nll", "kl_from_prior"])
def test_gradients_of_the_bernoulli_loss(rng, name):
    bernoulli = likelihoods.get("bernoulli")
    x = tf.constant(rng.random((4, 5)), "float32")
    psi = rng.random((4, 5)).astype("float32")
    psi[0] = [0.0, 1e-7, 1e-6, 1.0, 1.0 - 5e-7]  # clipped, but for the third

    def plain(psi):
        if name == "nll":
            p = tf.clip_by_value(psi, 1e-6, 1.0 - 1e-6)
            return -x * tf.math.log(p) - (1.0 - x) * tf.math.log(1.0 - p)
        return -tf.math.log(tf.clip_by_value(1.0 - psi, 1e-6, 1.0))

    def ours(psi):
        return bernoulli.nll(x, psi) if name == "nll" else bernoulli.kl_from_prior(psi)

    found = []
    for function in (ours, plain):
        variable = tf.Variable(psi)
        with tf.GradientTape() as tape:
            y = function(variable)
        found.append((y, tape.gradient(y, variable)))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_gradients_of_a_differentiable_gamma(rng):
    x = rng.random((5, 6, 1)).round().astype("float32")
    weights = rng.random((3, 5, 6, 1)).astype("float32")
    variables = [tf.Variable(rng.random((3, 5, 6, 1)), dtype="float32") for _ in "ab"]

    def plain(x, psi, pi):
        p = pi * (x * psi + (1.0 - x) * (1.0 - psi) + 1e-6)
        return p / tf.reduce_sum(p, 0, keepdims=True)

    found = []
    for gamma in (EStep("bernoulli", differentiable=True), plain):
        with tf.GradientTape() as tape:
            y = gamma(x, *(variable.value() for variable in variables))
        found.append([y, *tape.gradient(y, variables, weights)])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("known", [True, False], ids=["known", "dynamic"])
def test_parts_are_slices_with_their_gradients(rng, known):
    x = tf.constant(rng.standard_normal((2, 3, 9)), "float32")
    weights = [rng.standard_normal((2, 3, n)).astype("float32") for n in (4, 2, 3)]
    count = 2 if known else tf.constant(2)

    @tf.function
    def ours(x, count):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = axes.parts(x, (2 * count, count, count + 1))
        return [*y, tape.gradient(y, x, weights)]

    expected = [x[..., :4], x[..., 4:6], x[..., 6:], np.concatenate(weights, -1)]
    for mine, theirs in zip(ours(x, count), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_paper_s_networks_use_them():
    parts = networks.flying_shapes()
    kinds = {type(x) for part in ("encoder", "decoder") for x in parts[part].layers}
    assert {HalvingConv2D, UpsampleConv2D, LayerNorm, Dense} <= kinds
