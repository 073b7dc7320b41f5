"""Static and flying shapes: the published figure, its statistics, and keyed draws."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from nem_tf.data import SHAPES, flying_shapes, keys, scenes, static_shapes
from nem_tf.data.shapes import shape_clip

GOLDEN = pathlib.Path(__file__).parent / "golden"
SMALL = {"steps": 3, "batch_size": 4, "clips": 12}


def collect(dataset):
    """All batches of a data set as one batch of NumPy arrays."""
    batches = list(dataset.as_numpy_iterator())
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def assert_same(a, b):
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_bitmaps_as_lists():
    dot = {"dot": [[1, 1], [1, 1]]}
    clips = collect(flying_shapes("test", bitmaps=dot, **SMALL, epochs=1, noise=0.0))
    assert set(clips["clean"].sum(axis=(2, 3, 4)).ravel()) <= set(range(4, 13))


def test_training_batches_of_more_clips_than_there_are():
    with pytest.raises(ValueError, match="batch_size: expected at most the 50 clips"):
        flying_shapes("train", clips=50, epochs=1, batch_size=64)


def rendered(kinds, top_left, velocity):
    return shape_clip(kinds, top_left, velocity, frames=20)


@pytest.mark.parametrize("mapped", [False, True], ids=["direct", "map"])
def test_figure_4_pixel_for_pixel(mapped):
    golden = np.load(GOLDEN / "figure4_sequence.npz")
    kinds = [list(SHAPES).index(name) for name in golden["shape"]]
    starts = [kinds], [golden["top_left"]], [golden["velocity"]]
    if mapped:
        dataset = tf.data.Dataset.from_tensors(starts).map(rendered)
        clean, groups = next(dataset.as_numpy_iterator())
    else:
        clean, groups = (np.asarray(x) for x in rendered(*starts))
    np.testing.assert_array_equal(clean[0, ..., 0], golden["frames"])
    assert clean.shape == (1, 20, 28, 28, 1) and groups.shape == (1, 20, 28, 28)
    assert set(np.unique(groups)) == {0, 1, 2, 3, 4, 5}


def test_groups_name_the_only_object_on_a_pixel():
    bar = {"bar": np.ones((1, 3), int)}
    clean, groups = shape_clip(
        [[0, 0]], [[[0, 0], [0, 2]]], [[[0, 0], [0, 0]]], frames=1, size=(2, 6),
        bitmaps=bar,
    )  # fmt: skip
    np.testing.assert_array_equal(groups[0, 0], [[1, 1, 0, 2, 2, 0], [0] * 6])
    np.testing.assert_array_equal(clean[0, 0, 0, :, 0], [1, 1, 1, 1, 1, 0])


@pytest.mark.parametrize("velocity", [1, 2, 3, -2])
def test_a_move_that_would_leave_is_mirrored_first(velocity):
    free, place, expected = 5, 4, []
    step = velocity
    for _ in range(15):
        expected.append(place)
        if not 0 <= place + step <= free:
            step = -step
        place += step
    start = tf.constant([[[4, 0]]], tf.int64)
    path = scenes.fly(
        start, tf.constant([[[velocity, 0]]], tf.int64), start * 0 + free, 15
    )
    np.testing.assert_array_equal(path[0, 0, :, 0], expected)
    np.testing.assert_array_equal(path[0, 0, :, 1], 0)


@pytest.mark.parametrize(
    "objects, foreground, overlap, some",
    [(3, 0.160, 0.092, 0.72), (4, 0.205, 0.131, 0.92), (5, 0.246, 0.166, 0.99)],
)
def test_static_shapes_have_the_published_statistics(
    objects, foreground, overlap, some
):
    images = collect(
        static_shapes("train", objects=objects, steps=1, batch_size=500, clips=4000)
    )
    on = images["clean"][:, 0, ..., 0] > 0  # (B, H, W)
    shared = on & (images["groups"][:, 0] == 0)
    assert on.mean() == pytest.approx(foreground, abs=0.002)
    # The overlap is a mean over images of each image's share.
    share = shared.sum((1, 2)) / on.sum((1, 2))
    assert share.mean() == pytest.approx(overlap, abs=0.006)
    assert shared.any((1, 2)).mean() == pytest.approx(some, abs=0.02)


def test_velocities_and_starts_are_uniform():
    draw = tf.function(lambda key: keys.integers(key, (1, 4)))
    draws = draw(keys.clip_keys(0, "train", keys.SCENE, tf.range(6000)))
    free = tf.constant([[[5, 2]]], tf.int64)
    top_left, velocity = scenes.launch(draws, free, 1)
    for values, count in [(top_left[..., 0], 6), (top_left[..., 1], 3)]:
        share = np.bincount(np.ravel(values), minlength=count) / 6000
        np.testing.assert_allclose(share, 1 / count, atol=0.025)
    share = np.bincount(np.ravel(velocity) + 1) / 12000
    np.testing.assert_allclose(share, 1 / 3, atol=0.025)


def test_shapes_and_types():
    dataset = flying_shapes(
        "test", objects=2, components=5, steps=3, batch_size=2, size=(30, 29), clips=3
    )
    assert dataset.element_spec["clean"].shape == (None, 4, 30, 29, 1)
    batch = next(iter(dataset))
    shapes = {key: tuple(value.shape) for key, value in batch.items()}
    assert shapes == {
        "noisy": (2, 3, 30, 29, 1),
        "clean": (2, 4, 30, 29, 1),
        "groups": (2, 4, 30, 29),
        "pi": (2, 5, 30, 29, 1),
        "index": (2,),
    }
    types = {key: value.dtype.name for key, value in batch.items()}
    assert types == {
        "noisy": "float32",
        "clean": "float32",
        "groups": "int32",
        "pi": "float32",
        "index": "int64",
    }
    np.testing.assert_allclose(tf.reduce_sum(batch["pi"], 1), 1, atol=1e-6)
    assert [len(b["index"]) for b in dataset] == [2, 1]  # test keeps the remainder


def test_one_component_starts_at_one():
    batch = next(iter(flying_shapes(components=1, **SMALL)))
    np.testing.assert_array_equal(batch["pi"], np.ones((4, 1, 28, 28, 1)))


def test_pi_is_the_absolute_value_of_normals():
    batch = next(iter(flying_shapes("test", components=2, clips=4, batch_size=4)))
    # |a| < |b| / 3 for normals a, b has probability 2 / pi * arctan(1 / 3).
    share = np.mean(batch["pi"] < 0.25)
    assert share == pytest.approx(np.arctan(1 / 3) / np.pi * 2, abs=0.02)


def test_same_clip_for_any_batch_size():
    def sorted_clips(batch_size):
        batch = collect(flying_shapes(steps=3, clips=12, batch_size=batch_size))
        order = np.argsort(batch["index"])
        return {key: value[order] for key, value in batch.items()}

    reference = sorted_clips(12)
    for batch_size in (1, 4):
        assert_same(reference, sorted_clips(batch_size))


def test_same_clip_without_parallelism():
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    dataset = flying_shapes(**SMALL).with_options(options)
    assert_same(collect(flying_shapes(**SMALL)), collect(dataset))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_start_resumes_exactly_even_in_a_later_epoch(split):
    whole = list(flying_shapes(split, steps=2, batch_size=4, clips=10, epochs=3))
    rest = list(
        flying_shapes(split, steps=2, batch_size=4, clips=10, epochs=3, skip=12)
    )
    assert len(whole) == (7 if split == "train" else 8)
    assert len(rest) == len(whole) - 3
    for a, b in zip(whole[3:], rest, strict=True):
        assert_same(a, b)


def test_train_visits_every_clip_in_another_order_with_new_noise():
    passes = collect(flying_shapes(steps=2, batch_size=5, clips=20, epochs=2))
    first = {key: value[:20] for key, value in passes.items()}
    second = {key: value[20:] for key, value in passes.items()}
    assert list(first["index"]) != list(second["index"])
    assert list(first["index"]) != list(range(20))
    a, b = np.argsort(first["index"]), np.argsort(second["index"])
    np.testing.assert_array_equal(first["index"][a], range(20))
    np.testing.assert_array_equal(second["index"][b], range(20))
    for key in ("clean", "groups"):
        np.testing.assert_array_equal(first[key][a], second[key][b])
    for key in ("noisy", "pi"):
        assert np.all(np.any(first[key][a] != second[key][b], axis=(1, 2, 3, 4)))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_and_test_repeat_themselves(split):
    passes = collect(flying_shapes(split, steps=2, clips=6, batch_size=6, epochs=2))
    np.testing.assert_array_equal(passes["index"], [*range(6), *range(6)])
    assert_same(
        {key: value[:6] for key, value in passes.items()},
        {key: value[6:] for key, value in passes.items()},
    )


@pytest.mark.parametrize("other", [{"split": "validation"}, {"split": "test"}])
def test_splits_differ(other):
    def starts(split):
        batch = collect(flying_shapes(split, steps=1, clips=20, batch_size=20))
        return {clip.tobytes() for clip in batch["clean"]}

    assert not starts("train") & starts(other["split"])


def test_seeds_differ_even_in_high_bits():
    def first(seed):
        return collect(flying_shapes("test", seed=seed, steps=1, clips=2))["clean"]

    assert np.any(first(0) != first(1))
    assert np.any(first(0) != first(2**40))


def test_endless_data_is_known_to_be_endless():
    dataset = flying_shapes(steps=1, batch_size=3, clips=4, epochs=None)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(dataset.take(5))) == 5


def test_static_shapes_repeat_a_frame_under_fresh_noise():
    batch = next(iter(static_shapes("test", steps=3, clips=2, batch_size=2)))
    for key in ("clean", "groups"):
        frames = batch[key].numpy()
        np.testing.assert_array_equal(frames, np.repeat(frames[:, :1], 4, axis=1))
    noisy = batch["noisy"].numpy()
    assert np.any(noisy[:, 0] != noisy[:, 1]) and np.any(noisy[:, 1] != noisy[:, 2])


BAD = [
    ({"split": "dev"}, "split: expected one of"),
    ({"objects": 0}, "objects: expected an integer >= 1, received 0"),
    ({"components": 0}, "components: expected"),
    ({"steps": 0}, "steps: expected"),
    ({"batch_size": 2.5}, "batch_size: expected an integer >= 1, received 2.5"),
    ({"noise": 1.5}, "noise: expected a probability"),
    ({"noise": float("nan")}, "noise: expected a probability"),
    ({"seed": -1}, "seed: expected"),
    ({"seed": 2**63}, "seed: expected"),
    ({"clips": 0}, "clips: expected"),
    ({"skip": -1}, "skip: expected"),
    ({"epochs": 0}, "epochs: expected"),
    ({"speed": -1}, "speed: expected"),
    ({"size": "28"}, "size: expected rows and columns"),
    ({"size": (28, 28, 1)}, "size: expected rows and columns"),
    ({"size": 11}, r"size: expected room for up \(7 x 12 pixels\)"),
    ({"size": (28, 12)}, "speed: expected at most 0 for up"),
    ({"speed": 9}, "speed: expected at most 8 for up"),
    ({"bitmaps": {}}, "bitmaps: expected"),
    ({"bitmaps": {"dot": [[2]]}}, "bitmaps: expected 'dot'"),
]


@pytest.mark.parametrize("arguments, message", BAD, ids=[str(a) for a, _ in BAD])
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        flying_shapes(**arguments)
    assert "\n" not in str(error.value) and ";" in str(error.value)


def _of_epochs(dataset):
    """What each batch holds, as bytes that can be compared."""
    return [tuple(x.tobytes() for x in b.values()) for b in dataset.as_numpy_iterator()]


def test_iterating_again_goes_on_with_the_next_epoch():
    settings = {"steps": 2, "batch_size": 5, "clips": 20}
    expected = _of_epochs(flying_shapes(**settings, epochs=4))
    again = flying_shapes(**settings)
    found = [batch for _ in range(4) for batch in _of_epochs(again)]
    assert found == expected
    assert len(set(expected)) == len(expected)
    assert int(again.cardinality()) == 4
    assert _of_epochs(flying_shapes(**settings).repeat(4)) == expected
    two = flying_shapes(**settings, epochs=2)
    assert _of_epochs(two) + _of_epochs(two) == expected


def test_begun_in_mid_epoch_it_goes_on_with_whole_epochs():
    settings = {"steps": 2, "batch_size": 5, "clips": 20}
    expected = _of_epochs(flying_shapes(**settings, epochs=3))
    begun = flying_shapes(**settings, skip=15)
    found = [_of_epochs(begun) for _ in range(3)]
    assert [len(batches) for batches in found] == [1, 4, 4]
    assert sum(found, []) == expected[3:]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_is_the_same_each_time(split):
    dataset = flying_shapes(split, steps=2, batch_size=4, clips=10)
    assert _of_epochs(dataset) == _of_epochs(dataset)


def test_fit_sees_each_epoch_anew():
    seen = []
    dataset = flying_shapes(steps=2, batch_size=5, clips=20)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    def note(batch):
        tf.py_function(lambda x: seen.append(x.numpy().sum()), [batch["noisy"]], [])
        return batch["noisy"][:, 0], batch["noisy"][:, 0, 0, 0]

    model.fit(dataset.map(note), epochs=3, shuffle=False, verbose=0)
    assert len(seen) == len(set(seen)) == 12
