"""Scores of gamma: against scikit-learn, image by image, and inside a graph."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from nem_tf import scores
from nem_tf.scores import tables
from nem_tf.scores.mutual_information import adjusted_mutual_information

AVERAGES = ["max", "arithmetic", "geometric", "min"]
METRICS = [scores.AdjustedRandIndex, scores.DistinctComponents, scores.Purity]


def gamma_of(winner, components):
    """Integers (..., H, W) -> a gamma (..., K, H, W, 1) that is largest there."""
    one_hot = np.eye(components, dtype="float32")[winner]  # (..., H, W, K)
    gamma = (one_hot + 0.1) / (1.0 + 0.1 * components)
    return np.moveaxis(gamma, -1, -3)[..., None]


def random_images(count, height, width, objects, components, seed):
    """Labels and winners, (count, H, W) each, from chance to nearly equal."""
    rng = np.random.default_rng(seed)
    shape = (count, height, width)
    groups = rng.integers(0, objects + 1, shape)
    winner = rng.integers(0, components, shape)
    agree = rng.random(shape) < rng.random((count, 1, 1))
    return groups, np.where(agree, groups % components, winner)


def sklearn_scores(score, groups, winner, **kwargs):
    """A scikit-learn score of the labelled pixels of every image: (N, H, W) -> (N,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "looks like a regression target"
        return np.array(
            [
                score(labels[labels > 0], found[labels > 0], **kwargs)
                for labels, found in zip(groups, winner, strict=True)
            ]
        )


# (height, width, objects, components): more of either, one of either, tiny, large
SIZES = [(5, 6, 3, 4), (6, 5, 4, 3), (5, 6, 1, 3), (5, 6, 3, 1), (1, 2, 2, 2)]
SIZES += [(2, 2, 4, 5), (9, 8, 7, 8), (64, 64, 5, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_ari_and_ami_are_those_of_scikit_learn(size):
    groups, winner = random_images(25, *size, seed=sum(size))
    gamma = gamma_of(winner, components=size[-1])
    ari = scores.adjusted_rand_index(groups, gamma)
    expected = sklearn_scores(adjusted_rand_score, groups, winner)
    np.testing.assert_allclose(ari, expected, rtol=0, atol=1e-5)
    # With as many clusters as pixels "min" is 0 / 0: scikit-learn returns rounding.
    for average in AVERAGES[: 3 if size[0] * size[1] < 5 else 4]:
        ami = adjusted_mutual_information(groups, gamma, average)
        assert ami.shape == (25,) and ami.dtype == np.float64
        expected = sklearn_scores(
            adjusted_mutual_info_score, groups, winner, average_method=average
        )
        np.testing.assert_allclose(ami, expected, rtol=0, atol=1e-9)


# labels and winners of one row of pixels, the score that both definitions imply
DEGENERATE = {
    "no labelled pixel": ([0, 0, 0], [0, 1, 2], 1.0),
    "one labelled pixel": ([0, 2, 0], [0, 1, 2], 1.0),
    "one object, one component": ([1, 1, 0, 1], [2, 2, 0, 2], 1.0),
    "one object, several components": ([1, 1, 1, 0], [0, 1, 1, 2], 0.0),
    "several objects, one component": ([1, 2, 2, 0], [0, 0, 0, 1], 0.0),
    "one object, all pixels apart": ([1, 1, 1], [0, 1, 2], 0.0),
    "all pixels apart on both sides": ([1, 2, 3], [2, 0, 1], 1.0),
    "equal up to names": ([1, 1, 3, 3, 2], [2, 2, 0, 0, 1], 1.0),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_partitions(case):
    labels, found, expected = DEGENERATE[case]
    groups, winner = np.array([labels]), np.array([found])
    gamma = gamma_of(winner, components=3)
    assert float(scores.adjusted_rand_index(groups, gamma)) == expected
    images = groups[None], winner[None]
    assert sklearn_scores(adjusted_rand_score, *images) == expected
    for average in AVERAGES:
        ami = adjusted_mutual_information(groups, gamma, average)
        np.testing.assert_allclose(ami, expected, atol=1e-9)


def test_min_is_one_when_one_side_refines_the_other_into_single_pixels():
    groups = np.array([[1, 1, 2, 2]])
    gamma = gamma_of(np.array([[0, 1, 2, 3]]), components=4)
    assert adjusted_mutual_information(groups, gamma, "min") == 1.0


def test_ari_stays_exact_when_nearly_all_pixels_are_one_object():
    groups = np.ones((1, 64, 64), int)
    groups[:, 0, :2] = 2
    winner = np.zeros((1, 64, 64), int)
    winner[:, 0, 1:3] = 1
    ari = scores.adjusted_rand_index(groups, gamma_of(winner, 2))
    expected = sklearn_scores(adjusted_rand_score, groups, winner)
    np.testing.assert_allclose(ari, expected, rtol=0, atol=1e-5)


def test_names_of_objects_and_components_do_not_matter():
    groups, winner = random_images(7, 5, 6, 3, 4, seed=1)
    gamma = gamma_of(winner, components=4)
    renamed = np.array([0, 3, 1, 2])[groups], gamma[:, [2, 0, 3, 1]]
    for score in (
        scores.adjusted_rand_index,
        scores.purity,
        scores.confidence,
        adjusted_mutual_information,
    ):
        np.testing.assert_allclose(score(*renamed), score(groups, gamma), atol=1e-6)


def test_leading_axes():
    groups, winner = random_images(6, 5, 4, 3, 4, seed=2)
    gamma = gamma_of(winner, components=4)
    for score in SCORES:
        flat = np.asarray(score(groups, gamma))
        clips = score(groups.reshape(2, 3, 5, 4), gamma.reshape(2, 3, 4, 5, 4, 1))
        np.testing.assert_array_equal(clips, flat.reshape(2, 3))
        one = np.asarray(score(groups[4], gamma[4]))
        assert one.shape == ()
        np.testing.assert_allclose(one, flat[4], atol=1e-6)


SCORES = (
    scores.adjusted_rand_index,
    scores.distinct_components,
    scores.purity,
    scores.confidence,
    adjusted_mutual_information,
)


@pytest.mark.parametrize("score", SCORES)
def test_no_image_at_all(score):
    for leading in ((0,), (2, 0), (0, 3)):
        groups = np.zeros((*leading, 5, 6), int)
        gamma = np.zeros((*leading, 4, 5, 6, 1), "float32")
        assert np.shape(score(groups, gamma)) == leading


@pytest.mark.parametrize("score", SCORES)
def test_images_without_a_pixel(score):
    found = score(np.zeros((2, 0, 6), int), np.zeros((2, 4, 0, 6, 1), "float32"))
    np.testing.assert_array_equal(found, [score is not scores.distinct_components] * 2)


def test_contingency_table_counts_pixels():
    groups, winner = random_images(3, 5, 6, 3, 4, seed=3)
    gamma = gamma_of(winner, components=4)
    expected = np.zeros((3, 4, 3), int)
    for image, label, found in zip(
        np.arange(3).repeat(30), groups.ravel(), winner.ravel(), strict=True
    ):
        if label > 0:
            expected[image, found, label - 1] += 1
    np.testing.assert_array_equal(scores.contingency_table(groups, gamma, 3), expected)
    counts = tables.count_pixels(groups.reshape(3, 30), gamma.reshape(3, 4, 30), 0)
    np.testing.assert_array_equal(counts.tables, expected)
    assert counts.finite.all()


def test_ties_go_to_the_first_component():
    groups, gamma = np.ones((1, 2), int), np.full((3, 1, 2, 1), 1 / 3, "float32")
    table = scores.contingency_table(groups, gamma, 1)
    np.testing.assert_array_equal(table, [[2], [0], [0]])
    counts = tables.count_pixels(groups, gamma.reshape(1, 3, 2), 1)
    np.testing.assert_array_equal(counts.tables, [[[2], [0], [0]]])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_graph_counts_more_than_float32_does_one_by_one(jit_compile, monkeypatch):
    exact = 2**6  # as if that was where adding 1 ends
    monkeypatch.setattr("nem_tf.scores.tables.EXACT", exact)
    groups, winner = random_images(2, 9, 8, 3, 4, seed=11)
    gamma = gamma_of(winner, 4)
    assert groups[0].size > exact
    compiled = tf.function(scores.contingency_table, jit_compile=jit_compile)
    found = compiled(tf.constant(groups), tf.constant(gamma))
    expected = scores.contingency_table(groups, gamma)
    np.testing.assert_array_equal(found[..., :8], expected)


# table (K, n), distinct components, purity
TABLES = [
    ([[9, 0, 0], [0, 8, 0], [0, 0, 7]], 3, 1.0),
    ([[9, 8, 7], [0, 0, 0], [0, 0, 0]], 1, 1.0),
    ([[6, 1, 0], [2, 3, 0], [0, 0, 0]], 2, (6 / 8 + 3 / 4) / 2),
    ([[6, 5, 0], [2, 5, 0], [0, 0, 0]], 1, (6 / 8 + 1 / 2) / 2),  # a tie: the first
    ([[0, 0, 0], [0, 0, 0], [0, 4, 0]], 1, 1.0),  # the other objects are hidden
    ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], 0, 1.0),  # no object
]


def test_distinct_components_and_purity_by_hand():
    tables = np.array([table for table, _, _ in TABLES], "float32")
    distinct = scores.distinct_from_table(tables)
    np.testing.assert_array_equal(distinct, [count for _, count, _ in TABLES])
    purity = scores.purity_from_table(tables)
    np.testing.assert_allclose(purity, [share for _, _, share in TABLES], atol=1e-6)


def test_confidence_by_hand():
    groups = np.array([[[0, 1, 2]], [[0, 0, 0]]])
    first = np.array([0.5, 0.9, 0.3], "float32").reshape(1, 3, 1)
    gamma = np.stack([np.stack([first, 1 - first])] * 2)  # (2, K, H, W, 1)
    expected = [(0.9 + 0.7) / 2, 1.0]
    np.testing.assert_allclose(scores.confidence(groups, gamma), expected, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_the_mean_over_images(metric):
    groups, winner = random_images(6, 5, 4, 3, 4, seed=4)
    gamma = gamma_of(winner, components=4)
    table = scores.contingency_table(groups, gamma, 3)
    found = np.asarray(metric(objects=3).score(table))  # (6,)
    assert found.std() > 0
    clips = groups.reshape(2, 3, 5, 4), gamma.reshape(2, 3, 4, 5, 4, 1)

    updated = metric(objects=3)
    updated.update_state(*clips)
    updated.update_table(table[:2])  # as a model does that shares its table
    # Two clips, each with the mean of its steps, then two images.
    expected = (found.reshape(2, 3).mean(1).sum() + found[:2].sum()) / 4
    np.testing.assert_allclose(updated.result(), expected, atol=1e-6)

    updated.reset_state()
    updated.update_state(*clips, sample_weight=np.array([1.0, 3.0]))
    first, second = found.reshape(2, 3).mean(axis=1)
    np.testing.assert_allclose(updated.result(), (first + 3 * second) / 4, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_survives_a_config_round_trip(metric):
    made = metric(objects=5, name="score")
    again = keras.metrics.deserialize(keras.metrics.serialize(made))
    assert type(again) is metric
    assert (again.objects, again.name) == (5, "score")


@pytest.mark.parametrize("jit_compile", [False, True])
def test_scores_in_a_graph_equal_eager_ones(jit_compile):
    groups, winner = random_images(6, 5, 4, 3, 4, seed=5)
    clips = groups.reshape(2, 3, 5, 4), gamma_of(winner.reshape(2, 3, 5, 4), 4)
    specs = [
        tf.TensorSpec((None, None, 5, 4), tf.int32),
        tf.TensorSpec((None, None, None, 5, 4, 1), tf.float32),  # K is free too
    ]

    scored = [metric(objects=3) for metric in METRICS]

    @tf.function(input_signature=specs, jit_compile=jit_compile)
    def each(groups, gamma):
        table = scores.contingency_table(groups, gamma, 3)
        return [metric.score(table) for metric in scored]

    table = scores.contingency_table(*clips, 3)
    for metric, score in zip(scored, each(*clips), strict=True):
        np.testing.assert_allclose(score, metric.score(table), atol=1e-6)


class Echo(keras.Model):
    """A model whose output is its input, and whose loss is of no interest."""

    def call(self, inputs):
        return inputs

    def compute_loss(self, x, y, y_pred, sample_weight, training):
        return keras.ops.sum(y_pred)


def test_evaluate_and_compile_take_the_metric():
    groups, winner = random_images(6, 5, 4, 3, 4, seed=6)
    gamma = gamma_of(winner, components=4)
    model = Echo()
    model.compile(metrics=[scores.AdjustedRandIndex(objects=3)])
    logs = model.evaluate(gamma, groups, batch_size=4, return_dict=True, verbose=0)
    expected = np.mean(scores.adjusted_rand_index(groups, gamma, 3))
    np.testing.assert_allclose(logs["ari"], expected, atol=1e-6)


def test_errors_name_the_argument():
    groups, gamma = np.ones((2, 5, 6), int), np.ones((2, 4, 5, 6, 1), "float32")
    for score in (
        scores.adjusted_rand_index,
        scores.confidence,
        adjusted_mutual_information,
    ):
        with pytest.raises(ValueError, match="gamma: expected shape .*2, .*, 5, 6, 1"):
            score(groups, gamma[:, :, :, :5])
        with pytest.raises(ValueError, match="gamma: expected"):
            score(groups[0], gamma)
        with pytest.raises(ValueError, match="groups: expected shape"):
            score(groups[0, 0], gamma)
        with pytest.raises(ValueError, match="gamma: expected at least 1 component"):
            score(groups, gamma[:, :0])
    with pytest.raises(ValueError, match="average_method: expected one of.*'median'"):
        adjusted_mutual_information(groups, gamma, "median")
    with pytest.raises(ValueError, match="groups: expected integers, received float"):
        adjusted_mutual_information(groups / 1.0, gamma)
    with pytest.raises(ValueError, match="objects: expected at least 1"):
        scores.Purity(objects=0)
