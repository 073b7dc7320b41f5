"""The random start: |N(0, 1)| draws over K, a function of each clip's seed."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from nem_tf import draws
from nem_tf.random_start import random_start, sides
from tests import runs
from tests.tiny import C, H, K, W

ROOT = pathlib.Path(__file__).parents[1]


def start(seeds, components=K):
    return np.asarray(random_start(np.asarray(seeds), components, (H, W, C)))


def test_weights_sum_to_one_and_one_component_has_all():
    pi = start(range(5))
    assert pi.shape == (5, K, H, W, 1) and pi.dtype == np.float32
    assert pi.min() >= 0.0
    np.testing.assert_allclose(pi.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(start(range(5), 1), 1.0)


def test_a_clips_start_depends_on_its_seed_alone():
    together = start([3, 2**31 - 1, 7])
    np.testing.assert_array_equal(together[1], start([2**31 - 1])[0])
    traced = tf.function(lambda seed: random_start(seed, K, (H, W, C)))
    np.testing.assert_array_equal(traced(tf.constant([3, 2**31 - 1, 7])), together)
    assert np.abs(together[0] - together[2]).mean() > 0.1


def test_draws_are_distributed_as_the_originals(rng):
    """Quantiles over many clips, and no likeness between seeds, pixels, components."""
    pi = start(range(3000))
    draws = np.abs(rng.standard_normal(pi.shape))
    expected = draws / draws.sum(axis=1, keepdims=True)
    at = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    np.testing.assert_allclose(
        np.quantile(pi, at), np.quantile(expected, at), atol=0.003
    )
    first = pi[:, 0].reshape(3000, -1)  # of component 0: seeds x pixels
    for samples in (first[:200], first.T):
        likeness = np.corrcoef(samples)
        np.fill_diagonal(likeness, 0.0)
        assert np.abs(likeness).mean() < 1.0 / np.sqrt(samples.shape[1])
    halves = np.corrcoef(pi[:-1].ravel(), pi[1:].ravel())[0, 1]  # seeds in a row
    assert abs(halves) < 0.01


def test_other_seeds_are_refused():
    for seeds in ([-1], [2**31], [0.5], 3, [[1]]):
        with pytest.raises(ValueError, match="seed: expected integers from 0 to 2"):
            start(seeds)


def test_jax_draws_the_same(tmp_path):
    pytest.importorskip("jax")
    script = (
        "import sys, numpy as np\n"
        "from nem_tf.random_start import random_start\n"
        f"pi = random_start(np.array([3, 5]), {K}, ({H}, {W}, {C}))\n"
        "assert 'jax' in type(pi).__module__, type(pi)\n"
        "np.save(sys.argv[1], pi)"
    )
    path = tmp_path / "pi.npy"
    runs.run(script, path, **runs.on_jax())
    np.testing.assert_allclose(np.load(path), start([3, 5]), atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint32", "int32"])
@pytest.mark.parametrize("compiled", [False, True])
def test_words_are_the_same_bits_signed_and_unsigned(rng, dtype, compiled):
    edges = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    seeds = np.concatenate([edges, rng.integers(0, 2**32, 200)]).astype("uint32")
    words = tf.function(lambda seed: draws.words(seed, 50), jit_compile=compiled)
    found = words(tf.constant(seeds.view(dtype)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.numpy().view("uint32"), lowbias32(seeds, 50))


def lowbias32(seeds, count):
    """The words of `nem_tf.draws` in 64 bits, where nothing overflows unseen."""

    def mix(word):
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            word = (word ^ (word >> shift)) * factor % 2**32
        return word ^ (word >> 16)

    golden = 0x9E3779B9
    start = mix(seeds.astype("uint64") ^ golden)
    counter = np.arange(1, count + 1, dtype="uint64") * golden
    return mix((start[:, None] + counter) % 2**32).astype("uint32")


def test_a_seed_of_32_bits_has_a_start_of_its_own():
    seeds = np.array([5, 2**31 + 5, 2**32 - 1], "uint32")  # as further starts have them
    pi = np.asarray(random_start(tf.constant(seeds), K, (H, W, C)))
    np.testing.assert_array_equal(pi[:1], start([5]))
    drawn = np.abs(np.asarray(draws.normals(tf.constant(seeds), K * H * W)))
    drawn = drawn.reshape(3, K, H, W, 1)
    np.testing.assert_array_equal(pi, drawn / tf.reduce_sum(drawn, 1, True))


def test_other_runtimes_have_all_that_is_in_the_graph():
    """OpenVINO computes uint32 as int32; LiteRT has no `BitwiseAnd`."""
    traced = tf.function(lambda seed: sides(random_start(seed, K, (H, W, C))))
    graph = traced.get_concrete_function(tf.TensorSpec([None], tf.int32)).graph
    for operation in graph.get_operations():
        dtypes = {tensor.dtype for tensor in (*operation.inputs, *operation.outputs)}
        assert dtypes <= {tf.float32, tf.int32, tf.bool}, operation
        assert operation.type not in ("BitwiseAnd", "BitwiseOr", "Invert"), operation


def test_each_component_begins_with_one_side():
    pi = np.asarray(sides(start(range(300))))
    assert pi.shape == (300, K, H, W, 1) and pi.dtype == np.float32
    np.testing.assert_allclose(pi.sum(axis=1), 1.0, atol=1e-6)
    y, x = np.mgrid[:H, :W] - np.array([(H - 1) / 2, (W - 1) / 2])[:, None, None]
    slopes = np.log(pi[..., 0])
    slopes -= slopes.mean(axis=1, keepdims=True)  # linear in x and y
    down, across = (slopes * y).sum((2, 3)), (slopes * x).sum((2, 3))
    angles = np.arctan2(down / (y**2).sum() * H, across / (x**2).sum() * W)  # (B, K)
    turns = np.diff(np.unwrap(angles, axis=1), axis=1)
    np.testing.assert_allclose(turns, 2 * np.pi / K, atol=1e-3)
    assert np.abs(np.exp(1j * angles[:, 0]).mean()) < 0.15  # every angle alike


def test_sides_turn_with_the_frame_and_leave_what_leans_nowhere(rng):
    pi = rng.random((3, 2, 6, 6, 1)).astype("float32")
    pi /= pi.sum(axis=1, keepdims=True)
    turned = np.rot90(np.asarray(sides(pi)), axes=(2, 3))
    np.testing.assert_allclose(
        sides(np.rot90(pi, axes=(2, 3)).copy()), turned, atol=1e-4
    )
    for even in (np.full((1, 4, 6, 6, 1), 0.25, "float32"), start([5], 1)):
        np.testing.assert_allclose(sides(even), even, atol=0.01)
