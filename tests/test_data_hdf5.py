"""Files in the original's format: a round trip, and every refusal."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
import tensorflow as tf

from nem_tf.data import flying_shapes, recorded
from trainers.training.recording import check_recording

F, N, H, W = 4, 7, 5, 6  # frames, clips, rows, columns


def clips(levels=2, seed=0):
    """Random clips: features (F, N, H, W, 1) and groups (F, N, H, W)."""
    random = np.random.default_rng(seed)
    features = random.integers(0, levels, (F, N, H, W, 1)) / (levels - 1)
    return features.astype(np.float32), random.integers(0, 4, (F, N, H, W))


def write(path, features, groups, names=("training", "validation", "test")):
    with h5py.File(path, "w") as file:
        for name in names:
            group = file.create_group(name)
            if features is not None:
                group["features"] = features
            if groups is not None:
                group["groups"] = groups
    return path


def read(path, split="validation", **settings):
    settings = {"steps": 3, "batch_size": 3, **settings}
    batches = list(recorded(path, split, **settings).as_numpy_iterator())
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("kind", [np.float32, np.int64])
@pytest.mark.parametrize("channel", [False, True])
def test_round_trip(tmp_path, split, kind, channel):
    features, groups = clips()
    stored = groups[..., None] if channel else groups
    path = write(tmp_path / "shapes.h5", features, stored.astype(kind))
    got = read(path, split, components=4)
    index = got["index"]
    assert len(index) == (6 if split == "train" else 7)
    assert len(set(index)) == len(index)
    np.testing.assert_array_equal(got["clean"], features.swapaxes(0, 1)[index])
    np.testing.assert_array_equal(got["groups"], groups.swapaxes(0, 1)[index])
    types = {key: (value.dtype, value.shape[1:]) for key, value in got.items()}
    assert types == {
        "noisy": (np.float32, (3, H, W, 1)),
        "clean": (np.float32, (4, H, W, 1)),
        "groups": (np.int32, (4, H, W)),
        "pi": (np.float32, (4, H, W, 1)),
        "index": (np.int64, ()),
    }


def test_a_written_generator_gives_the_same_batches(tmp_path):
    settings = {"steps": 3, "batch_size": 4, "clips": 8, "epochs": 2, "noise": 0.2}
    one = flying_shapes("train", **{**settings, "batch_size": 8, "epochs": 1})
    batch = next(iter(one))
    order = np.argsort(batch["index"])
    stored = {
        key: np.swapaxes(batch[key].numpy()[order], 0, 1) for key in ("clean", "groups")
    }
    path = write(tmp_path / "shapes.h5", stored["clean"], stored["groups"])
    generated = flying_shapes("train", **settings)
    for a, b in zip(generated, recorded(path, "train", **settings), strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_fewer_steps_and_clips(tmp_path):
    features, groups = clips()
    path = write(tmp_path / "shapes.h5", features, groups)
    got = read(path, steps=1, clips=2)
    np.testing.assert_array_equal(got["clean"], features.swapaxes(0, 1)[:2, :2])


@pytest.mark.parametrize(
    "levels, kind, values",
    [
        (2, "auto", "binary"),
        (9, "auto", "grey"),
        (2, "masked-uniform", "grey"),
        (2, "bitflip", "binary"),
    ],
)
def test_noise_follows_the_pixels(tmp_path, levels, kind, values):
    path = write(tmp_path / "clips.h5", *clips(levels))
    got = read(path, noise=1.0, noise_kind=kind)
    clean, noisy = got["clean"][:, :-1], got["noisy"]
    if values == "binary":
        np.testing.assert_array_equal(noisy, 1 - clean)
    else:
        assert len(np.unique(noisy)) > 0.9 * noisy.size


def test_a_batch_across_epochs_may_hold_a_clip_twice(tmp_path):
    features, groups = clips()
    path = write(tmp_path / "shapes.h5", features, groups)
    got = read(path, clips=2, epochs=3, batch_size=5)
    np.testing.assert_array_equal(got["index"], [0, 1] * 3)
    np.testing.assert_array_equal(got["clean"], features.swapaxes(0, 1)[[0, 1] * 3])


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: expected an HDF5 file") as error:
        recorded(tmp_path / "none.h5")
    assert "\n" not in str(error.value)


def test_not_an_hdf5_file(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("clips")
    with pytest.raises(ValueError, match="path: .* cannot open"):
        recorded(path)


def refusals():
    features, groups = clips()
    nan, bright = features.copy(), features * 255
    nan[0, 0, 0, 0, 0] = np.nan
    yield "features: expected an array", (None, groups), {}
    yield "features: expected shape", (features[..., 0], groups), {}
    yield "groups: expected shape", (features, groups[:, 1:]), {}
    yield "groups: expected shape", (features, groups[:-1]), {}
    yield "steps: expected at most 3", (features, groups), {"steps": 4}
    yield "clips: expected at most 7", (features, groups), {"clips": 8}
    yield "features in .*: expected pixels", (nan, groups), {}
    yield "features in .*: expected pixels", (bright, groups), {}
    yield "features in .*: expected pixels", (-features, groups), {}
    yield "groups: expected integers from 0", (features, groups - 1), {}
    yield "groups: expected integers from 0", (features, groups + 0.5), {}
    yield "noise_kind: expected one of", (features, groups), {"noise_kind": "salt"}
    yield "steps: expected an integer", (features, groups), {"steps": 0}
    yield "components: expected", (features, groups), {"components": 0}
    yield "split: expected one of", (features, groups), {"split": "training"}


@pytest.mark.parametrize("message, arrays, settings", list(refusals()))
def test_refusals(tmp_path, message, arrays, settings):
    path = write(tmp_path / "clips.h5", *arrays)
    with pytest.raises(ValueError, match=message) as error:
        recorded(path, **{"split": "test", "steps": 3, **settings})
    assert "\n" not in str(error.value) and ";" in str(error.value)


def test_missing_split(tmp_path):
    path = write(tmp_path / "clips.h5", *clips(), names=("training",))
    with pytest.raises(ValueError, match="split: expected a group 'test'"):
        recorded(path, "test", steps=3)


def test_a_bad_pixel_outside_the_sample_is_found_when_read(tmp_path):
    features = np.zeros((2, 200, 1, 1, 1), np.float32)
    features[:, 1] = 7  # the sample takes every third clip
    path = write(tmp_path / "clips.h5", features, np.zeros((2, 200, 1, 1)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected pixels in"):
        list(recorded(path, "test", steps=1))


@pytest.mark.parametrize("labels", ["absent", "zero"])
def test_labels_are_optional(tmp_path, labels):
    features, groups = clips()
    groups = None if labels == "absent" else 0 * groups
    path = write(tmp_path / "plain.h5", features, groups)
    got = read(path)
    assert sorted(got) == ["clean", "index", "noisy", "pi"]
    np.testing.assert_array_equal(got["clean"], features.swapaxes(0, 1))


def test_a_single_label_is_one(tmp_path):
    features, groups = clips()
    groups = 0 * groups
    groups[2, 6, 1, 1] = 16_777_215  # as R + 256 G + 65536 B
    got = read(write(tmp_path / "one.h5", features, groups))
    assert got["groups"].max() == 16_777_215


def test_rounding_is_cut_off(tmp_path):
    features, groups = clips(levels=5)
    near = np.where(features == 1, np.float32(1.0000002), features)
    got = read(write(tmp_path / "near.h5", near, groups))
    np.testing.assert_array_equal(got["clean"], features.swapaxes(0, 1))


def test_a_file_that_is_being_written(tmp_path):
    path = write(tmp_path / "busy.h5", *clips())
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print(1, flush=True)"
    code += "; sys.stdin.read()"
    arguments = [sys.executable, "-c", code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(arguments, **pipes) as writer:
        writer.stdout.readline()
        try:
            with pytest.raises(ValueError, match="another program writes it"):
                recorded(path, "test", steps=3, batch_size=3)
            check_recording(path)  # is no matter of the file
        finally:
            writer.stdin.close()
    read(path)
