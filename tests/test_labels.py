"""Scores of labels of every kind and of a gamma that is not finite, graphs included."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import adjusted_rand_score

from nem_tf import scores
from nem_tf.scores import AdjustedRandIndex, DistinctComponents, Purity
from nem_tf.scores.mutual_information import adjusted_mutual_information
from nem_tf.scores.tables import FURTHER
from tests import runs, tiny
from tests.test_metrics import (
    METRICS,
    SCORES,
    Echo,
    gamma_of,
    random_images,
    sklearn_scores,
)

OF_TABLE = (
    scores.ari_from_table,
    scores.distinct_from_table,
    scores.purity_from_table,
)
BIG = [0, 7, 1_000_000, 16_777_215, 2**31 - 2, 2**31 - 1]  # instead of 0, 1, ... 5


def crowded():
    """Five objects in four components; objects named as in 1..5 and as in BIG."""
    groups, winner = random_images(6, 7, 6, 5, 4, seed=9)
    groups[0] = 0  # no object
    groups[1] = np.where(groups[1] > 3, 0, groups[1])  # no more than three
    return groups, np.array(BIG)[groups], gamma_of(winner, 4)


def scores_of_tensors(groups, gamma, objects):
    """Every score that there is inside a graph: four times (N,)."""
    table = scores.contingency_table(groups, gamma, objects)
    found = [score(table) for score in OF_TABLE]
    return tf.stack([*found, scores.confidence(groups, gamma)])


def all_scores(groups, gamma, objects=3, mode="eager"):
    """The scores of NumPy arrays, in a graph of open shapes if told so: (4, N)."""
    if mode == "eager":
        return scores_of_tensors(groups, gamma, objects).numpy()
    kinds = [(array.ndim, array.dtype) for array in (groups, gamma)]
    table, *found = graph(objects, mode == "xla", *kinds)(groups, gamma)
    if len(found) == 1:
        found = [*(score(table) for score in OF_TABLE), *found]
    return tf.stack(found).numpy()


@functools.cache
def graph(objects, jit_compile, groups, gamma):
    """The table and the scores, for groups and gamma of a rank and type.

    Only what is made of the labels themselves knows their type: the scores of a table
    are in the graphs of int32 alone.
    """
    whole = groups[1] == np.int32

    def found(groups, gamma):
        table = scores.contingency_table(groups, gamma, objects)
        of_table = [score(table) for score in OF_TABLE] if whole else []
        return table, *of_table, scores.confidence(groups, gamma)

    specs = [
        tf.TensorSpec((None,) * groups[0], groups[1]),
        tf.TensorSpec((*[None] * (gamma[0] - 1), 1), gamma[1]),
    ]
    return tf.function(found, input_signature=specs, jit_compile=jit_compile)


MODES = ["eager", "graph", "xla"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("objects", [1, 3, 5])
def test_objects_above_those_of_a_model_are_scored(objects, mode):
    groups, big, gamma = crowded()
    expected = all_scores(groups, gamma, 5)
    without = all_scores(np.where(groups > 3, 0, groups), gamma, 5)
    assert np.abs(without - expected)[:3].max(axis=1).min() > 1e-3
    for labels in (groups, big):
        found = all_scores(labels.astype("int32"), gamma, objects, mode)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_two_far_labels_are_two_objects(mode):
    near = np.array([[[1, 1, 2, 2, 2, 0]]], "int32")
    far = np.where(near == 2, 1_000_000, near)
    gamma = gamma_of(np.array([[[0, 0, 1, 1, 0, 2]]]), 3)
    found = all_scores(far, gamma, mode=mode)
    np.testing.assert_array_equal(found, all_scores(near, gamma))


def test_ari_of_big_labels_is_scikit_learns():
    groups, winner = random_images(20, 9, 8, 7, 5, seed=10)
    names = np.array([0, *np.random.default_rng(0).integers(9, 2**62, 7)])
    ari = scores.adjusted_rand_index(names[groups], gamma_of(winner, 5))
    expected = sklearn_scores(adjusted_rand_score, groups, winner)
    np.testing.assert_allclose(ari, expected, atol=1e-5)


WHOLE = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
LARGEST = {"float16": 2**11, "float32": 2**24, "float64": 2**53}
CASES = [(dtype, mode) for mode in MODES[:2] for dtype in [*WHOLE, *LARGEST]]
CASES += [(dtype, "xla") for dtype in ("uint8", "uint32", "int64", "float32")]


@pytest.mark.parametrize(("dtype", "mode"), CASES)
def test_every_type_of_labels(dtype, mode):
    groups, _, gamma = crowded()
    largest = LARGEST[dtype] if dtype in LARGEST else np.iinfo(dtype).max
    if mode != "eager":
        largest = min(largest, 2**63 - 1)
    names = [0, 1, largest // 3, largest // 2, largest - 1, largest]
    labels = np.array(names, dtype)[groups]
    found = all_scores(labels, gamma, 3, mode)
    np.testing.assert_allclose(found, all_scores(groups, gamma), atol=1e-6)
    if dtype in WHOLE:
        found = adjusted_mutual_information(labels, gamma)
        expected = adjusted_mutual_information(groups, gamma)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_labels_that_a_graph_cannot_hold_are_never_silent():
    groups, _, gamma = crowded()
    labels = groups.astype("uint64")
    labels[2] = np.where(groups[2] == 5, np.uint64(2**63), labels[2])
    expected = all_scores(groups, gamma)
    expected[:, 2] = np.nan
    found = all_scores(labels, gamma, 3, "graph")
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_is_one_object(mode):
    groups, _, gamma = crowded()
    mask, numbers = groups > 2, (groups > 2).astype(int)
    found, expected = all_scores(mask, gamma, mode=mode), all_scores(numbers, gamma)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    found = adjusted_mutual_information(mask, gamma)
    np.testing.assert_array_equal(found, adjusted_mutual_information(numbers, gamma))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["int8", "int64", "float32"])
def test_negative_labels_are_not_scored(dtype, mode):
    groups, _, gamma = crowded()
    below = np.arange(-5, 1)[:, None, None]
    labels = np.where(groups == 0, below, groups).astype(dtype)
    found = all_scores(labels, gamma, 3, mode)
    np.testing.assert_allclose(found, all_scores(groups, gamma), atol=1e-6)
    found = adjusted_mutual_information(labels.astype(int), gamma)
    np.testing.assert_array_equal(found, adjusted_mutual_information(groups, gamma))


@pytest.mark.parametrize("broken", [1.5, np.nan, np.inf])
def test_labels_that_are_no_whole_numbers_are_refused(broken):
    groups, _, gamma = crowded()
    labels = groups.astype("float32")
    labels[2, 1, 1] = broken
    for score in SCORES[:4]:
        with pytest.raises(ValueError, match=f"groups: expected whole.* {broken:g}; "):
            score(labels, gamma)
    with pytest.raises(ValueError, match="groups: expected whole numbers, received <U"):
        scores.purity(groups.astype(str), gamma)
    if np.isfinite(broken):
        expected = all_scores(groups, gamma)
        expected[:, 2] = np.nan
        found = all_scores(labels, gamma, mode="graph")
        np.testing.assert_allclose(found, expected, atol=1e-6)


def many(objects):
    """An image of that many objects in three components, one of three objects."""
    labels = np.arange(1, objects + 1).repeat(2)
    winner = np.tile(np.arange(2 * objects) // 2 % 3, (2, 1, 1))
    groups = 1000 * np.stack([labels, np.minimum(labels, 3)])[:, None]
    return groups.astype("int32"), gamma_of(winner, 3)


@pytest.mark.parametrize("mode", MODES)
def test_more_labels_than_columns_are_never_silent(mode):
    room = many(FURTHER)
    found, expected = all_scores(*room, mode=mode), all_scores(*room)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    beyond = many(FURTHER + 1)
    expected = all_scores(*beyond)  # without a graph there is no limit
    assert np.isfinite(expected).all()
    if mode != "eager":
        expected[:3, 0] = np.nan
    found = all_scores(*beyond, mode=mode)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_gamma_that_is_not_finite_is_refused(broken):
    groups, _, gamma = crowded()
    gamma[2, 1, groups[2] > 0] = broken
    gamma[4, 0, groups[4] > 0] = broken
    found = "NaN" if np.isnan(broken) else "infinity"
    message = f"gamma: expected finite numbers, received {found} in 2 of 6 images; "
    clips = groups.reshape(2, 3, 7, 6), gamma.reshape(2, 3, 4, 7, 6, 1)
    for score in SCORES:
        for arrays in ((groups, gamma), clips):
            with pytest.raises(ValueError, match=message) as error:
                score(*arrays)
            assert "\n" not in str(error.value) and "an earlier" in str(error.value)
    for score in SCORES[:4]:
        with pytest.raises(ValueError, match=message):
            score(tf.constant(groups), tf.constant(gamma))


def test_all_of_gamma_is_nan():
    groups, gamma = np.ones((1, 4, 4), int), np.full((1, 3, 4, 4, 1), np.nan)
    for score in SCORES:
        with pytest.raises(ValueError, match="received NaN in 1 of 1 images"):
            score(groups, gamma)


@pytest.mark.parametrize("mode", MODES)
def test_gamma_counts_where_something_is_labelled(mode):
    groups, _, gamma = crowded()
    expected = all_scores(groups, gamma)
    for image, component in enumerate([0, 1, 2, 3, 0, 1]):
        gamma[image, component][groups[image] == 0] = np.nan
    found = all_scores(groups, gamma, mode=mode)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if mode == "eager":
        return
    for component, broken in enumerate([np.nan, np.inf, -np.inf]):
        gamma[2 + component, component][groups[2 + component] > 3] = broken
        expected[:, 2 + component] = np.nan
    found = all_scores(groups, gamma, mode=mode)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_evaluate_counts_all_objects(jit_compile):
    groups, big, gamma = crowded()
    labelled = (groups > 0).any(axis=(1, 2))  # the others do not count
    expected = all_scores(groups, gamma)[:, labelled].mean(axis=1)
    model = Echo()
    scored = [metric(objects=3) for metric in METRICS]
    model.compile(metrics=scored, jit_compile=jit_compile)

    def evaluate(labels):
        model.reset_metrics()
        logs = model.evaluate(gamma, labels, batch_size=3, return_dict=True, verbose=0)
        return [logs[metric.name] for metric in scored]

    for labels in (groups, big):
        np.testing.assert_allclose(evaluate(labels), expected[:3], atol=1e-6)
    gamma[5] = np.nan
    assert np.isnan(evaluate(groups)).all()


ON_JAX = """
import warnings
warnings.simplefilter("error", UserWarning)
import jax, numpy as np, sys
from nem_tf import scores
from nem_tf.scores import AdjustedRandIndex, DistinctComponents, Purity

with np.load(sys.argv[1]) as arrays:
    groups, big, gamma, expected = (arrays[f"arr_{i}"] for i in range(4))

def each(groups, gamma):
    table = scores.contingency_table(groups, gamma, 3)
    kinds = scores.ari_from_table, scores.distinct_from_table, scores.purity_from_table
    return [*(score(table) for score in kinds), scores.confidence(groups, gamma)]

compiled = jax.jit(each)
far = np.where(groups > 0, 2**40 + 2**32 * groups, 0)  # JAX has 32 bits for a label
for labels in (groups, big, far):
    np.testing.assert_allclose(each(labels, gamma), expected, atol=1e-6)
    constant = jax.jit(lambda gamma: each(labels, gamma))(gamma)
    np.testing.assert_allclose(constant, expected, atol=1e-6)
for labels in (groups.astype("int32"), big.astype("int32"), 2 * big.astype("uint32")):
    np.testing.assert_allclose(compiled(labels, gamma), expected, atol=1e-6)
gamma[2] = np.nan
expected[:, 2] = np.nan
found = compiled(groups.astype("int32"), gamma)
np.testing.assert_allclose(found, expected, atol=1e-6)
for score in (scores.purity, scores.confidence):
    try:
        score(groups, gamma)
    except ValueError as error:
        assert "received NaN in 1 of 6 images" in str(error)
    else:
        raise AssertionError("not refused")
empty = scores.adjusted_rand_index(groups[:0], gamma[:0])
assert empty.shape == (0,)
"""


def test_on_jax(tmp_path):
    pytest.importorskip("jax")
    groups, big, gamma = crowded()
    np.savez(tmp_path / "arrays.npz", groups, big, gamma, all_scores(groups, gamma))
    runs.run(ON_JAX, tmp_path / "arrays.npz", **runs.on_jax())


@pytest.mark.parametrize("kind", [AdjustedRandIndex, Purity, DistinctComponents])
def test_images_without_labels_do_not_count(rng, kind):
    groups = rng.integers(1, 4, (3, 2, 5, 6))
    gamma = rng.random((3, 2, 4, 5, 6, 1)).astype("float32")
    whole, half = kind(3), kind(3)
    whole.update_state(groups[:2], gamma[:2])
    partly = groups.copy()
    partly[2] = 0
    half.update_state(partly, gamma)
    assert float(half.result()) == pytest.approx(float(whole.result()), rel=1e-6)
    half.reset_state()
    half.update_state(0 * groups, gamma)
    assert np.isnan(float(half.result()))
    weighted = kind(3)
    weighted.update_state(partly, gamma, np.array([1.0, 0.0, 1.0]))
    half.reset_state()
    half.update_state(groups[:1], gamma[:1])
    assert float(weighted.result()) == pytest.approx(float(half.result()), rel=1e-6)


@pytest.mark.parametrize("form", ["arrays", "dataset"])
def test_evaluate_says_nothing_good_about_labels_that_are_none(rng, form):
    nem, batch = tiny.model("n-em"), tiny.batch(rng)
    clips = {**batch, "groups": 0 * batch["groups"]}
    clips = clips if form == "arrays" else tf.data.Dataset.from_tensors(clips)
    found = nem.evaluate(clips, verbose=0, return_dict=True)
    for name in ("ari", "purity", "distinct_components"):
        assert np.isnan(found.get(name, np.nan))
    assert (form == "arrays") == ("ari" not in found)
    assert np.isfinite(found["loss"])
