"""Noise: its rate, its range, and what it leaves alone."""

import numpy as np
import pytest
import tensorflow as tf

from nem_tf.data import keys, noise

KEYS = keys.clip_keys(0, "train", keys.NOISE, tf.range(5))
U = tf.reshape(keys.halfwords(KEYS, 39_999), (5, 39_999, 1))


def apply(kind, x, rate, mapped):
    if not mapped:
        return noise.KINDS[kind](x, U, rate).numpy()
    pairs = tf.data.Dataset.from_tensors((x, U))
    pairs = pairs.map(lambda x, u: noise.KINDS[kind](x, u, rate))
    return next(pairs.as_numpy_iterator())


@pytest.mark.parametrize("mapped", [False, True], ids=["direct", "map"])
@pytest.mark.parametrize("kind", noise.KINDS)
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 1.0])
def test_rate(kind, rate, mapped):
    x = tf.fill(U.shape, 0.25)
    noisy = apply(kind, x, rate, mapped)
    assert np.mean(noisy != x) == pytest.approx(rate, abs=0.004)
    assert noisy.min() >= 0 and noisy.max() <= 1


def test_bit_flip_turns_zero_to_one_and_back():
    x = tf.cast(U % 2, tf.float32)
    noisy = noise.bit_flip(x, U, 0.2).numpy()
    assert set(np.unique(noisy)) == {0.0, 1.0}
    np.testing.assert_array_equal(noise.bit_flip(x, U, 1.0), 1 - x)


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_masked_uniform_draws_from_the_unit_interval(rate):
    x = tf.fill(U.shape, 2.0)  # a value that noise never has
    noisy = noise.masked_uniform(x, U, rate).numpy()
    drawn = np.sort(noisy[noisy != 2])
    uniform = (np.arange(len(drawn)) + 0.5) / len(drawn)
    assert np.abs(drawn - uniform).max() < 0.01  # Kolmogorov-Smirnov


def test_keys_differ_in_every_part():
    reference = keys.clip_keys(0, "train", keys.NOISE, [7], 0).numpy()
    others = [
        keys.clip_keys(1, "train", keys.NOISE, [7], 0),
        keys.clip_keys(0, "test", keys.NOISE, [7], 0),
        keys.clip_keys(0, "train", keys.PI, [7], 0),
        keys.clip_keys(0, "train", keys.NOISE, [8], 0),
        keys.clip_keys(0, "train", keys.NOISE, [7], 1),
    ]
    assert len({key.numpy().tobytes() for key in others} | {reference.tobytes()}) == 6


def test_clips_do_not_share_draws():
    u = U.numpy()[..., 0].astype(float)
    correlation = np.corrcoef(u) - np.eye(5)
    assert np.abs(correlation).max() < 0.03
