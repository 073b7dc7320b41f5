"""What a path holds: its clips, their names, pixels and labels, and every refusal."""

import gzip
import os

import h5py
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reading import labels, sources, stacks, video
from reading.labels import LabelsError
from reading.sources import find
from reading.video import VideoError

N, T, H, W = 3, 4, 5, 6


@pytest.fixture
def frames(rng):
    """uint8 (N, T, H, W, 3)."""
    return rng.integers(1, 256, (N, T, H, W, 3), np.uint8)


def save_pictures(folder, clip):
    folder.mkdir(parents=True)
    for t, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"{t}.png")
    return folder


def save_gif(path, clip):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.fromarray(frame) for frame in clip]
    first.save(path, save_all=True, append_images=rest, duration=40)
    return path


def pixels(clip):
    """All frames of a clip, (T, h, w, 1 or 3) in [0, 1]."""
    return np.stack([video.unit(frame.pixels) for frame in clip.frames()])


def codes(clip):
    return np.stack(list(clip.labels()))


def same(source, clips):
    """Whether a source has these clips, uint8 (N, T, H, W, C)."""
    found = [pixels(clip) for clip in source]
    np.testing.assert_allclose(np.stack(found), np.stack(clips) / 255, atol=1e-6)
    return True


# Folders


def test_a_folder_of_folders_and_files(tmp_path, frames):
    save_pictures(tmp_path / "b" / "clip10", frames[2])
    save_pictures(tmp_path / "b" / "clip9", frames[1])
    np.save(tmp_path / "a.npy", frames[0])
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("no clip")
    source = find(tmp_path)
    assert [clip.name for clip in source] == ["a.npy", "b/clip9", "b/clip10"]
    assert source.count == 3 and not source.still and not source.notes
    assert same(source, frames)


def test_a_folder_of_pictures_is_one_clip(tmp_path, frames):
    source = find(save_pictures(tmp_path / "clip", frames[0]))
    assert [clip.name for clip in source] == ["clip"] and same(source, frames[:1])


def test_a_film_is_one_clip(tmp_path, frames):
    source = find(save_gif(tmp_path / "clip.gif", frames[0] // 200 * 255))
    (clip,) = source
    assert clip.name == "clip.gif" and pixels(clip).shape == (T, H, W, 3)


def test_pictures_beside_films_are_told(tmp_path, frames):
    save_gif(tmp_path / "clip.gif", frames[0])
    Image.fromarray(frames[0, 0]).save(tmp_path / "cover.png")
    Image.fromarray(frames[0, 0]).save(tmp_path / "poster.jpg")
    source = find(tmp_path)
    assert source.count == 1 and "2 pictures beside clips are not taken" in str(
        source.notes
    )


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ["test", "train", "validation"]),
        (("Training", "test", "test"), ["train", "test", "test"]),
        (("train", "train", "train"), [None] * 3),
        (("train", "test", "other"), [None] * 3),
    ],
)
def test_folders_that_are_splits(tmp_path, frames, folders, splits):
    for i, folder in enumerate(folders):
        save_gif(tmp_path / folder / f"{i}.gif", frames[i])
    source = find(tmp_path)
    found = [clip.split for clip in source]
    assert sorted(map(str, found)) == sorted(map(str, splits))
    assert source.own_splits == (splits[0] is not None)
    for clip in source:
        if clip.split:
            assert clip.name.lower().startswith(clip.split[:3])


def test_links_around_a_folder_end(tmp_path, frames):
    save_gif(tmp_path / "a" / "clip.gif", frames[0])
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert [clip.name for clip in find(tmp_path)] == ["a/clip.gif"]


def test_the_state_changes_with_a_file(tmp_path, frames):
    save_gif(tmp_path / "1.gif", frames[0])
    save_pictures(tmp_path / "2", frames[1])
    first = find(tmp_path).state()
    assert find(tmp_path).state() == first
    os.utime(tmp_path / "1.gif", (9, 9))  # as after a change of the same length
    second = find(tmp_path).state()
    assert second != first
    Image.fromarray(frames[2, 0]).save(tmp_path / "2" / "9.png")
    assert find(tmp_path).state() != second


# Arrays


@pytest.fixture
def moving():
    """uint8 (N, T, H, W): a bright row that goes down, elsewhere in each clip."""
    clips = np.zeros((N, T, 8, 9), np.uint8)
    for n in range(N):
        for t in range(T):
            clips[n, t, t : t + 4, n * 3 : n * 3 + 3] = 255
    return clips


@pytest.mark.parametrize("axes", ["auto", "clips-first", "time-first"])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("first", ["clips", "time"])
def test_which_axis_is_time(tmp_path, moving, axes, channels, first):
    clips = np.broadcast_to(moving.reshape(*moving.shape, 1), (*moving.shape, 3))
    clips = clips[..., 0] if not channels else clips[..., : channels[0]]
    array = clips if first == "clips" else clips.swapaxes(0, 1)
    np.save(tmp_path / "clips.npy", array)
    source = find(tmp_path / "clips.npy", axes=axes)
    if axes in ("auto", f"{first}-first"):
        assert same(source, clips.reshape(N, T, 8, 9, -1))
        assert [clip.name for clip in source] == ["0", "1", "2"]
    else:
        assert source.count == T
    assert source.axes == (f"{first}-first" if axes == "auto" else axes)


def test_channels_may_stand_before_rows(tmp_path, moving):
    np.save(tmp_path / "clips.npy", moving[:, :, None])
    assert same(find(tmp_path / "clips.npy"), moving[..., None])


def test_one_clip_of_an_array(tmp_path, frames):
    for clip in (frames[0], frames[0, ..., 0]):
        np.save(tmp_path / "clip.npy", clip)
        source = find(tmp_path / "clip.npy")
        assert [found.name for found in source] == ["clip.npy"]
        assert same(source, clip.reshape(1, T, H, W, -1))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_a_batch_of_one_clip(shape, rng):
    array = rng.random((*shape, H, W))
    assert stacks.time_axis(array) == shape.index(5)


@pytest.mark.parametrize(
    ("convert", "white"),
    [
        (lambda clips: clips.astype(np.uint16) * 257, 1),
        (lambda clips: (clips / 255).astype(np.float32), 1),
        (lambda clips: clips > 0, 1),
        (lambda clips: (clips > 0).astype(np.uint8), 1),
    ],
)
def test_numbers_of_every_type(tmp_path, moving, convert, white):
    np.savez(tmp_path / "clips.npz", convert(moving))
    assert same(find(tmp_path / "clips.npz"), moving[..., None])


def test_an_array_is_not_read_at_once(tmp_path):
    clips = np.lib.format.open_memmap(
        tmp_path / "clips.npy", "w+", np.uint8, (400, 20, 64, 64)
    )
    clips[::2] = 255
    source = find(tmp_path)  # the only file of the folder
    assert source.count == 400
    import tracemalloc

    tracemalloc.start()
    assert sum(1 for clip in source for _ in clip.frames()) == 8000
    assert tracemalloc.get_traced_memory()[1] < clips.nbytes / 20
    tracemalloc.stop()


# HDF5


def save_hdf5(path, frames, groups=None, names=("training", "test")):
    with h5py.File(path, "w") as file:
        for name in names:
            file[f"{name}/features"] = frames.swapaxes(0, 1)
            if groups is not None:
                file[f"{name}/groups"] = groups.swapaxes(0, 1)
    return path


def test_an_hdf5_file_has_its_own_splits_and_labels(tmp_path, frames, rng):
    groups = rng.integers(0, 3, (N, T, H, W))
    source = find(save_hdf5(tmp_path / "clips.h5", frames / 255, groups))
    clips = [(clip.name, clip.split, pixels(clip), codes(clip)) for clip in source]
    assert [clip[0] for clip in clips] == [
        *(f"training/{i}" for i in range(N)),
        *(f"test/{i}" for i in range(N)),
    ]
    assert [clip[1] for clip in clips] == ["train"] * N + ["test"] * N
    assert source.own_splits and source.count == 2 * N
    for (*_, seen, known), clip, labelled in zip(
        clips, [*frames, *frames], [*groups, *groups], strict=True
    ):
        np.testing.assert_allclose(seen, clip / 255, atol=1e-6)
        np.testing.assert_array_equal(known, labelled)


def test_a_file_of_one_group_is_split_as_others_are(tmp_path, frames):
    source = find(save_hdf5(tmp_path / "clips", frames, names=("training",)))
    assert not source.own_splits and same(source, frames)
    assert {clip.split for clip in source} == {None}


def test_more_clips_than_a_block(tmp_path, rng):
    clips = rng.integers(0, 256, (150, 2, 3, 4, 1), np.uint8)
    groups = rng.integers(0, 9, clips.shape[:4])
    source = find(save_hdf5(tmp_path / "clips.h5", clips, groups, names=("test",)))
    assert same(source, clips)
    np.testing.assert_array_equal([codes(clip) for clip in source], groups)


# TFRecord


def record(image, mask=None, encode=None, **sizes):
    """A record as the benchmarks write it: a string for each byte."""

    def strings(array):
        return [bytes([value]) for value in array.reshape(-1)]

    features = {"image": [encode(image)] if encode else strings(image)}
    if mask is not None:
        features["mask"] = strings(mask)
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        for name, values in features.items()
    }
    for name, value in sizes.items():
        features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Example(features=tf.train.Features(feature=features))


def save_records(path, records, compression=""):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for one in records:
            writer.write(one.SerializeToString())
    return path


def masks_of(groups, entities=3):
    """(entities, H, W, 1) of 0 and 255."""
    ids = np.arange(entities)[:, None, None]
    return ((groups == ids) * 255).astype(np.uint8)[..., None]


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("size", [(8, 8), (6, 8)])
def test_images_of_records(tmp_path, rng, compression, size):
    images = rng.integers(0, 256, (4, *size, 3), np.uint8)
    groups = rng.integers(0, 3, (4, *size))
    for part in (0, 1):
        save_records(
            tmp_path / f"scenes.tfrecords-{part}-of-2",
            [record(images[i], masks_of(groups[i])) for i in (2 * part, 2 * part + 1)],
            compression,
        )
    source = find(tmp_path)
    assert source.still and len(list(source)) == 4
    assert same(source, images[:, None])
    np.testing.assert_array_equal([codes(clip)[0] for clip in source], groups)


FACTORS = {  # of each entity, beside image and mask; how many numbers
    "tetrominoes": {"x": 1, "y": 1, "shape": 1, "color": 3, "visibility": 1},
    "multi_dsprites": {"x": 1, "shape": 1, "color": 3, "visibility": 1, "scale": 1},
    "objects_room": {},
    "clevr": {"x": 1, "pixel_coords": 3, "visibility": 1},
}


@pytest.mark.parametrize(
    ("name", "shape", "entities", "behind"),
    [
        ("tetrominoes", (35, 35, 3), 4, 1),
        ("multi_dsprites", (64, 64, 3), 5, 1),
        ("multi_dsprites", (64, 64, 1), 4, 1),
        ("objects_room", (64, 64, 3), 7, 4),
        ("clevr", (240, 320, 3), 11, 1),
    ],
)
@pytest.mark.parametrize("compression", ["GZIP", ""])
def test_records_as_the_benchmarks_have_them(
    tmp_path, rng, name, shape, entities, behind, compression
):
    present = entities - 1  # the last one is not in the image
    images = rng.integers(0, 256, (2, *shape), np.uint8)
    groups = np.sort(rng.integers(0, present, (2, *shape[:2])), axis=1)
    for part, (image, group) in enumerate(zip(images, groups, strict=True)):
        mask = masks_of(group, entities)
        if name == "multi_dsprites":  # (H, W, entities, 1)
            mask = np.moveaxis(mask, 0, 2)
        one = record(image, mask)
        for factor, numbers in FACTORS[name].items():
            values = rng.uniform(size=entities * numbers)
            if factor == "visibility":
                values = np.arange(entities) < present
            floats = tf.train.FloatList(value=values)
            one.features.feature[factor].float_list.CopyFrom(floats)
        if name == "clevr":  # encoded by a byte
            size = tf.train.BytesList(value=[b"\1"] * entities)
            one.features.feature["size"].bytes_list.CopyFrom(size)
        save_records(tmp_path / f"{name}_{part}.tfrecords", [one], compression)
    source = find(tmp_path)
    assert same(source, images[:, None])
    wanted = np.maximum(groups - (behind - 1), 0)
    np.testing.assert_array_equal([codes(clip)[0] for clip in source], wanted)


def test_grey_and_encoded_images(tmp_path, rng):
    image = rng.integers(0, 256, (9, 9, 1), np.uint8)
    tall = rng.integers(0, 256, (10, 7, 3), np.uint8)

    def png(pixels):
        Image.fromarray(pixels).save(tmp_path / "image.png")
        return (tmp_path / "image.png").read_bytes()

    save_records(
        tmp_path / "a.tfrecord",
        [record(image), record(tall, encode=png), record(tall, height=10, width=7)],
    )
    found = [pixels(clip)[0] for clip in find(tmp_path / "a.tfrecord")]
    for seen, expected in zip(found, (image, tall, tall), strict=True):
        np.testing.assert_allclose(seen, expected / 255, atol=1e-6)


def test_a_damaged_file_of_records_is_one_clip_that_fails(tmp_path, rng):
    image = rng.integers(0, 256, (8, 8, 3), np.uint8)
    save_records(tmp_path / "a.tfrecord", [record(image)])
    whole = save_records(tmp_path / "b.tfrecord", [record(image)] * 2).read_bytes()
    (tmp_path / "b.tfrecord").write_bytes(whole[:-20])
    first, second, third = find(tmp_path)
    assert pixels(first).shape == pixels(second).shape == (1, 8, 8, 3)
    with pytest.raises(VideoError, match=r"b\.tfrecord: cannot be read"):
        pixels(third)


def test_records_of_something_else(tmp_path, rng):
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    path = save_records(tmp_path / "a.tfrecord", [record(image)])
    with pytest.raises(VideoError, match="expected an image of a known size, received"):
        next(iter(find(path)))
    plain = tf.train.Example()
    path = save_records(tmp_path / "b.tfrecord", [plain])
    with pytest.raises(VideoError, match="expected a feature 'image', received ..;"):
        next(iter(find(path)))
    with gzip.open(tmp_path / "c.tfrecord", "wb") as file:
        file.write(b"no record, whatever it is")
    (clip,) = find(tmp_path / "c.tfrecord")
    with pytest.raises(VideoError, match=r"c\.tfrecord: cannot be read"):
        pixels(clip)


# tensorflow-datasets


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a data set of videos and one of images, and the videos."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (N, T, 8, 9, 3), np.uint8)
    groups = rng.integers(0, 3, (N, T, 8, 9, 1), np.uint8)
    examples = [
        {"video": clip, "segmentations": labelled}
        for clip, labelled in zip(clips, groups, strict=True)
    ]
    videos = {
        "video": tfds.features.Video(shape=(T, 8, 9, 3)),
        "segmentations": tfds.features.Tensor(shape=(T, 8, 9, 1), dtype=np.uint8),
    }
    images = {"image": tfds.features.Image(shape=(8, 9, 3))}
    for name, features, splits in (
        ("some_videos", videos, {"train": examples, "test": examples[:1]}),
        ("some_images", images, {"test": [{"image": clip[0]} for clip in clips]}),
        ("some_numbers", {"x": tfds.features.Scalar(np.int64)}, {"test": [{"x": 1}]}),
    ):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={key: list(enumerate(x)) for key, x in splits.items()},
            data_dir=folder,
            disable_shuffling=True,
        )
    return folder, clips, groups


def test_prepared_videos(prepared, monkeypatch):
    folder, clips, groups = prepared
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    source = find("tfds:some_videos")
    assert source.own_splits and source.count == N + 1 and not source.still
    found = list(source)
    assert [clip.split for clip in found] == ["train"] * N + ["test"]
    assert [clip.name for clip in found][::N] == ["train/000000", "test/000000"]
    assert same(source, [*clips, clips[0]])
    np.testing.assert_array_equal([codes(c) for c in found[:N]], groups[..., 0])
    assert source.state()


def test_prepared_images(prepared, monkeypatch):
    folder, clips, _ = prepared
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    source = find("tfds:some_images")
    assert source.still and not source.own_splits and same(source, clips[:, :1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some_numbers", "expected a feature that is a video or an image, received x"),
        ("no_such_thing", "expected a prepared data set, received none"),
        ("mnist", "expected a prepared data set, received none"),
    ],
)
def test_what_is_not_prepared(prepared, monkeypatch, name, message):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared[0]))
    with pytest.raises(VideoError, match=f"tfds:{name}: {message}") as error:
        find(f"tfds:{name}")
    assert len(str(error.value).splitlines()) == 1


# Labels


def test_labels_mirror_a_folder(tmp_path, frames):
    groups = np.zeros((N, T, H, W), np.uint8)
    groups[:, :, :2], groups[:, :, 3:] = 7, 200
    save_pictures(tmp_path / "clips" / "a", frames[0])
    save_gif(tmp_path / "clips" / "b.gif", frames[1])
    np.save(tmp_path / "clips" / "c.npy", frames[2])
    colours = np.stack([groups[0], 0 * groups[0], groups[0] // 9], -1)
    save_pictures(tmp_path / "labels" / "a", colours)
    save_pictures(tmp_path / "labels" / "b", groups[1])
    np.save(tmp_path / "labels" / "c.npy", groups[2])
    for clip, known in zip(
        find(tmp_path / "clips", labelled=tmp_path / "labels"), groups, strict=True
    ):
        number = labels.Numbers(clip.name)
        found = np.stack([number(code) for code in clip.labels()])
        np.testing.assert_array_equal(found, np.select([known == 7, known > 7], [1, 2]))


def test_one_clip_and_its_labels_may_have_other_names(tmp_path, frames):
    path = save_gif(tmp_path / "clip.gif", frames[0])
    save_pictures(tmp_path / "truth", frames[0, ..., 0] // 128)
    (clip,) = find(path, labelled=tmp_path / "truth")
    np.testing.assert_array_equal(codes(clip) > 0, frames[0, ..., 0] > 127)


def test_labels_of_an_array(tmp_path, moving, rng):
    groups = rng.integers(0, 4, moving.shape)
    np.save(tmp_path / "clips.npy", moving.swapaxes(0, 1))
    np.save(tmp_path / "labels.npy", groups.swapaxes(0, 1)[..., None])
    for given in (tmp_path / "labels.npy", groups.swapaxes(0, 1)):
        source = find(tmp_path / "clips.npy", labelled=given)
        np.testing.assert_array_equal([codes(clip) for clip in source], groups)
    np.save(tmp_path / "clip.npy", moving[0])
    (clip,) = find(tmp_path / "clip.npy", labelled=groups[0])
    np.testing.assert_array_equal(codes(clip), groups[0])


def test_a_colour_is_one_object_with_and_without_alpha(tmp_path):
    seen = np.zeros((2, H, W, 4), np.uint8)
    seen[:, 1:3, 2:4] = 200, 10, 3, 255
    (tmp_path / "labels").mkdir()
    Image.fromarray(seen[0, ..., :3]).save(tmp_path / "labels" / "0.png")
    Image.fromarray(seen[1]).save(tmp_path / "labels" / "1.png")
    first, second = labels.of_file(tmp_path / "labels")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first > 0, seen[0, ..., 0] > 0)


def test_the_largest_mask_is_the_label():
    masks = np.zeros((3, 1, 4))
    masks[0, 0, 0], masks[1, 0, 1], masks[2, 0, :3] = 9, 9, (1, 1, 1)
    np.testing.assert_array_equal(labels.of_masks(masks), [[0, 1, 2, 0]])


def test_objects_are_numbered_as_they_appear():
    number = labels.Numbers("clip")
    np.testing.assert_array_equal(number(np.array([[0, 9, 5]])), [[0, 2, 1]])
    np.testing.assert_array_equal(number(np.array([[7, 9, 2**40]])), [[3, 2, 4]])
    with pytest.raises(LabelsError, match="at most 255 objects in clip, received more"):
        number(np.arange(300))
    with pytest.raises(LabelsError, match="at most 255 objects"):
        number(np.arange(100, 353))  # few in each frame, many in all


def test_shrunk_labels_lie_where_the_pixels_do(rng):
    codes = rng.integers(0, 2, (12, 20))
    shown = video.fit((codes * 255).astype(np.uint8)[..., None], 24, 60)
    fitted = labels.shrunk(codes, 24, 60)
    np.testing.assert_array_equal(shown[..., 0] > 127, fitted > 0)
    small = labels.shrunk(np.kron(codes, np.ones((3, 3), int)), 12, 20)
    np.testing.assert_array_equal(small, codes)
    np.testing.assert_array_equal(labels.shrunk(np.arange(9)[None], 1, 3)[0], [1, 4, 7])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "labels: no such file or folder"),
        ("empty", "labels: expected those of each clip in .* none of a .2 of 2 have"),
        (np.zeros(3), "labels: expected a folder like .* received ndarray; save them"),
    ],
)
def test_labels_that_a_folder_refuses(tmp_path, frames, given, message):
    for name in "ab":
        save_pictures(tmp_path / "clips" / name, frames[0])
    (tmp_path / "empty").mkdir()
    given = tmp_path / given if isinstance(given, str) else given
    with pytest.raises(LabelsError, match=message):
        find(tmp_path / "clips", labelled=given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            np.zeros((N, T, 8, 8)),
            r"expected integers \(3, 4, 8, 9\), as many as pixels",
        ),
        (np.full((N, T, 8, 9), "a"), "received <U1"),
        ("labels.npy", "labels: .*cannot be read"),
    ],
)
def test_labels_that_an_array_refuses(tmp_path, moving, given, message):
    np.save(tmp_path / "clips.npy", moving)
    given = tmp_path / given if isinstance(given, str) else given
    with pytest.raises(LabelsError, match=message):
        find(tmp_path / "clips.npy", labelled=given)


@pytest.mark.parametrize("bad", [-1, 0.5])
def test_labels_are_whole_numbers(tmp_path, moving, bad):
    np.save(tmp_path / "clips.npy", moving)
    groups = np.zeros(moving.shape)
    groups[0, 1, 2, 3] = bad
    clip = next(iter(find(tmp_path / "clips.npy", labelled=groups)))
    with pytest.raises(
        LabelsError, match="expected integers from 0 in clip 0, frame 2"
    ):
        codes(clip)


def test_files_that_hold_their_own_labels(tmp_path, frames):
    path = save_hdf5(tmp_path / "clips.h5", frames)
    with pytest.raises(LabelsError, match="expected none, since .* holds its own"):
        find(path, labelled=tmp_path)
    with pytest.raises(LabelsError, match="received ndarray; leave them out"):
        find(path, labelled=np.zeros(3))


# Refusals


def test_refusals_are_one_line(tmp_path, frames):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("clips")
    (tmp_path / "text.h5").write_text("clips")
    np.save(tmp_path / "rows.npy", np.zeros((3, 4)))
    np.save(tmp_path / "two.npy", np.zeros((3, 4, 5, 6, 2)))
    np.save(tmp_path / "words.npy", np.full((3, 4, 5), "a"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = frames
    save_hdf5(tmp_path / "flat.h5", frames[..., 0])
    for name, message in {
        "nowhere": "no such file or folder; check the path",
        "empty": "expected clips, received none; add GIF, MP4",
        "text.txt": "expected a folder, a GIF.*, received .txt",
        "text.h5": "cannot be read",
        "rows.npy": r"expected \(N, T, H, W.*received \(3, 4\)",
        "two.npy": r"received \(3, 4, 5, 6, 2\)",
        "words.npy": "expected numbers, received <U1",
        "other.h5": "expected groups training, .*received .'images'.",
        "flat.h5": "expected features .F, N, H, W, C. with",
    }.items():
        with pytest.raises(VideoError, match=message) as error:
            find(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1
    np.save(tmp_path / "clips.npy", frames[..., 0])
    with pytest.raises(VideoError, match="axes: expected one of auto, clips-first"):
        find(tmp_path / "clips.npy", axes="first")


def test_an_archive_that_does_not_fit_the_memory(tmp_path, frames, monkeypatch):
    np.savez_compressed(tmp_path / "clips.npz", frames)
    free = stacks.psutil.virtual_memory()._replace(available=frames.nbytes)
    monkeypatch.setattr(stacks.psutil, "virtual_memory", lambda: free)
    with pytest.raises(VideoError, match="at most half of the .* save it as .npy"):
        find(tmp_path / "clips.npz")


def test_pixels_out_of_range_are_named(tmp_path, moving):
    bright = moving.astype(float)
    np.save(tmp_path / "clips.npy", bright)
    clip = next(iter(sources.find(tmp_path / "clips.npy")))
    with pytest.raises(VideoError, match="clip 0, frame 1: expected pixels in .0, 1."):
        pixels(clip)


def test_labels_inside_a_file_that_do_not_fit_are_told_as_labels(tmp_path, frames):
    groups = np.zeros((N, T, H, W + 1), int)
    source = find(save_hdf5(tmp_path / "clips.h5", frames, groups))
    with pytest.raises(LabelsError) as error:
        list(source)
    assert "damaged" not in str(error.value)


def test_an_array_of_single_pictures_is_of_images(tmp_path, rng):
    images = rng.integers(0, 256, (6, 1, 8, 9, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    source = sources.find(tmp_path / "images.npy", axes="clips-first")
    assert source.still and source.count == 6
    for clip, image in zip(source, images, strict=True):
        (frame,) = clip.frames()
        np.testing.assert_array_equal(frame.pixels, image[0])
    assert not sources.find(tmp_path / "images.npy").still  # a film, as saved by N = 1
