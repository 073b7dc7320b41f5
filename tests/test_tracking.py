"""The layers that find a thing again, move its place on, and draw it there."""

import numpy as np
import pytest
import tensorflow as tf

from nem_tf import RNNEMCell, networks
from nem_tf.cells import ThetaEncoder
from nem_tf.networks.places import BLANK
from nem_tf.networks.tracking import (
    ANYWHERE,
    FAINT,
    PatchAtPlace,
    TrackedFilters,
    TrackingEncoder,
    TrackingRecurrence,
)
from tests.test_places import assert_same, plain_filters


def softmax(x):
    return np.asarray(tf.nn.softmax(x))


def places_of(rng, count, length):
    return rng.dirichlet(np.ones(length), count).astype("float32")


def set_weights(layer, rng):
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])


def plain_tracking(images, theta, kernel, scale, trust, margin):
    """The equations of `TrackedFilters`, with the gradients that TensorFlow derives."""
    sides = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
    wide = tf.pad(images, sides)
    r = tf.nn.conv2d(wide, kernel, 1, "VALID")
    mean, variance = tf.nn.moments(r, (1, 2), keepdims=True)
    flat = tf.reshape(scale * (r - mean) / tf.sqrt(variance + BLANK), (len(images), -1))
    seen = tf.reduce_sum(tf.reshape(tf.nn.softmax(flat), r.shape), 3)
    down, across = seen.shape[1:]
    p, q = theta[:, -down - across : -across], theta[:, -across:]
    expected = p[:, :, None] * q[:, None]
    place = trust[0] * tf.math.log(seen + FAINT)
    place += trust[1] * tf.math.log(expected + ANYWHERE)
    place = tf.nn.softmax(tf.reshape(place, (len(images), -1)))
    place = tf.reshape(place, seen.shape)
    height, width = kernel.shape[:2]
    glimpse = 0.0
    for x, y in np.ndindex(down, across):
        window = wide[:, x : x + height, y : y + width]
        glimpse += place[:, x, y][:, None, None, None] * window
    glimpse = tf.transpose(glimpse, (0, 1, 3, 2))  # (N, h, C, w)
    parts = [
        plain_filters(images, kernel, scale, margin),
        tf.reshape(glimpse, (len(images), -1)),
        tf.reduce_sum(place, 2),
        tf.reduce_sum(place, 1),
    ]
    return tf.concat(parts, 1)


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "prepared"])
@pytest.mark.parametrize(
    ("size", "margin", "channels"), [((3, 4), 0, 1), ((4, 2), 2, 3)]
)
def test_filters_weigh_what_they_find_with_what_was_expected(
    rng, size, margin, channels, inside
):
    layer = TrackedFilters(5, size, margin)
    layer = TrackedFilters.from_config(layer.get_config())
    layer.build((None, 7, 9, channels))
    assert layer.block == layer.places[1]  # windows are of whole rows
    set_weights(layer, rng)
    images = tf.constant(rng.standard_normal((2, 7, 9, channels)), "float32")
    expected = [places_of(rng, 2, length) for length in layer.places]
    theta = tf.constant(np.concatenate([rng.random((2, 6)), *expected], 1), "float32")
    weights = [weight.value for weight in layer.weights]
    assert_same(
        layer,
        (images, theta),
        lambda: plain_tracking(images, theta, *weights, margin),
        inside,
    )


def test_nothing_expected_is_the_same_everywhere(rng):
    layer = TrackedFilters(2, (3, 3))
    layer.build((None, 6, 6, 1))
    set_weights(layer, rng)
    layer.trust.assign([1.0, 1.0])
    images = rng.random((3, 6, 6, 1)).astype("float32")
    nowhere = np.zeros((3, 16), "float32")
    evenly = np.full((3, 16), 1 / 8, "float32")
    np.testing.assert_allclose(layer(images, nowhere), layer(images, evenly), atol=1e-5)
    surely = np.eye(8, dtype="float32")[[1, 2, 3]]
    there = np.asarray(layer(images, np.concatenate([surely, surely], 1)))
    before = np.asarray(layer(images, nowhere))
    rows = np.arange(3), [1, 2, 3]
    assert (there[:, -16:-8][rows] > before[:, -16:-8][rows] + 1e-3).all()


def test_the_encoder_hands_on_what_is_there_and_where(rng):
    layer = TrackingEncoder(3, (2, 4), features=5)
    layer = TrackingEncoder.from_config(layer.get_config())
    layer.build((None, 6, 7, 2))
    set_weights(layer, rng)
    images = rng.random((3, 6, 7, 2)).astype("float32")
    theta = rng.random((3, 24)).astype("float32")
    found = np.asarray(layer(images, theta))
    down, across = layer.find.places
    kept = 2 * 4 * 2 + down + across
    np.testing.assert_allclose(found[:, 5:], layer.find(images, theta)[:, -kept:])
    np.testing.assert_allclose(found[:, -across:].sum(1), 1, atol=1e-5)
    assert found.shape == layer.compute_output_shape((3, 6, 7, 2))
    assert isinstance(layer, ThetaEncoder)


def test_a_place_is_moved_by_the_displacements(rng):
    layer = TrackingRecurrence(4, (5, 6), features=3, reach=1)
    layer = TrackingRecurrence.from_config(layer.get_config())
    layer.build((None, 18), (None, 15))
    assert layer.units == 15
    set_weights(layer, rng)
    found = np.concatenate([places_of(rng, 2, 5), places_of(rng, 2, 6)], 1)
    features = np.concatenate([rng.random((2, 7)), found], 1).astype("float32")
    theta = rng.random((2, 15)).astype("float32")
    read, carried = (np.asarray(x) for x in layer(features, theta))
    np.testing.assert_array_equal(read, carried)
    h, _ = layer.cell(features, [theta[:, :4]])
    np.testing.assert_allclose(read[:, :4], h, atol=1e-6)
    motion = np.asarray(layer.motion(layer.dense(h)))
    begin = 0
    for p, after in ((found[:, :5], read[:, 4:9]), (found[:, 5:], read[:, 9:])):
        length = p.shape[1]
        logit, by, own = np.split(motion[:, begin : begin + 4 + length], [1, 4], 1)
        begin += 4 + length
        by, own, g = softmax(2 * by), softmax(2 * own), 1 / (1 + np.exp(2 - logit))
        moved = np.stack(
            [np.convolve(*pair)[1:-1] for pair in zip(p, by[:, ::-1], strict=True)]
        )
        moved /= moved.sum(1, keepdims=True)
        np.testing.assert_allclose(after, g * own + (1 - g) * moved, atol=1e-5)
    np.testing.assert_allclose(read[:, 4:9].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(("margin", "channels"), [(0, 1), (2, 3)])
def test_a_patch_is_drawn_at_its_places(rng, margin, channels):
    layer = PatchAtPlace((2, 3), (4, 6, channels), margin, background=-3.0)
    layer = PatchAtPlace.from_config(layer.get_config())
    down, across = 3 + 2 * margin, 4 + 2 * margin
    layer.build((None, 7 + down + across))
    assert (np.asarray(layer.bias) == -3.0).all()
    set_weights(layer, rng)
    h = rng.standard_normal((5, 7)).astype("float32")
    p, q = places_of(rng, 5, down), places_of(rng, 5, across)
    patches = np.asarray(layer.what(h)).reshape(5, channels, 2, 3)
    wide = np.zeros((5, 4 + 2 * margin, 6 + 2 * margin, channels))
    for row, column in np.ndindex(down, across):
        share = (p[:, row] * q[:, column])[:, None, None, None]
        drawn = share * np.moveaxis(patches, 1, -1)
        wide[:, row : row + 2, column : column + 3] += drawn
    expected = wide[:, margin : margin + 4, margin : margin + 6]
    expected += np.asarray(layer.bias)
    x = np.concatenate([h, p, q], 1)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == expected.shape


def test_a_patch_larger_than_the_frame_is_refused():
    with pytest.raises(ValueError, match=r"size: expected at most \(4, 5\)"):
        PatchAtPlace((5, 5), (4, 5, 1), margin=0)


def test_noise_is_on_what_is_not_the_place(rng):
    parts = networks.tracking(
        filters=2, object_size=(2, 2), features=6, units=5, size=8
    )
    cell = RNNEMCell(**parts, theta_noise=0.5)
    cell.build()
    assert cell.units == 5 + 2 * 10
    theta = rng.random((6, cell.units)).astype("float32")
    noisy = np.asarray(cell.with_noise(theta, np.arange(2).astype("uint32")))
    assert (noisy[:, :5] != theta[:, :5]).all()
    np.testing.assert_array_equal(noisy[:, 5:], theta[:, 5:])
