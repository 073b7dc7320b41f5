"""NumPy files as clips: which axis is which, and what to do with other shapes."""

import pickle

import numpy as np
import pytest

from reading.video import VideoError, read

T, H, W = 7, 5, 6
GREY, COLOUR = (H, W, 1), (H, W, 3)


def save(path, array):
    np.save(path, array)
    return path


def refusal(path, shape=GREY, **options):
    """The line without the path that it begins with."""
    with pytest.raises(VideoError) as error:
        read(path, shape, **options)
    line = str(error.value)
    assert len(line.splitlines()) == 1 and line.startswith(f"{path}")
    return line.removeprefix(f"{path}: ")


# Photos


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_photo_is_one_frame(tmp_path, rng, dtype, channels):
    photo = rng.random((H, W, channels))
    white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    path = save(tmp_path / "a.npy", (photo * white).astype(dtype))
    frames, fps = read(path, (H, W, channels))
    np.testing.assert_allclose(frames, photo[None], atol=1 / 255)
    assert frames.shape == (1, H, W, channels) and fps == 8.0


@pytest.mark.parametrize("alpha", [False, True])
def test_a_photo_is_fitted_and_told_as_a_picture_is(tmp_path, rng, alpha):
    photo = rng.integers(0, 256, (64, 64, 3 + alpha), np.uint8)
    path = save(tmp_path / "photo.npy", photo)
    assert refusal(path, (28, 28, 1)) == (
        "expected frames of 28 x 28, received 64 x 64; add --resize"
    )
    assert "received colour; add --grey" in refusal(path, (28, 28, 1), resize=True)
    frames = read(path, (28, 28, 1), resize=True, grey=True).frames
    assert frames.shape == (1, 28, 28, 1)
    frames = read(path, (28, 28, 3), resize=True).frames
    assert frames.shape == (1, 28, 28, 3)


@pytest.mark.parametrize("width", [1, 3, 4])
@pytest.mark.parametrize("steps", [2, 3, 20])
def test_a_model_of_narrow_frames_takes_clips(tmp_path, rng, width, steps):
    for shape in ((steps, 9, width), (steps, 9, width, 1), (steps, 9, width, 3)):
        clip = rng.random(shape, np.float32)
        model = (9, width, 3 if len(shape) == 4 else 1)
        frames = read(save(tmp_path / "clip.npy", clip), model).frames
        assert frames.shape == (steps, 9, width, model[-1])
    batch = save(tmp_path / "batch.npy", np.zeros((2, steps, 9, width)))
    assert "save a batch of clips as one clip per file" in refusal(batch, (9, width, 1))


def test_three_rows_of_pixels_are_no_photo(tmp_path):
    for shape in ((2, 6, 3), (3, 6, 3), (6, 4, 4), (T, H, 2), (3, H, W), (4, H, W)):
        path = save(tmp_path / "clip.npy", np.zeros(shape))
        frames = read(path, (9, 9, 1), resize=True).frames
        assert len(frames) == shape[0]


# Alpha


@pytest.mark.parametrize("shape", [(T, H, W), (H, W)])
def test_alpha_of_arrays_is_composited_on_black(tmp_path, shape):
    clip = np.full((*shape, 4), 255, np.uint8)
    clip[..., 0, :, 3], clip[..., 1, :, 3] = 0, 51
    clip[..., 2, :, 0] = 51
    expected = np.ones((H, W, 3))
    expected[0], expected[1], expected[2, :, 0] = 0, 0.2, 0.2
    stored = {"8": clip, "16": clip * np.uint16(257), "f": clip / 255}
    for name, array in stored.items():
        path = save(tmp_path / f"{name}.npy", array)
        frames = read(path, COLOUR).frames
        assert len(frames) == (T if len(shape) == 3 else 1)
        for frame in frames:
            np.testing.assert_allclose(frame, expected, atol=1e-6)
        assert read(path, GREY, grey=True).frames.shape == (len(frames), *GREY)
        assert "received colour; add --grey" in refusal(path)


def test_alpha_of_masks(tmp_path):
    clip = np.zeros((T, H, W, 4), np.uint8)
    assert not read(save(tmp_path / "a.npy", clip), GREY).frames.any()
    clip[..., 0, :] = 1
    frames = read(save(tmp_path / "a.npy", clip), GREY).frames
    assert frames[:, :, 0].all() and not frames[:, :, 1:].any()


# Other shapes


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((T, 3, H, W), "channels-first frames as np.moveaxis(array, 1, -1)"),
        ((T, 4, H, W), "channels-first frames as np.moveaxis(array, 1, -1)"),
        ((T, 1, H, W), "save channels-first frames as np.moveaxis(array, 1, -1)"),
        ((1, 3, H, W), "channels-first frames as np.moveaxis(array, 1, -1)"),
        ((1, 1, H, W), "save channels-first frames as np.moveaxis(array, 1, -1)"),
        ((3, T, H, W), "a clip of channels first as np.moveaxis(array, 0, -1)"),
        ((1, T, H, W), "save a batch of one clip as array[0]"),
        ((2, T, H, W), "save a batch of clips as one clip per file"),
        ((1, T, H, W, 3), "save a batch of one clip as array[0]"),
        ((2, T, H, W, 3), "save a batch of clips as one clip per file"),
        ((2, T, 3, H, W), "one clip per file, each as np.moveaxis(clip, 1, -1)"),
        ((1, 2, T, H, W, 3), "save a batch of clips as one clip per file"),
        (
            (T, H, W, 2),
            "keep the channels that show colour, for example array[..., :1]",
        ),
        (
            (T, H, W, 5),
            "keep the channels that show colour, for example array[..., :1]",
        ),
        ((H, W), "one frame is a clip as frame[None]"),
        ((64, 64), "one frame is a clip as frame[None]"),
        ((T, H * W), "save frames without rows as array.reshape(-1, 5, 6)"),
        ((T, H * W * 3), "save frames without rows as array.reshape(-1, 5, 6, 3)"),
        ((H * W,), "save frames without rows as array.reshape(-1, 5, 6)"),
        ((T,), "save frames that have rows and columns"),
        ((), "save frames that have rows and columns"),
        ((0, H, W), "save some frames"),
        ((T, H, W, 0), "save some frames"),
        ((0,), "save some frames"),
    ],
)
def test_shapes_get_their_remedy(tmp_path, rng, shape, remedy):
    array = rng.random(shape)
    path = save(tmp_path / "clip.npy", array)
    line = refusal(path, resize=True)
    assert line.startswith(
        f"expected (T, H, W) or (T, H, W, C) with C 1, 3 or 4, received {shape}; "
    )
    assert line.endswith(remedy)
    for call in (
        "np.moveaxis(array, 1, -1)",
        "np.moveaxis(array, 0, -1)",
        "array[0]",
        "array.reshape(-1, 5, 6)",
        "array.reshape(-1, 5, 6, 3)",
        "frame[None]",
        "array[..., :1]",
    ):
        if remedy.endswith(call):  # does what it says
            mended = eval(call, {"np": np, "array": array, "frame": array})
            read(save(tmp_path / "mended.npy", mended), COLOUR, resize=True)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_python_objects_are_never_unpickled(tmp_path, suffix):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    frames = np.empty(2, object)
    frames[:] = [np.zeros((H, W)), Bomb()]
    path = tmp_path / f"clip{suffix}"
    if suffix == ".npy":
        np.save(path, frames, allow_pickle=True)
    else:
        np.savez(path, frames)
    assert refusal(path) == (
        "expected numbers, received Python objects; save numbers of shape (T, H, W) or "
        "(T, H, W, C), as np.stack(frames) makes them"
    )
    path.write_bytes(pickle.dumps(Bomb()))
    assert "cannot be read" in refusal(path)


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        (np.full((T, H, W), 200, np.int32), "save 8-bit frames as uint8, not int32"),
        (np.full((T, H, W), 4095, np.int32), "save 16-bit frames as uint16, not int32"),
        (
            np.full((T, H, W), 9999, np.uint32),
            "save 16-bit frames as uint16, not uint32",
        ),
        (np.full((T, H, W, 4), 200.0), "divide 8-bit frames by 255"),
        (np.full((H, W, 3), 200.0), "divide 8-bit frames by 255"),
    ],
)
def test_values_get_their_remedy(tmp_path, values, remedy):
    assert refusal(save(tmp_path / "clip.npy", values), COLOUR).endswith(f"; {remedy}")


@pytest.mark.parametrize("off", [5e-6, 9e-6])
def test_what_floats_lose_is_forgiven(tmp_path, off):
    clip = np.array([-off, 1 + off] * 3, np.float64).reshape(1, 1, W)
    frames = read(save(tmp_path / "clip.npy", clip), (1, W, 1)).frames
    np.testing.assert_array_equal(frames.ravel(), [0, 1] * 3)
    path = save(tmp_path / "clip.npy", clip * 3 - 1)
    assert "expected pixels in [0, 1]" in refusal(path, (1, W, 1))


def test_a_cut_off_array_is_told_as_one(tmp_path):
    path = save(tmp_path / "clip.npy", np.zeros((T, H, W)))
    path.write_bytes(path.read_bytes()[:-9])
    assert refusal(path).endswith("it may be damaged or cut off; save or copy it again")


# Archives


@pytest.mark.parametrize("name", ["arr_0", "frames", "gamma"])
@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_the_only_array_of_an_archive(tmp_path, rng, name, savez):
    clip = rng.integers(0, 256, (T, H, W), np.uint8)
    savez(tmp_path / "clip.npz", **{name: clip})
    frames, fps = read(tmp_path / "clip.npz", GREY, first=3)
    np.testing.assert_array_equal(frames[..., 0], clip[:3] / np.float32(255))
    assert fps == 8.0
    (tmp_path / "clip.npz").rename(tmp_path / "clip.npy")  # what it is, not its name
    assert len(read(tmp_path / "clip.npy", GREY).frames) == T
    save(tmp_path / "array.npy", clip).rename(tmp_path / "array.npz")
    assert len(read(tmp_path / "array.npz", GREY).frames) == T


def test_frames_among_other_arrays(tmp_path, rng):
    clip = rng.random((T, H, W), np.float32)
    np.savez(tmp_path / "clip.npz", labels=np.zeros(T), frames=clip)
    frames = read(tmp_path / "clip.npz", GREY).frames
    np.testing.assert_array_equal(frames[..., 0], clip)


def test_several_arrays_are_named(tmp_path):
    arrays = {name: np.zeros((T, H, W)) for name in ("objects", *"bcdef")}
    path = tmp_path / "clip.npz"
    shown = ((0, "none"), (2, "objects, b"), (6, "objects, b, c, d, e, ..."))
    for count, names in shown:
        np.savez(path, **dict(list(arrays.items())[:count]))
        assert refusal(path) == (
            f"expected one array or one called frames, received {names}; save it with "
            "np.savez(FILE, frames=array)"
        )


def test_a_result_is_no_video(tmp_path):
    found = {name: np.zeros((T, H, W)) for name in ("segments", "gamma", "psi")}
    path = tmp_path / "out.npz"
    np.savez(path, **found)
    line = "expected frames, received a result (segments, gamma, psi); give the video "
    assert refusal(path) == line + "that it was made from"
    np.savez(path, **found, frames=np.zeros((T, H, W, 1)))
    assert refusal(path).endswith(
        "(segments, gamma, psi, frames); give the video that it was made from, or save "
        "np.load(FILE)['frames'] as .npy"
    )
    taken = save(tmp_path / "clip.npy", np.load(path)["frames"])
    assert len(read(taken, GREY).frames) == T


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.99])
def test_archives_cut_off(tmp_path, rng, share):
    path = tmp_path / "clip.npz"
    np.savez(path, rng.random((T, H, W)))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "cannot be read" in refusal(path)
    assert refusal(path).endswith("it may be damaged or cut off; save or copy it again")


def test_archives_of_something_else(tmp_path):
    import zipfile

    path = tmp_path / "clip.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clip.gif", b"GIF89a")
    assert "expected one array or one called frames, received clip.gif" in refusal(path)
    data = bytearray(path.read_bytes())
    data[35:40] = bytes(5)
    path.write_bytes(data)
    assert "expected" in refusal(path) or "cannot be read" in refusal(path)
