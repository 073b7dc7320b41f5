"""People's clips on the disk: sizes, colours, cache, splits, windows, what is told."""

import json
import os
import tracemalloc

import h5py
import numpy as np
import pytest
from PIL import Image

from reading import background, cache
from reading.own import OwnClips
from reading.video import VideoError

T, H, W = 12, 8, 10


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The folder of the decoded clips."""
    monkeypatch.setenv("NEM_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def clip(seed=0, length=T, size=(H, W), channels=3):
    """uint8 (T, H, W, C): a square goes along a row of a still background."""
    rng = np.random.default_rng(seed)
    frames = np.empty((length, *size, channels), np.uint8)
    frames[:] = rng.integers(0, 256, (*size, channels))
    for t in range(length):
        column = t % (size[1] - 2)
        frames[t, 2:4, column : column + 2] = 255
    return frames


def save_pictures(folder, frames):
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        picture = frame[..., 0] if frame.shape[-1] == 1 else frame
        Image.fromarray(picture).save(folder / f"{t}.png")
    return folder


def save_some(folder, lengths, **options):
    """A folder of clips, one of each length, and their frames."""
    clips = [clip(i, length, **options) for i, length in enumerate(lengths)]
    for i, frames in enumerate(clips):
        save_pictures(folder / f"clip{i}", frames)
    return folder, clips


# What it holds


def test_frames_backgrounds_and_names(tmp_path):
    folder, clips = save_some(tmp_path / "films", [12, 5, 7, 9])
    own = OwnClips(folder)
    assert own.names == ["clip0", "clip1", "clip2", "clip3"] and len(own) == 4
    assert own.lengths.tolist() == [12, 5, 7, 9] and own.frame_shape == (H, W, 3)
    assert not own.still and not own.labelled and own.labels(0) is None
    assert own.where == str(folder) and own.left_out == []
    for i, frames in enumerate(clips):
        np.testing.assert_array_equal(own.frames(i), frames)
        np.testing.assert_array_equal(own.frames(i, 2, 4), frames[2:4])
        np.testing.assert_array_equal(own.frames(i, -1), frames[-1:])
        median = np.rint(np.median(frames, axis=0))
        np.testing.assert_array_equal(own.background(i), median)
    moving = [(np.ptp(frames, 0).max(-1) > 8).mean() for frames in clips]
    np.testing.assert_allclose(own.moving, moving, atol=1e-6)


def test_the_background_is_of_frames_over_all_of_a_clip(tmp_path, monkeypatch):
    frames = clip(length=30)
    frames[:8] = clip(1, length=8)
    np.save(tmp_path / "clip.npy", frames)
    monkeypatch.setattr(background, "FRAMES", 7)
    own = OwnClips(tmp_path / "clip.npy", size=(H, W))
    assert own.background_kind == "still"
    np.testing.assert_array_equal(own.background(0)[4:], frames[8, 4:])


def test_the_kind_of_background_is_one_for_all_clips(tmp_path):
    plain = clip()
    plain[plain < 255] = 90
    plain[:, 5, 5] = 0  # stands still, and is no background
    for i, frames in enumerate([plain, clip(1), plain]):
        save_pictures(tmp_path / "films" / str(i), frames)
    own = OwnClips(tmp_path / "films")
    assert own.background_kind == "plain" and (own.background(0) == 90).all()
    assert (own.background(1) == own.background(1)[0, 0]).all()
    own = OwnClips(tmp_path / "films", clips=2)  # not more than half
    assert own.background_kind == "still" and (own.background(0)[5, 5] == 0).all()


def test_large_frames_have_the_same_background(tmp_path):
    frames = clip(size=(200, 300), length=120)  # more than a piece of rows
    np.save(tmp_path / "clip.npy", frames)
    own = OwnClips(tmp_path / "clip.npy", size=(200, 300))
    median = np.rint(np.median(frames, axis=0))
    np.testing.assert_array_equal(own.background(0), median)


def test_sizes_fit_amid_black(tmp_path):
    save_pictures(tmp_path / "a", np.full((3, 20, 20, 3), 255, np.uint8))
    wide = np.full((3, 10, 30, 3), 255, np.uint8)
    wide[1] = 0
    save_pictures(tmp_path / "b", wide)
    own = OwnClips(tmp_path, size=(10, 20))
    square, wide = own.frames(0)[0, ..., 0], own.frames(1)[0, ..., 0]
    assert (square[:, 5:15] == 255).all() and square.sum() == 255 * 100
    assert (wide[1:8] == 255).all() and wide.sum() == 255 * 140


def test_the_common_size_is_shrunk(tmp_path):
    save_pictures(tmp_path / "a", clip(size=(60, 160)))
    save_pictures(tmp_path / "b", clip(size=(90, 240)))
    save_pictures(tmp_path / "c", clip(size=(90, 240), seed=1))
    assert OwnClips(tmp_path).size == (24, 64)
    assert OwnClips(tmp_path, size=20).size == (20, 20)
    np.save(tmp_path / "d.npy", clip())
    assert OwnClips(tmp_path / "d.npy").size == (H, W)


@pytest.mark.parametrize("first", ["grey", "colour"])
def test_grey_until_a_frame_is_in_colour(tmp_path, first):
    grey, colour = clip(channels=1), clip(1)
    both = [grey, colour] if first == "grey" else [colour, grey]
    for i, frames in enumerate(both):
        save_pictures(tmp_path / "films" / str(i), frames)
    own = OwnClips(tmp_path / "films")
    assert own.channels == 3
    for i, frames in enumerate(both):
        np.testing.assert_array_equal(
            own.frames(i), np.broadcast_to(frames, (T, H, W, 3))
        )
    own = OwnClips(tmp_path / "films", channels=1)
    assert own.channels == 1
    luma = own.frames(int(first == "grey"))
    expected = colour @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luma[..., 0], expected, atol=0.51)


def test_what_is_stored_as_colour_and_looks_grey_is_grey(tmp_path):
    frames = np.repeat(clip(channels=1), 3, -1)
    save_pictures(tmp_path / "a", frames)
    own = OwnClips(tmp_path)
    assert own.channels == 1 and OwnClips(tmp_path, channels=3).channels == 3
    np.testing.assert_array_equal(own.frames(0), frames[..., :1])


def test_pixels_are_rounded_to_bytes(tmp_path):
    values = np.linspace(0, 1, 2 * H * W, dtype=np.float32).reshape(2, H, W)
    for array in (values, np.rint(values * 65535).astype(np.uint16)):
        np.save(tmp_path / "clip.npy", array)
        own = OwnClips(tmp_path / "clip.npy")
        np.testing.assert_allclose(
            own.frames(0)[..., 0] / 255, values, atol=0.502 / 255
        )


# Labels


def test_labels_are_brought_to_the_size(tmp_path):
    frames = clip(size=(2 * H, 2 * W))
    groups = (frames[..., 0] == 255).astype(np.uint8) * 77
    save_pictures(tmp_path / "films" / "a", frames)
    save_pictures(tmp_path / "labels" / "a", groups[..., None])
    own = OwnClips(tmp_path / "films", size=(H, W), labels=tmp_path / "labels")
    assert own.labelled and own.labels(0).shape == (T, H, W)
    np.testing.assert_array_equal(own.labels(0), groups[:, 1::2, 1::2] // 77)
    np.testing.assert_array_equal(own.labels(0, 3, 5), own.labels(0)[3:5])


def test_labels_that_are_all_background_are_none(tmp_path):
    np.save(tmp_path / "clip.npy", clip())
    assert not OwnClips(tmp_path / "clip.npy", labels=np.zeros((T, H, W))).labelled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda groups: groups[:-1], "frame 12, received none; give labels of"),
        (lambda groups: np.concatenate([groups, groups]), "received more; give one"),
        (lambda groups: groups[:, :-1], r"expected \(8, 10\) of a, frame 1, received"),
        (lambda groups: groups + np.arange(10) * 30, None),
    ],
)
def test_labels_of_other_frames(tmp_path, change, message):
    save_pictures(tmp_path / "films" / "a", clip())
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels" / "a.npy", change(np.ones((T, H, W), int)))
    if message is None:
        own = OwnClips(tmp_path / "films", labels=tmp_path / "labels")
        assert own.labels(0).max() == 10
        return
    with pytest.raises(ValueError, match=f"labels: .*{message}"):
        OwnClips(tmp_path / "films", labels=tmp_path / "labels")
    assert not list((tmp_path / "cache").iterdir())


# The folder of decoded clips


def test_a_second_run_decodes_nothing(tmp_path, home, monkeypatch):
    folder, _ = save_some(tmp_path / "films", [T] * 3)
    first = OwnClips(folder)
    assert [path.name for path in home.iterdir()] == [first.folder.name]
    assert first.folder.stat().st_mode & 0o777 == 0o755  # as others' folders are
    monkeypatch.setattr(cache, "_write", lambda *_: pytest.fail("decoded again"))
    again = OwnClips(folder)
    assert again.folder == first.folder and again.digest == first.digest
    np.testing.assert_array_equal(again.frames(2), first.frames(2))


@pytest.mark.parametrize("change", ["size", "channels", "clips", "cache", "file"])
def test_what_is_asked_for_otherwise_is_made_anew(tmp_path, change):
    folder, _ = save_some(tmp_path / "films", [T] * 3)
    first = OwnClips(folder)
    options = {"size": 6, "channels": 1, "clips": 2, "cache": tmp_path / "other"}
    if change == "file":
        Image.fromarray(clip(9)[0]).save(folder / "clip0" / "0.png")
    other = OwnClips(folder, **{k: v for k, v in options.items() if k == change})
    assert other.folder != first.folder
    assert (other.digest == first.digest) == (change == "cache")


@pytest.mark.parametrize("damage", ["short", "index", "pixel", "version", "gone"])
def test_damage_is_found_and_mended(tmp_path, capfd, damage):
    folder, clips = save_some(tmp_path / "films", [T] * 3)
    made = OwnClips(folder).folder
    frames, index = made / "frames.u8", made / "clips.json"
    if damage == "short":
        frames.write_bytes(frames.read_bytes()[:-1])
    elif damage == "index":
        index.write_text("{")
    elif damage == "version":
        index.write_text(json.dumps(json.loads(index.read_text()) | {"version": 0}))
    elif damage == "gone":
        index.unlink()
    else:
        frames.write_bytes(b"\x01" + frames.read_bytes()[1:])
    own = OwnClips(folder)
    assert f"{made}: " in capfd.readouterr().err
    np.testing.assert_array_equal(own.frames(0), clips[0])


def test_nothing_is_left_of_what_failed(tmp_path, home, monkeypatch):
    folder, _ = save_some(tmp_path / "films", [T])

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_behind", stop)
    with pytest.raises(KeyboardInterrupt):
        OwnClips(folder)
    assert not list(home.iterdir())


def test_what_a_killed_process_left_goes_after_a_day(tmp_path, home):
    folder, _ = save_some(tmp_path / "films", [T])
    key = OwnClips(folder).folder.name
    old, new = home / f"{key}.a.partial", home / f"{key}.b.partial"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    cache._tidy(home, key)
    assert new.is_dir() and not old.exists()


def test_another_process_may_be_first(tmp_path, home, monkeypatch):
    folder, clips = save_some(tmp_path / "films", [T])
    write = cache._write

    def slowly(source, made, *asked):
        monkeypatch.setattr(cache, "_write", write)
        OwnClips(folder)
        write(source, made, *asked)

    monkeypatch.setattr(cache, "_write", slowly)
    own = OwnClips(folder)
    assert [path.name for path in home.iterdir()] == [own.folder.name]
    np.testing.assert_array_equal(own.frames(0), clips[0])


def test_a_cache_that_cannot_be_written(tmp_path):
    folder, _ = save_some(tmp_path / "films", [T])
    (tmp_path / "file").write_text("")
    with pytest.raises(
        VideoError, match="cache: .* cannot be written .*; give another"
    ):
        OwnClips(folder, cache=tmp_path / "file")


# What cannot be used


def test_what_cannot_be_used_is_named_and_left_out(tmp_path, capfd):
    folder, clips = save_some(tmp_path / "films", [T, T])
    (folder / "bad.gif").write_bytes(b"GIF89a")
    save_pictures(folder / "a", clip())
    (folder / "a" / "7.png").write_bytes(b"\x89PNG")
    save_pictures(folder / "one", clip(length=1))
    save_pictures(folder / "sizes", clip())
    Image.fromarray(clip(size=(4, 4))[0]).save(folder / "sizes" / "20.png")
    own = OwnClips(folder)
    said = capfd.readouterr().err.splitlines()
    assert own.names == ["clip0", "clip1"] and len(said) == len(own.left_out) == 4
    for line, name in zip(said, ("7.png", "bad.gif", "one", "20.png"), strict=True):
        assert line.startswith("left out: ") and name in line
    for i in (0, 1):
        np.testing.assert_array_equal(own.frames(i), clips[i])
    OwnClips(folder)
    assert not capfd.readouterr().err


def test_labels_of_what_is_left_out_are_left_out(tmp_path):
    for i, name in enumerate("abcd"):
        frames = clip(i)
        save_pictures(tmp_path / "films" / name, frames)
        groups = (frames[..., :1] == 255).all(-1, keepdims=True) * np.uint8(i + 1)
        save_pictures(tmp_path / "labels" / name, groups)
    for name in "ad":
        (tmp_path / "films" / name / "7.png").write_bytes(b"\x89PNG")
    own = OwnClips(tmp_path / "films", labels=tmp_path / "labels")
    assert own.names == ["b", "c"]
    for i in (0, 1):
        seen = (clip(i + 1)[..., 0] == 255).astype(np.uint8)
        np.testing.assert_array_equal(own.labels(i), seen)


def test_many_that_cannot_be_used_are_counted(tmp_path, capfd):
    folder, _ = save_some(tmp_path / "films", [T])
    for i in range(15):
        (folder / f"bad{i}.gif").write_bytes(b"GIF89a")
    OwnClips(folder)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 11 and said[-1] == "left out: 5 clips more"


def test_transparency_is_told_once(tmp_path, capfd):
    frames = np.concatenate([clip(), np.full((T, H, W, 1), 128, np.uint8)], -1)
    for name in "ab":
        save_pictures(tmp_path / name, frames)
    own = OwnClips(tmp_path)
    said = capfd.readouterr().err
    assert said == "a and 1 more: transparent pixels are black\n"
    np.testing.assert_allclose(own.frames(0), frames[..., :3] * (128 / 255), atol=0.51)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: {"bad.gif": b"GIF", "worse.gif": b""},
            "no clip can be used: .*bad.gif",
        ),
        (
            lambda: {"a": clip(length=1), "b": clip(length=1)},
            "single pictures only .2.;",
        ),
        (lambda: {"a": clip()[:1].repeat(5, 0)}, "expected objects that move, but no"),
    ],
)
def test_nothing_that_can_be_used(tmp_path, make, message):
    folder = tmp_path / "films"
    folder.mkdir()
    for name, content in make().items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            save_pictures(folder / name, content)
    with pytest.raises(VideoError, match=message) as error:
        OwnClips(folder)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (3,)}, "size: expected rows and columns, received"),
        ({"size": 0}, "size: expected rows and columns, received 0"),
        ({"channels": 2}, "channels: expected 1, 3 or None, received 2"),
        ({"clips": 0}, "clips: expected an integer >= 1, received 0"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    np.save(tmp_path / "clip.npy", clip())
    with pytest.raises(VideoError, match=message):
        OwnClips(tmp_path / "clip.npy", **options)


# Splits and windows


def test_a_tenth_validates_and_another_one_tests(tmp_path):
    clips = np.stack([clip(i, 3) for i in range(30)])
    np.save(tmp_path / "clips.npy", clips)
    own = OwnClips(tmp_path / "clips.npy", axes="clips-first")
    splits = [own.split(name).tolist() for name in ("train", "validation", "test")]
    assert list(map(len, splits)) == [24, 3, 3]
    assert sorted(sum(splits, [])) == list(range(30))
    assert splits[1:] == [[10, 13, 17], [8, 9, 29]]  # in every run, on any machine


def test_three_clips_are_one_for_each(tmp_path):
    own = OwnClips(save_some(tmp_path / "films", [T] * 3)[0])
    parts = [own.split(name).tolist() for name in ("train", "validation", "test")]
    assert sorted(sum(parts, [])) == [0, 1, 2] and all(len(part) == 1 for part in parts)


def test_a_clip_stays_in_its_split_when_another_is_too_short(tmp_path, capfd):
    own = OwnClips(save_some(tmp_path / "films", [T] * 11 + [4])[0])
    parts = {name: set(own.split(name)) for name in ("train", "validation", "test")}
    for steps in (2, 10):
        for name, part in parts.items():
            assert set(own.windows(name, steps)[:, 0]) <= part
    said = capfd.readouterr().err
    assert said.count("1 of 12 clips have fewer than 11 frames and are not used") == 1


def test_the_splits_of_a_file_are_kept(tmp_path):
    path = tmp_path / "clips.h5"
    frames = np.stack([clip(i, 3) for i in range(12)], axis=1)
    with h5py.File(path, "w") as file:
        file["training/features"] = frames[:, :10]
        file["test/features"] = frames[:, 10:]
    own = OwnClips(path)
    assert own.split("test").tolist() == [10, 11]
    assert len(own.split("validation")) == 1 and len(own.split("train")) == 9


def test_windows(tmp_path):
    own = OwnClips(save_some(tmp_path / "films", [12, 12, 13])[0])
    for name in ("train", "validation", "test"):
        (i,) = own.split(name)
        assert own.windows(name, 5).tolist() == [[i, 0], [i, 3], [i, 6]]
    (i,) = own.split("train")
    stop = own.lengths[i] - 5
    assert own.windows("train", 5, 1).tolist() == [[i, t] for t in range(stop)]
    with pytest.raises(
        VideoError, match="stride: expected an integer >= 1, received 0"
    ):
        own.windows("train", 5, 0)


@pytest.mark.parametrize(("length", "cuts"), [(30, (18, 24)), (100, (80, 90))])
def test_one_clip_is_cut_in_time(tmp_path, length, cuts):
    np.save(tmp_path / "clip.npy", clip(length=length))
    own = OwnClips(tmp_path / "clip.npy")
    train, validation, test = (
        own.windows(name, 5, 1)[:, 1] for name in ("train", "validation", "test")
    )
    assert (train[0], train[-1] + 6) == (0, cuts[0])
    assert (validation[0], validation[-1] + 6) == cuts
    assert (test[0], test[-1] + 6) == (cuts[1], length)


def test_clips_that_are_too_short(tmp_path):
    np.save(tmp_path / "clip.npy", clip(length=17))
    own = OwnClips(tmp_path / "clip.npy")
    with pytest.raises(VideoError, match="at least 18 frames, a third each .* most 17"):
        own.windows("train", 5)
    own = OwnClips(save_some(tmp_path / "films", [T] * 3)[0])
    with pytest.raises(VideoError, match="at least 13 frames for T = 12, .* most 12"):
        own.windows("train", 12)
    own = OwnClips(save_some(tmp_path / "more", [T, 4, 4])[0])
    with pytest.raises(VideoError, match="a clip of at least 8 frames for validation"):
        own.windows("validation", 7)


def test_images_are_one_window_each(tmp_path):
    path = tmp_path / "images.h5"
    with h5py.File(path, "w") as file:
        file["training/features"] = np.stack([clip(i, 1) for i in range(10)], axis=1)
    own = OwnClips(path)
    assert own.still and own.lengths.tolist() == [1] * 10
    assert own.windows("train", 20).tolist() == [[i, 0] for i in own.split("train")]
    whole = np.stack([own.frames(i)[0] for i in range(10)])
    np.testing.assert_array_equal(own.background(7), np.rint(np.median(whole, axis=0)))
    assert own.background_kind == "still"
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["training/features"] = np.stack([clip(i, 1) for i in range(2)], axis=1)
    with pytest.raises(VideoError, match="expected at least 3 images, for train"):
        OwnClips(tmp_path / "two.h5").windows("train", 20)


def test_images_with_a_colour_each(tmp_path, rng, capsys):
    images = np.empty((20, H, W, 3), np.uint8)
    images[:] = rng.integers(0, 256, (20, 1, 1, 3))
    colours = images[:, 0, 0].copy()
    images[:, 1:3, 2:5] = 255 - colours[:, None, None]
    own = OwnClips(save_pictures(tmp_path / "images", images))
    assert own.still and own.names[10] == "10.png" and own.lengths.tolist() == [1] * 20
    assert own.background_kind == "plain"
    found = np.stack([own.background(i) for i in range(20)])
    assert (found == colours[:, None, None]).all()
    assert "20 pictures is taken for an image" in capsys.readouterr().err
    own = OwnClips(tmp_path / "images", background="still")
    median = np.rint(np.median(images, axis=0))
    assert (own.background(3) == median).all() and own.background_kind == "still"
    own = OwnClips(tmp_path / "images", pictures="frames")
    assert not own.still and own.names == ["images"] and own.lengths.tolist() == [20]


def test_pictures_of_a_film_are_frames(tmp_path):
    frames = clip(0, 24, (H, 40))
    own = OwnClips(save_pictures(tmp_path / "film", frames))
    assert not own.still and own.lengths.tolist() == [24]
    whole = save_pictures(tmp_path / "more" / "train", frames[:16])
    save_pictures(tmp_path / "more" / "test", frames[16:])
    own = OwnClips(whole.parent, pictures="images")
    assert own.still and len(own) == 24 and len(own.split("test")) == 8
    np.save(tmp_path / "more" / "clip.npy", frames)
    with pytest.raises(VideoError, match="^pictures: expected folders of PNG or JPEG"):
        OwnClips(whole.parent, pictures="images")


def test_images_have_labels_of_their_names(tmp_path, rng):
    images = rng.integers(1, 256, (9, H, W, 3), np.uint8)
    marks = rng.integers(0, 2, (9, H, W, 1), np.uint8) * np.uint8([9, 9, 200])
    save_pictures(tmp_path / "images", images)
    save_pictures(tmp_path / "labels", marks)
    own = OwnClips(
        tmp_path / "images", labels=tmp_path / "labels", pictures="images", size=(H, W)
    )
    found = np.stack([own.labels(i)[0] for i in range(9)])
    np.testing.assert_array_equal(found, marks[..., 2] > 0)


def test_images_with_a_colour_in_common(tmp_path):
    path = tmp_path / "images.h5"
    images = np.full((1, 20, H, W, 3), 90, np.uint8)
    shades = np.arange(20) * 7 % 20 * 12  # of what covers most of each
    images[:, :, :, 4:] = shades[:, None, None, None]
    with h5py.File(path, "w") as file:
        file["training/features"] = images
    own = OwnClips(path)
    assert own.background_kind == "plain" and own.background(3).shape == (H, W, 1)
    assert (own.background(3) == 90).all()


def test_large_clips_need_little_memory(tmp_path):
    path = tmp_path / "clips.npy"
    frames = np.lib.format.open_memmap(path, "w+", np.uint8, (100, 200, 64, 64))
    frames[:, :, :9, :9] = np.arange(200, dtype=np.uint8)[:, None, None]
    tracemalloc.start()
    own = OwnClips(path, axes="clips-first")
    assert tracemalloc.get_traced_memory()[1] < frames.nbytes / 8
    tracemalloc.stop()
    np.testing.assert_array_equal(own.frames(99)[..., 0], frames[99])


@pytest.mark.parametrize(("count", "trains"), [(1, 1), (2, 1)])
def test_the_last_clip_to_train_on_stays(tmp_path, count, trains):
    path = tmp_path / "clips.h5"
    frames = np.stack([clip(i, 4) for i in range(4)], axis=1)
    with h5py.File(path, "w") as file:
        file["training/features"] = frames[:, :count]
        file["test/features"] = frames[:, count:]
    own = OwnClips(path)
    assert len(own.split("train")) == trains and len(own.windows("train", 2))
    if count == 2:
        assert len(own.windows("validation", 2))
        return
    message = "validation: expected at least 2 clips that train, .* received 1; add"
    with pytest.raises(VideoError, match=message):
        own.windows("validation", 2)


def test_a_film_without_frames_has_no_size():
    from reading import base

    class Films(base.Source):
        def __iter__(self):
            yield base.Clip("empty", lambda: iter(()))
            yield base.Clip("film", lambda: iter(()), size=(20, 30))

    assert cache.common_size(Films()) == (20, 30)
