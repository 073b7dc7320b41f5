"""Random numbers as functions of a seed: how they are distributed, and of what."""

import numpy as np
import tensorflow as tf

from nem_tf import draws


def seeds(*numbers):
    return tf.constant(np.array(numbers, "uint32"))


def test_normals_are_normal_and_unlike_from_seed_to_seed():
    x = np.asarray(draws.normals(seeds(*range(400)), 500))
    assert x.shape == (400, 500) and x.dtype == np.float32
    at = (0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999)
    normal = (-3.090, -1.645, -0.674, 0.0, 0.674, 1.645, 3.090)
    np.testing.assert_allclose(np.quantile(x, at), normal, atol=0.05)
    likeness = np.corrcoef(x)
    np.fill_diagonal(likeness, 0.0)
    assert np.abs(likeness).mean() < 1.0 / np.sqrt(500)


def test_one_seed_becomes_many(rng):
    given = rng.integers(0, 2**32, 50)
    made = np.asarray(draws.spread(seeds(*given), 40))
    assert made.shape == (50 * 40,) and len(set(made)) == len(made)
    alone = np.asarray(draws.spread(seeds(given[7]), tf.constant(40)))
    np.testing.assert_array_equal(made[7 * 40 : 8 * 40], alone)


def test_a_fingerprint_tells_frames_apart_in_any_batch(rng):
    frames = rng.random((6, 8, 12, 2)).astype("float32")
    frames[1] = frames[0]
    frames[1, 3, 5, 1] += 1 / 255  # one pixel, by one level of 8 bits
    frames[2] = frames[0][::-1]
    frames[3], frames[4] = 0.0, 1.0
    found = np.asarray(draws.fingerprint(tf.constant(frames)))
    assert found.shape == (6,) and len(set(found)) == 6
    binary = rng.random((3000, 8, 12, 1)) < 0.3
    assert len(set(np.asarray(draws.fingerprint(tf.constant(binary))))) == 3000
    turned = np.asarray(draws.fingerprint(tf.constant(frames[::-1].copy())))
    np.testing.assert_array_equal(turned, found[::-1])
