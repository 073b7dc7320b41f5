"""Components to spare: which are used, and results without the others."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from nem_tf import Segmentation
from nem_tf.inference import used
from tests import layered, tiny
from tests.test_mixing_weights import cell as weighing
from tests.test_mixing_weights import model
from tests.tiny import H, W

PLAIN = SimpleNamespace(layered=False, usual_pixels=20)
LAYERED = SimpleNamespace(layered=True, usual_pixels=20)


def bars(steps, widths):
    """White frames whose columns belong to components 0, 1, ... of such widths."""
    row = np.repeat(np.arange(len(widths)), widths)
    segments = np.broadcast_to(row.astype("int32"), (steps, H, len(row))).copy()
    return segments, np.ones((*segments.shape, 1), "float32")


def test_a_quarter_of_an_objects_pixels_is_enough():
    segments, x = bars(2, (6, 5, 1))
    x[0, :4, 11] = 0.0  # 4 of 20 pixels are left, less than a quarter
    found = np.asarray(used.present(PLAIN, segments, x, 4))
    np.testing.assert_array_equal(found, [[True, True, False, False]] + [[1, 1, 1, 0]])


def test_background_counts_for_none():
    segments, x = bars(1, (6, 6))
    x[0, :, :6] = 0.2
    assert np.asarray(used.present(PLAIN, segments, x, 2)).tolist() == [[False, True]]
    found = np.asarray(used.present(LAYERED, segments, 0.0 * x, 2))  # 0 and component 1
    assert found.tolist() == [[True, False]]


def test_without_a_usual_size_it_is_an_even_share():
    even = SimpleNamespace(layered=False, usual_pixels=0.0)
    segments, x = bars(1, (10, 1, 1))  # of 96 pixels each 8; an even share is 32
    assert np.asarray(used.present(even, segments, x, 3)).tolist() == [[1, 1, 1]]
    x[0, 0, 11] = 0.0  # a quarter of 95 / 3 is 7.9
    assert np.asarray(used.present(even, segments, x, 3)).tolist() == [[1, 1, 0]]


@pytest.mark.parametrize(("steps", "first"), [(25, 5), (6, 3), (1, 0)])
def test_a_quarter_of_the_frames_is_enough(steps, first):
    segments, x = bars(steps, (6, 6))
    segments[first:] = 0
    assert used.used_components(PLAIN, segments, x, 2).tolist() == [True, False]
    segments[first : first + (steps - first + 3) // 4, :, 6:] = 1
    assert used.used_components(PLAIN, segments, x, 2).tolist() == [True, True]


def found_of(cell, frames, order):
    """A result whose components, in `order`, explain the columns of `bars`."""
    segments = np.asarray(order)[(frames[..., 0] * 9).round().astype(int) - 6]
    gamma = 0.9 * (segments[..., None, :, :] == np.arange(5)[:, None, None]) + 0.02
    gamma = gamma[..., None].astype("float32")
    psi = np.broadcast_to(
        np.arange(5, dtype="float32")[:, None, None, None], (*gamma.shape[:-1], 1)
    )
    return Segmentation(cell.segments(frames, gamma), gamma, psi)


def test_only_used_components_remain_in_their_order():
    cell = weighing(components=5)
    frames = np.full((2, 4, H, W, 1), 6 / 9, "float32")
    frames[..., 4:, :] = 7 / 9
    frames[0, :, :, 8:] = 8 / 9  # three objects, and two in the second clip
    found = found_of(cell, frames, (3, 1, 4))
    few = used.only_used(cell, frames, found)
    assert few.gamma.shape == (2, 4, 3, H, W, 1) and few.psi.shape == few.gamma.shape
    np.testing.assert_allclose(few.gamma.sum(2), 1.0, rtol=1e-6)
    assert few.segments[0, 0, 0].tolist() == [1] * 4 + [0] * 4 + [2] * 4
    assert few.segments[1, 0, 0].tolist() == [1] * 4 + [0] * 8
    assert few.psi[:, 0, :, 0, 0, 0].tolist() == [[1, 3, 4], [1, 3, 0]]
    assert not few.gamma[1, :, 2].any()


def test_of_empty_frames_one_component_remains():
    cell = weighing(components=5)
    frames = np.zeros((1, 3, H, W, 1), "float32")
    gamma = np.full((1, 3, 5, H, W, 1), 0.1, "float32")
    gamma[:, :, 2] = 0.6
    psi = np.arange(5, dtype="float32")[:, None, None, None] + 0 * gamma
    few = used.only_used(cell, frames, Segmentation(gamma[:, :, 0, ..., 0], gamma, psi))
    np.testing.assert_array_equal(few.gamma, np.ones((1, 3, 1, H, W, 1)))
    np.testing.assert_array_equal(few.psi, 2.0)  # which has most


def test_objects_seen():
    groups = np.zeros((2, 12, H, W), "int32")
    groups[0, :5] = 7  # the first frames do not count
    groups[0, 10:, 0], groups[0, 11, 1] = 3, 5  # in 2 of 7 frames, and in 1
    assert used.objects_seen(groups).tolist() == [1, 0]
    assert used.objects_seen(groups[1:]).tolist() == [0]


def test_segment_takes_auto(rng):
    nem = model()
    frames = (rng.random((2, 4, H, W, 1)) < 0.5).astype("float32")
    whole = nem.segment(frames, 8)
    few = nem.segment(frames, "auto")
    count = used.used_components(nem.cell, whole.segments, frames, 8).sum(1).max()
    assert few.gamma.shape[2] == max(count, 1)
    again = used.only_used(nem.cell, frames, whole)
    np.testing.assert_array_equal(few.segments, again.segments)
    one = nem.segment(frames[0], "auto")
    assert one.segments.shape == (4, H, W)


def test_a_stream_takes_auto(rng):
    nem = model()
    frames = (rng.random((3, H, W, 1)) < 0.5).astype("float32")
    stream, whole = nem.stream("auto"), nem.segment(frames, 8)
    for frame, segments in zip(frames, whole.segments, strict=True):
        np.testing.assert_array_equal(stream(frame).segments, segments)


def test_layers_take_auto_and_count_from_1(monkeypatch):
    monkeypatch.setattr(used, "MOST", 4)
    frames, background, labels = layered.scene()
    few = layered.model().segment(frames, "auto", background=background)
    count = few.gamma.shape[1]
    assert 1 <= count < 4  # there are two objects
    np.testing.assert_array_equal(few.segments > 0, labels > 0)
    assert few.segments.max() <= count


def test_components_that_share_evenly_are_refused():
    nem = tiny.model("n-em", eager=True)
    frames = np.zeros((2, H, W), "float32")
    segment = functools.partial(nem.segment, frames)
    with pytest.raises(ValueError, match="or set nem.cell.object_pixels"):
        segment("auto")
    with pytest.raises(ValueError, match="or set nem.cell.object_pixels"):
        nem.stream("auto")
    with pytest.raises(ValueError, match="whole number, received 'all'"):
        segment("all")
