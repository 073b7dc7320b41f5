"""Flying MNIST: digits, pools and composition; MNIST itself where it is prepared."""

import os
import pathlib
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from nem_tf.data import Digits, MNISTNotFound, flying_mnist, load_digits, patches
from nem_tf.data import digits as sources
from nem_tf.data.mnist import digit_clip

PREPARED = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "none")) / "mnist"
needs_mnist = pytest.mark.skipif(
    not PREPARED.is_dir(), reason="TFDS_DATA_DIR holds no prepared mnist"
)
SKLEARN = "sklearn-digits"
SMALL = {"digits": SKLEARN, "steps": 3, "batch_size": 4, "clips": 12}


def made_up():
    """30, 6 and 6 digits whose brightness tells which split they are from."""

    def boxes(count, brightness):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 4:24, 9:18] = brightness  # 20 x 9 of ink
        images[:, 4, 9] = np.arange(count) + 1
        return images

    return Digits("boxes", boxes(30, 255), boxes(6, 200), boxes(6, 150))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No prepared data, and a download host that refuses."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def rendered(pixels, extents, top_left, velocity):
    return digit_clip(pixels, extents, top_left, velocity, frames=3, size=(3, 4))


@pytest.mark.parametrize("mapped", [False, True], ids=["direct", "map"])
def test_digits_compose_by_maximum_and_count_from_one_half(mapped):
    pixels = tf.constant([[[[0.9, 0.4]], [[0.6, 0.7]]]])  # (1, 2, 1, 2)
    extents = tf.constant([[[1, 2], [1, 2]]], tf.int64)
    top_left = tf.constant([[[0, 0], [0, 1]]], tf.int64)
    velocity = tf.constant([[[1, 0], [0, 1]]], tf.int64)
    arguments = pixels, extents, top_left, velocity
    if mapped:
        dataset = tf.data.Dataset.from_tensors(arguments).map(rendered)
        clean, groups = next(dataset.as_numpy_iterator())
    else:
        clean, groups = (np.asarray(x) for x in rendered(*arguments))
    np.testing.assert_allclose(clean[0, 0, 0, :, 0], [0.9, 0.6, 0.7, 0])
    np.testing.assert_array_equal(groups[0, 0, 0], [1, 2, 2, 0])
    # Then the first digit is a row lower, and the second turns at the right edge.
    np.testing.assert_array_equal(groups[0, 1, :2], [[0, 0, 2, 2], [1, 0, 0, 0]])
    np.testing.assert_array_equal(groups[0, 2], [[0, 2, 2, 0], [0] * 4, [1, 0, 0, 0]])


def test_two_bright_digits_on_a_pixel_are_overlap():
    pixels = tf.ones((1, 2, 1, 1))
    ones, zeros = tf.ones((1, 2, 2), tf.int64), tf.zeros((1, 2, 2), tf.int64)
    clean, groups = digit_clip(pixels, ones, zeros, zeros, frames=1, size=(2, 2))
    assert clean[0, 0, 0, 0, 0] == 1 and groups[0, 0, 0, 0] == 0


def test_patches_are_cropped_and_halved():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 5:25, 7:12] = 255  # 20 x 5 of ink: the odd side gets an empty column
    pixels, extents = patches.prepare(image, 20)
    np.testing.assert_array_equal(extents, [[10, 3]])
    np.testing.assert_allclose(pixels[0, :, :4], np.tile([1, 1, 0.5, 0], (10, 1)))
    assert pixels.shape == (1, 10, 10) and pixels[0, :, 4:].max() == 0


@pytest.mark.parametrize(
    "digit_size, columns, last", [(14, 4, 0.5), (13, 4, 0.25), (20, 5, 1), (1, 1, 0.25)]
)
def test_a_pixel_of_another_size_is_the_mean_over_its_area(digit_size, columns, last):
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 5:25, 7:12] = 255  # 20 x 5 of ink
    pixels, extents = patches.prepare(image, 20, digit_size)
    np.testing.assert_array_equal(extents, [[digit_size, columns]])
    row = np.zeros(digit_size)
    row[:columns], row[columns - 1] = 1, last
    np.testing.assert_allclose(pixels[0], np.tile(row, (digit_size, 1)), atol=1e-6)


def test_larger_digits_stay_in_the_frame_and_cover_more():
    covered = {}
    for side in (6, 10, 14):
        batch = next(iter(flying_mnist("test", digit_size=side, **SMALL)))
        covered[side] = int((batch["groups"] > 0).numpy().sum())
        assert batch["clean"].shape == (4, 4, 24, 24, 1)
    assert covered[6] < covered[10] < covered[14]


def test_a_box_bounces_with_the_digit_in_its_middle():
    own = patches.prepare(made_up().train, 20)  # 10 x 5
    boxed = patches.in_boxes(own, 14)
    np.testing.assert_array_equal(boxed.extents, np.full((30, 2), 14))
    np.testing.assert_array_equal(boxed.pixels[:, 2:12, 4:9], own.pixels[:, :, :5])
    assert boxed.pixels.sum() == own.pixels.sum()
    batch = next(iter(flying_mnist("test", digits=made_up(), box=14, noise=0)))
    ink = batch["clean"].numpy()[..., 0].max((0, 1))
    rows, columns = np.nonzero(ink.max(1))[0], np.nonzero(ink.max(0))[0]
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (2, 21, 4, 18)


@pytest.mark.parametrize("side", [8, 20, 45])
def test_other_sources_are_scaled_to_the_same_size(side):
    image = np.full((2, side, side), 255, np.uint8)
    pixels, extents = patches.prepare(image, side)
    np.testing.assert_array_equal(extents, [[10, 10]] * 2)
    np.testing.assert_allclose(pixels, 1)


def test_a_small_pool_is_the_first_training_digits_in_every_split():
    source = made_up()
    expected = patches.prepare(source.train[:7], 20).pixels
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(patches.pool(source, split, 7).pixels, expected)


@pytest.mark.parametrize("size", [None, 30, 50])
def test_splits_of_the_last_stage_share_no_digit(size):
    source = made_up()
    for split, brightness in [("train", 255), ("validation", 200), ("test", 150)]:
        chosen = patches.pool(source, split, size).pixels
        own = len(source.images(split))
        np.testing.assert_allclose(chosen[:own, 5, 1], brightness / 255, atol=1e-6)
        np.testing.assert_allclose(chosen.max((1, 2)), brightness / 255, atol=0.02)
        assert len(chosen) == (size or own if split == "train" else own)


def test_distorted_copies_fill_a_pool_and_do_not_depend_on_its_size():
    source = load_digits(SKLEARN)
    some = patches.pool(source, "train", 1300)
    more = patches.pool(source, "train", 1400)
    plain = patches.pool(source, "train")
    np.testing.assert_array_equal(some.pixels, more.pixels[:1300])
    np.testing.assert_array_equal(plain.pixels, more.pixels[: len(source.train)])
    copies = more.pixels[len(source.train) :]
    originals = more.pixels[: len(copies)]
    assert np.abs(copies - originals).mean((1, 2)).min() > 0.005
    ink = copies.sum((1, 2)) / originals.sum((1, 2))
    assert 0.4 < ink.min() and ink.max() < 1.3


def test_sklearn_digits():
    source = load_digits(SKLEARN)
    assert source.name == SKLEARN
    assert [len(source.images(s)) for s in ("train", "validation", "test")] == [
        1257,
        270,
        270,
    ]
    chosen = patches.pool(source, "train")
    assert chosen.extents.max() == 10 and chosen.extents.min() >= 2
    assert chosen.pixels.min() == 0 and 0.9 < chosen.pixels.max() <= 1


def test_clips():
    dataset = flying_mnist("test", digits=SKLEARN, objects=3, components=4, clips=20)
    batch = next(iter(dataset))
    assert batch["clean"].shape == (20, 21, 24, 24, 1)
    assert batch["noisy"].shape == (20, 20, 24, 24, 1)
    assert batch["groups"].shape == (20, 21, 24, 24)
    assert batch["pi"].shape == (20, 4, 24, 24, 1)
    clean, groups = batch["clean"].numpy()[..., 0], batch["groups"].numpy()
    assert clean.min() == 0 and 0.9 < clean.max() <= 1
    assert set(np.unique(groups)) == {0, 1, 2, 3}
    assert clean[groups > 0].min() >= 0.5
    changed = np.mean(batch["noisy"][..., 0] != clean[:, :-1])
    assert changed == pytest.approx(0.2, abs=0.005)


def test_digits_stay_inside_the_frame():
    batch = next(iter(flying_mnist("test", objects=1, noise=0, **SMALL)))
    ink = batch["clean"].numpy().sum((2, 3, 4))  # (B, T+1)
    np.testing.assert_allclose(ink, np.repeat(ink[:, :1], 4, axis=1), rtol=1e-5)


def test_static_repeats_a_frame():
    batch = next(iter(flying_mnist("test", static=True, **SMALL)))
    clean = batch["clean"].numpy()
    np.testing.assert_array_equal(clean, np.repeat(clean[:, :1], 4, axis=1))
    assert np.any(batch["noisy"][:, 0] != batch["noisy"][:, 1])


@pytest.mark.parametrize("threshold", [0.5, 0.1])
@pytest.mark.parametrize("composition", ["maximum", "sum"])
def test_digits_that_meet(composition, threshold):
    bright = np.zeros((1, 2, 10, 10), "float32")
    bright[0, 0, :2, :3], bright[0, 1, :2, :3] = 0.9, 0.3
    places = np.array([[[4, 4], [4, 5]]])
    clean, groups, masks = digit_clip(
        bright,
        np.full((1, 2, 2), 10),
        places,
        np.zeros((1, 2, 2), int),
        frames=1,
        composition=composition,
        threshold=threshold,
        masks=True,
    )
    both = 0.9 if composition == "maximum" else 1.0
    row = np.array([0, 0.9, both, both, 0.3, 0], "float32")
    np.testing.assert_allclose(np.asarray(clean)[0, 0, 4, 3:9, 0], row)
    labels = [0, 1, 1, 1, 0, 0] if threshold == 0.5 else [0, 1, 0, 0, 2, 0]
    assert np.asarray(groups)[0, 0, 4, 3:9].tolist() == labels
    assert np.asarray(masks).sum() == (6 if threshold == 0.5 else 12)


def test_same_clip_for_any_batch_size():
    def sorted_clips(batch_size):
        dataset = flying_mnist(**{**SMALL, "batch_size": batch_size})
        batches = list(dataset.unbatch().as_numpy_iterator())
        return sorted(batches, key=lambda clip: clip["index"])

    for a, b in zip(sorted_clips(12), sorted_clips(3), strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_auto_falls_back_within_seconds_and_says_so_in_one_line(
    offline, capsys, caplog
):
    begin = time.monotonic()
    source = load_digits("auto")
    assert time.monotonic() - begin < 10
    assert source.name == SKLEARN
    said = capsys.readouterr().err
    assert not caplog.records  # nor does a library write lines of its own
    assert said.count("\n") == 1 and said.endswith("continuing with sklearn-digits\n")


def test_auto_does_not_wait_for_a_silent_network(offline, monkeypatch):
    silence = threading.Event()
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: silence.wait(60))
    monkeypatch.setattr(sources, "PROBE_SECONDS", 0.2)
    begin = time.monotonic()
    assert load_digits("auto").name == SKLEARN
    assert time.monotonic() - begin < 5
    silence.set()


def test_mnist_out_of_reach_names_the_remedy(offline):
    with pytest.raises(MNISTNotFound, match="set TFDS_DATA_DIR") as error:
        load_digits("mnist")
    assert "\n" not in str(error.value) and "--digits auto" in str(error.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"digits": "emnist"}, "digits: expected"),
        ({"pool": 0}, "pool: expected"),
        ({"split": "dev"}, "split: expected"),
        ({"objects": 0}, "objects: expected"),
        ({"size": 9}, "size: expected room for digits"),
        ({"speed": 8}, "speed: expected at most 7 for digits"),
        ({"speed": 3, "digit_size": 20}, "speed: expected at most 2 for digits"),
        ({"box": 9}, "box: expected room for digits of 10 pixels, received 9"),
        ({"box": 14, "speed": 6}, "speed: expected at most 5 for digits"),
        ({"box": 25}, "size: expected room for digits"),
        ({"digit_size": 21}, "digit_size: expected at most 20"),
        ({"digit_size": 0}, "digit_size: expected an integer >= 1"),
        ({"noise": -0.1}, "noise: expected"),
        ({"threshold": 0}, "threshold: expected a brightness"),
        ({"composition": "product"}, "composition: expected maximum or sum"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        flying_mnist(**{"digits": SKLEARN, **arguments})
    assert "\n" not in str(error.value) and ";" in str(error.value)


def test_digits_refuse_other_arrays():
    images = np.zeros((1, 28, 28))
    with pytest.raises(ValueError, match="train: expected images as uint8"):
        Digits("mine", images, images, images)


@needs_mnist
def test_mnist_is_read_once_in_a_fixed_order():
    source = load_digits("mnist")
    assert load_digits("auto") is source and source.name == "mnist"
    assert source.train.shape == (50_000, 28, 28)
    assert source.validation.shape == source.test.shape == (10_000, 28, 28)
    pixels, extents = patches.pool(source, "train", 50_000)
    assert pixels.shape == (50_000, 10, 10) and extents.max() == 10
    assert patches._ink(source) == 20


@needs_mnist
def test_flying_mnist_from_mnist():
    batch = next(iter(flying_mnist(digits="mnist", pool=20, batch_size=8)))
    assert batch["clean"].shape == (8, 21, 24, 24, 1)


def test_the_home_folder_may_be_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/data sets")
    builder, prepared = sources._builder()
    assert str(builder.data_path).startswith(f"{tmp_path}/data sets/mnist")
    assert not prepared
