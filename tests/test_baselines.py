"""Moving objects found without learning."""

import numpy as np
import pytest

from nem_tf import scores

T, H, W = 16, 24, 32


def flown(paths, side=5, colours=((0.9, 0.2, 0.1), (0.1, 0.3, 0.9))):
    """Squares over a textured background, the last one on top: frames and labels."""
    behind = 0.4 + 0.1 * np.random.default_rng(3).random((H, W, 3))
    frames = np.tile(behind, (T, 1, 1, 1)).astype(np.float32)
    groups = np.zeros((T, H, W), int)
    for number, (path, colour) in enumerate(zip(paths, colours, strict=False), start=1):
        for t in range(T):
            row, column = path(t)
            part = (t, slice(max(row, 0), row + side), slice(column, column + side))
            frames[part], groups[part] = colour, number
    return frames, groups, behind


APART = [lambda t: (2, 1 + t), lambda t: (15, 24 - t)]


def test_objects_that_do_not_touch_are_found_and_followed():
    frames, groups, _ = flown(APART)
    segments = scores.no_learning(frames)
    assert segments.dtype == np.int32 and set(segments.ravel()) == {0, 1, 2}
    for score in scores.grouping(groups, segments):
        np.testing.assert_allclose(score, 1)


def test_fast_objects_are_followed_where_they_are_expected():
    paths = [lambda t: (2, min(7 * t, 27)), lambda t: (15, 27)]
    frames, groups, behind = flown(paths)
    segments = scores.no_learning(frames, behind)
    assert scores.grouping(groups, segments).clip_foreground_ari == 1


def test_an_object_keeps_its_number_while_it_is_out_of_sight():
    frames, groups, behind = flown(APART)
    frames[6:9], groups[6:9] = behind, 0
    found = scores.grouping(groups, scores.no_learning(frames, behind))
    assert found.clip_foreground_ari == 1
    frames[4:12], groups[4:12] = behind, 0  # too long
    segments = scores.no_learning(frames, behind)
    assert set(segments[12].ravel()) == {0, 3, 4}


def test_one_out_of_sight_is_looked_for_where_it_would_be():
    frames, groups, behind = flown([lambda t: (2, min(2 * t, 27))])
    frames[6:10], groups[6:10] = behind, 0
    segments = scores.no_learning(frames, behind)
    np.testing.assert_array_equal(segments, groups)


def test_shadows_are_left_out_beside_bright_objects():
    frames, groups, behind = flown(APART)
    shadow = np.roll(groups > 0, 3, axis=1) & (groups == 0)
    frames[shadow] -= 0.08
    segments = scores.no_learning(frames, behind)
    np.testing.assert_array_equal(segments > 0, groups > 0)


def test_one_that_stands_still_needs_a_background():
    frames, groups, behind = flown([APART[0], lambda t: (15, 20)])
    alone = scores.no_learning(frames)
    assert set(alone.ravel()) == {0, 1}
    found = scores.grouping(groups, scores.no_learning(frames, behind))
    assert found.clip_best_overlap == 1


def test_objects_that_touch_are_one():
    frames, _, behind = flown([lambda t: (4, t), lambda t: (4, 15 - t)])
    segments = scores.no_learning(frames, behind)
    numbers = [len(set(frame.ravel()) - {0}) for frame in segments]
    assert numbers[0] == numbers[-1] == 2 and 1 in numbers


def test_specks_and_faint_noise_are_left_out(rng):
    frames, groups, behind = flown(APART)
    frames += 0.005 * rng.standard_normal(frames.shape).astype(np.float32)
    frames[3, 20, 3] = 1.0
    segments = scores.no_learning(frames, behind)
    np.testing.assert_array_equal(segments > 0, groups > 0)
    assert scores.no_learning(frames, behind, smallest=0)[3, 20, 3] > 0
    still = behind + 0.005 * rng.standard_normal((T, H, W, 3))
    assert not scores.no_learning(still).any()
    assert not scores.no_learning(np.zeros((3, 4, 5))).any()


def test_grey_clips_without_channels():
    frames, groups, behind = flown(APART, colours=((1.0,) * 3, (0.0,) * 3))
    segments = scores.no_learning(frames[..., 0], behind[..., 0])
    np.testing.assert_array_equal(segments > 0, groups > 0)


def test_otsu_parts_values_so_that_both_sides_vary_least(rng):
    values = np.concatenate([rng.normal(0.2, 0.05, 900), rng.normal(0.7, 0.1, 100)])
    spread = [
        sum(
            side.size * side.var() for side in (values[values <= x], values[values > x])
        )
        for x in np.linspace(0.1, 0.9, 200)
    ]
    best = np.linspace(0.1, 0.9, 200)[np.argmin(spread)]
    assert scores.otsu(values) == pytest.approx(best, abs=0.02)
    assert 0.2 < scores.otsu([0.0] * 5 + [1.0] * 3) < 0.8
    assert scores.otsu(np.full(4, 0.5)) == 0.5


CLIP = np.zeros((3, 4, 5, 1))
BAD = [
    (lambda: scores.no_learning(CLIP[None]), r"frames: .* received \(1, 3, 4, 5, 1\)"),
    (lambda: scores.no_learning(CLIP, CLIP), r"background: .* received \(3, 4, 5, 1\)"),
    (lambda: scores.no_learning(CLIP, smallest=2), "smallest: .* received 2"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[text for _, text in BAD])
def test_wrong_arguments_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value) and ";" in str(error.value)
