"""Scores of segments that know a background, of frames and of clips as volumes."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from nem_tf import scores

SHAPE = 2, 3, 5, 6  # B, T, H, W


def overlaps(groups, segments):
    """Mean over objects of the best intersection over union, by the definition."""
    best = []
    for n in set(groups[groups > 0]):
        ours = [0.0]
        for k in set(segments[segments > 0]):
            both = (groups == n) & (segments == k)
            ours.append(both.sum() / ((groups == n) | (segments == k)).sum())
        best.append(max(ours))
    return np.mean(best)


NAIVE = {
    "foreground_ari": lambda g, s: adjusted_rand_score(g[g > 0], s[g > 0]),
    "ari": lambda g, s: adjusted_rand_score(g.ravel(), s.ravel()),
    "ami": lambda g, s: adjusted_mutual_info_score(
        g[g > 0], s[g > 0], average_method="max"
    ),
    "best_overlap": overlaps,
}


@pytest.fixture
def clips(rng):
    """Labels with numbers far apart, and segments that agree with most of them."""
    groups = rng.choice([0, 0, 1, 4, 2**31 - 1], SHAPE)
    chance = rng.integers(0, 4, SHAPE)
    segments = np.where(rng.random(SHAPE) < 0.6, groups % 7, chance)
    return groups, segments


@pytest.mark.parametrize("name", NAIVE)
def test_scores_are_those_of_the_definition(clips, name):
    found = scores.grouping(*clips)
    frames, whole = getattr(found, name), getattr(found, f"clip_{name}")
    assert frames.shape == (2, 3) and whole.shape == (2,)
    assert frames.dtype == whole.dtype == np.float64
    for b, clip in enumerate(zip(*clips, strict=True)):
        assert whole[b] == pytest.approx(NAIVE[name](*clip), abs=1e-6)
        for t, frame in enumerate(zip(*clip, strict=True)):
            assert frames[b, t] == pytest.approx(NAIVE[name](*frame), abs=1e-6)


def test_each_score_is_a_function_of_images(clips):
    found = scores.grouping(*clips)
    functions = (
        scores.foreground_ari,
        scores.ari_with_background,
        scores.foreground_ami,
        scores.best_overlap,
    )
    for score, expected in zip(functions, found, strict=False):
        np.testing.assert_array_equal(score(*clips), expected)
        single = score(clips[0][1, 2], clips[1][1, 2])
        assert single.shape == () and single == pytest.approx(expected[1, 2], abs=1e-6)


def test_equal_partitions_score_one_whatever_their_numbers(clips):
    groups = clips[0]
    renamed = np.select([groups == 1, groups == 4, groups > 4], [9, 1, 3])
    for score in scores.grouping(groups, renamed):
        np.testing.assert_allclose(score, 1)


def test_labels_of_any_type(rng):
    groups = rng.random((2, 4, 5)) < 0.5
    expected = scores.grouping(groups.astype(int), groups.astype(int))
    for dtype in (bool, "uint8", "uint64", "int16"):
        found = scores.grouping(groups.astype(dtype), groups.astype(dtype))
        np.testing.assert_array_equal(found[0], expected[0])


def test_an_object_has_to_keep_its_segment_over_time():
    groups = np.zeros((4, 6, 6), int)
    groups[:, :3, :3], groups[:, 3:, 3:] = 1, 2
    segments = groups.copy()
    segments[2:] = np.select([groups[2:] == 1, groups[2:] == 2], [2, 1])
    found = scores.grouping(groups, segments)
    for score in found[:4]:
        np.testing.assert_allclose(score, 1)
    assert found.clip_foreground_ari == pytest.approx(0, abs=0.1)
    assert found.clip_best_overlap == pytest.approx(1 / 3)
    assert found.clip_ami < 0.1 and found.clip_ari < 0.8


def test_segments_on_the_background_cost_where_it_counts():
    groups = np.zeros((1, 6, 6), int)
    groups[:, :3, :3], groups[:, 3:, 3:] = 1, 2
    wide = np.ones_like(groups)
    wide[:, 3:] = 2
    found = scores.grouping(groups, wide)
    assert found.foreground_ari == 1 and found.ami == pytest.approx(1)
    assert found.ari < 0.5 and found.best_overlap == pytest.approx(0.5)
    missed = scores.grouping(groups, 0 * groups)
    assert missed.best_overlap == 0 and missed.foreground_ari == 0


def test_nothing_labelled_is_nan_and_left_out_of_objects():
    groups = np.zeros((2, 4, 4), int)
    groups[1, :2] = 3
    found = scores.grouping(groups, groups)
    for score in found[:4]:
        np.testing.assert_array_equal(score, [np.nan, 1])
    assert all(score == 1 for score in found[4:])
    assert np.isnan(scores.grouping(0 * groups, groups)[4:]).all()


GROUPS = np.ones((2, 3, 4), int)
BAD = [
    (GROUPS, GROUPS[:1], r"segments: expected the shape \(\.\.\., T, H, W\) of groups"),
    (GROUPS[0], GROUPS[0], r"received \(3, 4\) for \(3, 4\)"),
    (GROUPS, GROUPS * 0.5, "segments: expected integers, received float64"),
    (-GROUPS, GROUPS, "groups: expected 0 and above, received -1"),
]


@pytest.mark.parametrize(("groups", "segments", "message"), BAD)
def test_wrong_arguments_are_refused_in_one_line(groups, segments, message):
    with pytest.raises(ValueError, match=message) as error:
        scores.grouping(groups, segments)
    assert "\n" not in str(error.value) and ";" in str(error.value)
