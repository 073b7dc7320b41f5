"""Batches of people's own clips: what is in them, and that they are always the same."""

import gzip

import numpy as np
import pytest

from nem_tf import data
from nem_tf.data import OwnClips, from_folder
from tests import tiny

N, F, H, W = 5, 12, 6, 7


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    """The folder of the decoded clips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEM_TF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def clips():
    """uint8 (N, F, H, W, 3): a dot that moves before a still background."""
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (N, 1, H, W, 3), np.uint8), F, axis=1)
    for t in range(F):
        frames[:, t, t % H, t % W] = 255 - frames[:, t, t % H, t % W]
    return frames


@pytest.fixture(scope="module")
def groups():
    rng = np.random.default_rng(1)
    found = rng.integers(0, 3, (N, F, H, W))
    found[:, 0, 0, :3] = 0, 1, 2
    return found


@pytest.fixture(scope="module")
def path(clips, tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clips.npy"
    np.save(path, clips)
    return path


def batches(path, split="train", **settings):
    settings = {"steps": 3, "stride": 2, "batch_size": 3, "components": 4, **settings}
    found = list(from_folder(path, split, **settings).as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in found]) for key in found[0]}


def test_what_a_batch_has(path, clips, groups):
    own = OwnClips(path, labels=groups)
    got = batches(own, batch_size=5, noise=0.0)
    assert {key: (x.dtype.name, x.shape[1:]) for key, x in got.items()} == {
        "noisy": ("float32", (3, H, W, 3)),
        "clean": ("float32", (4, H, W, 3)),
        "pi": ("float32", (4, H, W, 1)),
        "index": ("int64", ()),
        "groups": ("int32", (4, H, W)),
        "background": ("float32", (H, W, 3)),
    }
    windows = own.windows("train", 3, 2)
    assert sorted(got["index"]) == list(range(15)) and len(windows) == 15
    for row, index in enumerate(got["index"]):
        i, begin = windows[index]
        clean = clips[i, begin : begin + 4] / np.float32(255)
        np.testing.assert_array_equal(got["clean"][row], clean)
        np.testing.assert_array_equal(got["noisy"][row], clean[:-1])
        np.testing.assert_array_equal(got["groups"][row], groups[i, begin : begin + 4])
        median = np.rint(np.median(clips[i], axis=0)) / 255
        np.testing.assert_allclose(got["background"][row], median, atol=1e-7)


def test_no_frame_is_in_two_splits(path, clips):
    seen = {}
    for split in ("train", "validation", "test"):
        frames = batches(path, split)["clean"].reshape(-1, H, W, 3)
        seen[split] = {frame.tobytes() for frame in frames}
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"] and not seen["validation"] & seen["test"]


def test_the_same_numbers_for_any_batch_size_and_cache(path, tmp_path):
    one = batches(path, batch_size=15, seed=3)
    two = batches(path, batch_size=5, seed=3, cache=tmp_path)
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], err_msg=key)
    assert (batches(path, batch_size=15, seed=4)["noisy"] != one["noisy"]).any()
    rest = batches(path, batch_size=5, seed=3, skip=10)
    np.testing.assert_array_equal(rest["noisy"], one["noisy"][10:])
    half = batches(path, batch_size=6, epochs=2, seed=3, part=(1, 2))
    whole = batches(path, batch_size=6, epochs=2, seed=3)
    second = whole["clean"].reshape(-1, 2, 3, 4, H, W, 3)[:, 1]  # halves of batches
    np.testing.assert_array_equal(half["clean"], second.reshape(-1, 4, H, W, 3))


def test_it_agrees_with_arrays(path, clips):
    own = OwnClips(path)
    (i,) = own.split("test")
    windows = np.stack([clips[i, begin : begin + 4] for begin in (0, 2, 4, 6, 8)])
    behind = np.repeat(own.background(i)[None], 5, axis=0)
    settings = {"components": 4, "batch_size": 5, "noise": 0.3}
    theirs = data.from_arrays(windows, None, "test", background=behind, **settings)
    theirs = next(iter(theirs))
    ours = next(iter(from_folder(own, "test", steps=3, stride=2, **settings)))
    assert theirs.keys() == ours.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


def test_without_background(path):
    assert "background" not in batches(path, background=None)


@pytest.mark.parametrize(
    ("convert", "values"),
    [(lambda x: (x > 127) * np.uint8(255), 2), (lambda x: x, 1000)],
)
def test_the_noise_is_that_of_the_pixels(tmp_path, clips, convert, values):
    np.save(tmp_path / "clips.npy", convert(clips))
    noisy = batches(tmp_path / "clips.npy", noise=0.5)["noisy"]
    seen = len(np.unique(noisy))
    assert seen == 2 if values == 2 else seen > values


def test_images_are_repeated(tmp_path):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 8, 8, 3), np.uint8)
    path = tmp_path / "images.tfrecords"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image in images:
            values = tf.train.BytesList(value=[image.tobytes()])
            feature = {"image": tf.train.Feature(bytes_list=values)}
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    got = batches(path, noise=0.0, batch_size=8)
    assert got["clean"].shape == (8, 4, 8, 8, 3) and "groups" not in got
    (i,) = OwnClips(path).split("test")
    test = batches(path, "test")
    still = np.stack([images[i]] * 4) / np.float32(255)
    np.testing.assert_array_equal(test["clean"][0], still)
    behind = np.rint(np.median(images, axis=0)) / 255
    np.testing.assert_allclose(test["background"][0], behind, atol=1e-7)
    packed = tmp_path / "packed.tfrecords"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    again = OwnClips(packed)
    assert len(again) == 10 and again.still
    np.testing.assert_array_equal([again.frames(i)[0] for i in range(10)], images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "all"}, "split: expected one of train, validation, test"),
        ({"steps": 12}, "steps: expected clips of at least 13 frames for T = 12"),
        ({"steps": 0}, "steps: expected an integer >= 1"),
        ({"stride": 0}, "stride: expected an integer >= 1, received 0"),
        (
            {"background": "black"},
            "background: expected one of auto, plain, still or None",
        ),
        (
            {"background": np.zeros((8, 8, 3))},
            "background: expected one of auto.* an array; give an image of your own",
        ),
        ({"windows": 0}, "windows: expected an integer >= 1, received 0"),
        ({"noise_kind": "salt"}, "noise_kind: expected one of auto"),
        ({"size": -1}, "size: expected rows and columns, received -1"),
        ({"axes": "none"}, "axes: expected one of auto"),
        ({"batch_size": 16}, "batch_size: expected at most the 15 clips"),
    ],
)
def test_refusals(path, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        batches(path, **settings)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"size": 8}, "size: expected None"),
        ({"axes": "time-first"}, "axes: expected auto"),
        ({"cache": "elsewhere"}, "cache: expected None"),
    ],
)
def test_what_is_open_has_its_settings(path, settings, expected):
    with pytest.raises(ValueError, match=f"{expected} for clips that are open"):
        from_folder(OwnClips(path), **settings)


def test_a_model_learns_from_them(path):
    nem = tiny.model("dense", "gaussian", channels=3)
    settings = {"size": (tiny.H, tiny.W), "components": tiny.K, "steps": 3}
    clips = from_folder(path, stride=2, batch_size=5, **settings)
    history = nem.fit(clips, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def versions(x, rows, columns):
    """A clip, or labels of one, in the eight ways in which it may be mirrored."""
    for flipped in (x, np.flip(x, rows)):
        for again in (flipped, np.flip(flipped, columns)):
            yield from (again, np.flip(again, 0))


def test_clips_for_training_may_be_mirrored(path, groups):
    own = OwnClips(path, labels=groups)
    asked = {"noise": 0.0, "epochs": 6, "stride": 4}
    plain, got = (batches(own, mirror=mirror, **asked) for mirror in (False, True))
    seen = set()
    for i, index in enumerate(got["index"]):
        first = np.flatnonzero(plain["index"] == index)[0]
        clips = [plain[name][first] for name in ("clean", "groups", "background")]
        ways = zip(
            versions(clips[0], 1, 2),
            versions(clips[1], 1, 2),
            (b for b in versions(clips[2], 0, 1)),
            strict=True,
        )
        found = [
            way
            for way, (clean, labels, _) in enumerate(ways)
            if np.array_equal(clean, got["clean"][i])
            and np.array_equal(labels, got["groups"][i])
        ]
        assert len(found) == 1
        flips = [axis for axis in (0, 1) if found[0] & (4, 2)[axis]]
        expected = np.flip(clips[2], flips) if flips else clips[2]
        np.testing.assert_array_equal(got["background"][i], expected)
        np.testing.assert_array_equal(got["noisy"][i], got["clean"][i, :-1])
        seen.add(found[0])
    assert len(seen) >= 6
    again = batches(own, mirror=True, skip=6, **asked)
    np.testing.assert_array_equal(again["clean"], got["clean"][6:])


def test_clips_that_are_scored_are_not_mirrored(path):
    got = [batches(path, "test", mirror=way, noise=0.0) for way in (False, True)]
    np.testing.assert_array_equal(got[1]["clean"], got[0]["clean"])
