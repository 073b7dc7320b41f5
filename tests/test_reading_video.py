"""People's own video: pixel values, sizes, and every refusal with its remedy."""

import pathlib
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from reading import video
from reading.video import VideoError, is_binary, read

T, H, W = 3, 5, 6
GREY, COLOUR = (H, W, 1), (H, W, 3)
RED = (255, 0, 0)


@pytest.fixture
def clip(rng):
    """uint8 (T, H, W), every frame different."""
    return rng.integers(0, 256, (T, H, W), np.uint8)


def unit(clip):
    return clip.astype(np.float32)[..., None] / np.float32(255)


def save_animation(path, clip, duration=40, **options):
    first, *rest = [Image.fromarray(frame) for frame in clip]
    if path.suffix == ".webp":
        options |= {"lossless": True, "exact": True}
    first.save(path, save_all=True, append_images=rest, duration=duration, **options)
    return path


def save_pages(path, *pages):
    """A TIFF of arrays, each with the tags {number: value} that it has."""
    with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
        for page, tags in pages:
            Image.fromarray(page).save(file, format="TIFF", tiffinfo=tags)
            file.newFrame()
    return path


def save_mpo(path, *pictures):
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    first.save(path, format="MPO", save_all=True, append_images=rest, quality=100)
    return path


def save_folder(path, clip, names=None):
    path.mkdir()
    for name, frame in zip(names or "abcdefgh", clip, strict=False):
        Image.fromarray(frame).save(path / f"{name}.png")
    return path


def save_npy(path, array):
    np.save(path, array)
    return path


def save_film(
    path, clip, rate=25, codec="mpeg4", pixels="yuv420p", options=None, attached=b""
):
    """Film of uint8 (T, H, W, 3 or 4), to which a JPEG may be attached."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options or {}) as container:
        if attached:
            container.add_attachment("cover.jpg", "image/jpeg", attached)
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = pixels
        stream.bit_rate = 10**7
        stored = "rgba" if clip.shape[-1] == 4 else "rgb24"
        for frame in clip:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), stored)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def halves(count=8, left=255, right=0, height=32, width=48):
    """uint8 (count, height, width, 3), dark and bright halves that film keeps."""
    clip = np.zeros((count, height, width, 3), np.uint8)
    clip[:, :, : width // 2] = left
    clip[:, :, width // 2 :] = right
    return clip


def save_noise_film(path, rng, **options):
    """A film that is hard to compress, so that its end is missed."""
    clip = np.repeat(rng.integers(0, 256, (20, 32, 48, 1), np.uint8), 3, axis=-1)
    return save_film(path, clip, **options)


# What is read


@pytest.mark.parametrize("suffix", [".gif", ".png", ".apng", ".webp", ".tif"])
def test_animations_keep_pixels(tmp_path, clip, suffix):
    path = save_animation(tmp_path / f"clip{suffix}", clip)
    frames, fps = read(path, GREY)
    assert frames.shape == (T, *GREY) and frames.dtype == np.float32
    np.testing.assert_array_equal(frames, unit(clip))
    assert fps == (8.0 if suffix == ".tif" else 25.0)


def test_rate_of_frames_that_last_differently_is_the_mean(tmp_path, clip):
    path = save_animation(tmp_path / "clip.gif", clip, duration=[100, 20, 30])
    assert read(path, GREY).fps == pytest.approx(20.0)
    assert read(str(path), GREY, first=1).fps == pytest.approx(10.0)


def test_a_still_is_a_clip_of_one_frame(tmp_path, clip):
    Image.fromarray(clip[0]).save(tmp_path / "clip.png")
    frames, fps = read(tmp_path / "clip.png", GREY)
    np.testing.assert_array_equal(frames, unit(clip[:1]))
    assert fps == 8.0


def test_default_image_of_an_apng_is_no_frame(tmp_path, clip):
    path = save_animation(tmp_path / "clip.png", clip, default_image=True)
    np.testing.assert_array_equal(read(path, GREY).frames, unit(clip[1:]))


def test_pictures_of_16_bits(tmp_path, rng):
    stored = rng.integers(0, 65536, (H, W), np.uint16)
    Image.fromarray(stored).save(tmp_path / "clip.png")
    frames = read(tmp_path / "clip.png", GREY).frames
    np.testing.assert_allclose(frames[0, ..., 0], stored / 65535, atol=1e-6)


def test_masks_of_one_bit(tmp_path, clip):
    Image.fromarray(clip[0] > 99).save(tmp_path / "clip.png")
    frames = read(tmp_path / "clip.png", GREY).frames
    np.testing.assert_array_equal(frames[0, ..., 0], clip[0] > 99)


def test_alpha_is_composited_on_black(tmp_path):
    pixels = np.full((H, W, 4), 255, np.uint8)
    pixels[0, :, 3], pixels[1, :, 3] = 0, 51
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    Image.fromarray(pixels[..., 2:]).save(tmp_path / "grey.png")
    for name in ("colour.png", "grey.png"):
        frames = read(tmp_path / name, GREY).frames
        np.testing.assert_allclose(frames[0, :3, 0, 0], [0, 0.2, 1], atol=1e-6)


def test_transparent_colour_of_a_gif_is_black(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8))
    image.putpalette([200, 200, 200, 255, 255, 255])
    image.save(tmp_path / "clip.gif", transparency=0)
    frames = read(tmp_path / "clip.gif", (2, 2, 1)).frames
    np.testing.assert_array_equal(frames[0, ..., 0], [[0, 1], [1, 1]])


def test_cameras_say_which_side_was_up(tmp_path, clip):
    image = Image.fromarray(clip[0])
    exif = image.getexif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image.save(tmp_path / "clip.png", exif=exif)
    frames = read(tmp_path / "clip.png", (W, H, 1)).frames
    np.testing.assert_array_equal(frames, unit(np.rot90(clip[:1], -1, axes=(1, 2))))


@pytest.mark.parametrize("sizes", [[(2, 3)], [(H, W)], [(H, W)] * 2, [(9, 9), (1, 2)]])
def test_a_photo_of_a_phone_is_its_main_picture(tmp_path, sizes):
    pictures = [np.full(size, 40 * i, np.uint8) for i, size in enumerate(sizes, 1)]
    main = np.full((H, W), 200, np.uint8)
    for name in (
        "clip.jpg",
        "clip.JPEG",
        "clip.png",
    ):  # what it is, not its name, tells
        path = save_mpo(tmp_path / name, main, *pictures)
        for first in (None, 1, 5):
            frames, fps = read(path, GREY, first=first)
            np.testing.assert_allclose(frames, unit(main[None]), atol=0.01)
            assert fps == 8.0


def test_a_photo_of_a_phone_is_held_upright(tmp_path):
    main = np.zeros((8, 16), np.uint8)
    main[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    gain = Image.new("L", (4, 2))
    Image.fromarray(main).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[gain], exif=exif
    )
    frames = read(tmp_path / "a.jpg", (16, 8, 1)).frames
    turned = unit(np.rot90(main, -1)[None])
    np.testing.assert_allclose(frames, turned, atol=0.02)


def test_a_folder_of_photos_of_a_phone(tmp_path):
    for i in (1, 2):
        pictures = [np.full(size, 100 * i, np.uint8) for size in ((H, W), (2, 2))]
        save_mpo(tmp_path / f"{i}.jpg", *pictures)
    frames = read(tmp_path, GREY).frames
    np.testing.assert_allclose(frames[:, 0, 0, 0], [100 / 255, 200 / 255], atol=0.01)
    assert frames.shape == (2, *GREY)


FULL, SMALL = np.full((H, W), 51, np.uint8), np.zeros((3, 3), np.uint8)
SUBFILE, OLD_SUBFILE = 254, 255  # tags


@pytest.mark.parametrize(
    "pages",
    [
        [(FULL, {}), (SMALL, {})],
        [(FULL, {}), (SMALL, {}), (SMALL[:2, :2], {})],  # a pyramid
        [(FULL, {}), (SMALL, {}), (SMALL[:2], {})],  # thumbnails of two sizes
        [(FULL, {}), (FULL[1:], {SUBFILE: 1})],
        [(FULL, {}), (FULL, {SUBFILE: 1})],
        [(FULL, {}), (FULL, {SUBFILE: 4})],  # where it is opaque
        [(FULL, {}), (FULL, {SUBFILE: 5})],
        [(SMALL, {SUBFILE: 1}), (FULL, {})],
        [(SMALL, {OLD_SUBFILE: 2}), (FULL, {OLD_SUBFILE: 1})],
        [(FULL, {SUBFILE: 1})],  # alone, it is what there is
        [(FULL, {SUBFILE: 4})],
    ],
)
def test_smaller_copies_and_masks_in_a_tiff_are_no_frames(tmp_path, pages):
    path = save_pages(tmp_path / "clip.tif", *pages)
    for resize in (False, True):
        frames = read(path, GREY, resize=resize).frames
        np.testing.assert_array_equal(frames, unit(FULL[None]))


def test_pages_of_a_clip_are_frames(tmp_path, clip):
    marks = [{SUBFILE: 2}, {SUBFILE: 0}, {OLD_SUBFILE: 3}]  # pages of many; nothing
    pages = list(zip(clip, marks, strict=True))
    between = [page for frame in pages for page in (frame, (SMALL, {SUBFILE: 1}))]
    for name, stored in (
        ("pages.tif", pages),
        ("between.tiff", between),
        ("behind.tif", [*pages, (SMALL, {})]),
        ("masks.tif", [(page, {SUBFILE: 4}) for page in clip]),
    ):
        path = save_pages(tmp_path / name, *stored)
        np.testing.assert_array_equal(read(path, GREY).frames, unit(clip))
        frames = read(path, GREY, first=2).frames
        np.testing.assert_array_equal(frames, unit(clip[:2]))
    one = save_pages(tmp_path / "one.tif", *[(page[:1, :1], {}) for page in clip])
    np.testing.assert_array_equal(read(one, (1, 1, 1)).frames, unit(clip[:, :1, :1]))


@pytest.mark.parametrize(
    ("odd", "at"), [(SMALL, 1), (FULL[:4], 1), (FULL[:4], 2), (FULL[:4, :5], 2)]
)
def test_an_odd_page_is_refused(tmp_path, odd, at):
    pages = [FULL, FULL]
    pages.insert(at, odd)
    path = save_pages(tmp_path / "clip.tif", *[(page, {}) for page in pages])
    h, w = odd.shape
    message = (
        rf"clip\.tif, frame {at + 1}: expected 5 x 6 like the frames before it, "
        rf"received {h} x {w}; save all frames in one size"
    )
    for resize in (False, True):
        with pytest.raises(VideoError, match=message):
            read(path, GREY, resize=resize)
    assert len(read(path, GREY, first=at).frames) == at


@pytest.mark.parametrize(
    ("values", "white"), [([0, 51, 255], 255), ([0, 256, 65535], 65535), ([0, 1, 1], 1)]
)
@pytest.mark.parametrize("pages", [1, 3])
def test_tiff_of_32_bits_has_values_of_fewer(tmp_path, values, white, pages):
    values = np.array(values, np.int32)
    stored = [np.full((H, W), value, np.int32) for value in values]
    if pages == 1:
        stored = [np.resize(values, (H, W))]
    small = np.zeros((2, 2), np.uint8)
    tagged = [(page, {}) for page in stored]
    path = save_pages(tmp_path / "clip.tif", *tagged, (small, {}))
    for first in (None, 1):  # the range is that of the whole file
        frames = read(path, GREY, first=first).frames[..., 0]
        np.testing.assert_allclose(frames, np.stack(stored)[:first] / white, atol=1e-7)


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_tiff_of_more_than_16_bits_is_refused(tmp_path, value):
    path = save_pages(tmp_path / "clip.tif", (np.full((H, W), value, np.int32), {}))
    with pytest.raises(VideoError, match="expected 8 or 16 bits a pixel; save it as"):
        read(path, GREY)


@pytest.mark.parametrize("name", ["clip.png", "clip.tif"])
@pytest.mark.parametrize("value", [1, 9, 255])
def test_dark_pictures_of_16_bits_stay_dark(tmp_path, name, value):
    Image.fromarray(np.full((H, W), value, np.uint16)).save(tmp_path / name)
    frames = read(tmp_path / name, GREY).frames
    np.testing.assert_allclose(frames, value / 65535, atol=1e-9)


def test_folder_is_read_in_natural_order(tmp_path, clip):
    path = save_folder(tmp_path / "clip", clip, ["frame10", "frame2", "frame1"])
    (path / "notes.txt").write_text("not a frame")
    (path / "._frame1.png").write_bytes(b"not a frame")
    (path / "more.png").mkdir()
    frames, fps = read(path, GREY)
    np.testing.assert_array_equal(frames, unit(clip[::-1]))
    assert fps == 8.0


def test_folder_of_jpegs(tmp_path):
    for name in ("a.jpg", "b.JPEG"):
        Image.new("L", (W, H), 128).save(tmp_path / name)
    frames = read(tmp_path, GREY).frames
    np.testing.assert_allclose(frames, np.full((2, *GREY), 128 / 255), atol=0.01)


def test_film_keeps_pixels_and_rate(tmp_path):
    path = save_film(tmp_path / "clip.mp4", halves(), rate=25)
    frames, fps = read(path, (32, 48, 1))
    np.testing.assert_allclose(frames, halves()[..., :1] / 255, atol=0.06)
    assert frames.shape == (8, 32, 48, 1) and fps == 25.0


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])
def test_other_films(tmp_path, suffix):
    path = save_film(tmp_path / f"clip{suffix}", halves(), rate=12)
    frames, fps = read(path, (32, 48, 3))
    np.testing.assert_allclose(frames, halves() / 255, atol=0.06)
    assert fps == pytest.approx(12.0, abs=0.01)


def save_covered_film(path, cover_first):
    """Five frames of 32 x 48 and a cover of 64 x 64, first or last."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        streams = {}
        for name in ("cover", "film") if cover_first else ("film", "cover"):
            is_film = name == "film"
            stream = container.add_stream("mpeg4" if is_film else "mjpeg", rate=12)
            stream.width, stream.height = (48, 32) if is_film else (64, 64)
            stream.pix_fmt = "yuv420p" if is_film else "yuvj420p"
            if not is_film:
                stream.disposition = av.stream.Disposition.attached_pic
            streams[name] = stream
        for name, clip in (("cover", halves(1, 99, 99, 64, 64)), ("film", halves(5))):
            for frame in clip:
                frame = av.VideoFrame.from_ndarray(frame, "rgb24")
                container.mux(streams[name].encode(frame))
            container.mux(streams[name].encode())
    return path


def put_cover_first(path):
    """Move the box of an MP4 that holds the cover before the film's."""
    data = path.read_bytes()
    at = data.index(b"moov") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    boxes, place = [], at + 8
    while place < end:
        size = int.from_bytes(data[place : place + 4], "big")
        boxes.append(data[place : place + size])
        place += size
    boxes.sort(key=lambda box: [b"mvhd", b"udta", b"trak"].index(box[4:8]))
    path.write_bytes(data[: at + 8] + b"".join(boxes) + data[end:])


@pytest.mark.parametrize("cover_first", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])  # marked in .mp4 only
def test_a_cover_is_no_film(tmp_path, suffix, cover_first):
    path = save_covered_film(tmp_path / f"clip{suffix}", cover_first)
    if cover_first and suffix == ".mp4":  # where PyAV writes it last
        av = pytest.importorskip("av")
        put_cover_first(path)
        with av.open(str(path)) as container:
            assert container.streams.video[0].width == 64
    frames, fps = read(path, (32, 48, 1))
    np.testing.assert_allclose(frames, halves(5)[..., :1] / 255, atol=0.06)
    assert fps == 12.0


def test_a_cover_attached_to_a_film(tmp_path):
    av = pytest.importorskip("av")
    if not hasattr(av.container.OutputContainer, "add_attachment"):
        pytest.skip("this PyAV attaches no files")
    Image.new("RGB", (64, 64), (99, 99, 99)).save(tmp_path / "cover.jpg")
    cover = (tmp_path / "cover.jpg").read_bytes()
    path = save_film(tmp_path / "clip.mkv", halves(), attached=cover)
    assert read(path, (32, 48, 1)).frames.shape == (8, 32, 48, 1)


def test_the_first_of_two_films(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=12) for _ in range(2)]
        for stream, size in zip(streams, (32, 64), strict=True):
            stream.height, stream.width, stream.pix_fmt = size, size, "yuv420p"
        for stream in reversed(streams):  # also where the other one's frames are first
            for frame in halves(5, height=stream.height, width=stream.width):
                frame = av.VideoFrame.from_ndarray(frame, "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    assert read(path, (32, 32, 1)).frames.shape == (5, 32, 32, 1)


def test_a_cover_without_a_film(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    save_covered_film(path, cover_first=False)
    data = path.read_bytes().replace(b"trak", b"free")
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(VideoError, match="expected pictures, received a cover pictur"):
        read(path, (32, 48, 1))


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("rate", [Fraction(1, 655), Fraction(30000, 1001), 1000])
def test_rates_of_films(tmp_path, suffix, count, rate):
    path = save_film(tmp_path / f"clip{suffix}", halves(count), rate=rate)
    frames, fps = read(path, (32, 48, 1))
    assert len(frames) == count and fps == pytest.approx(float(rate), rel=1e-3)


@pytest.mark.parametrize("rate", [None, Fraction(0)])
def test_a_film_that_says_no_rate(tmp_path, monkeypatch, rate):
    av = pytest.importorskip("av")
    path = save_film(tmp_path / "clip.mp4", halves())
    for name in ("average_rate", "guessed_rate"):
        monkeypatch.setattr(av.video.stream.VideoStream, name, rate)
    assert read(path, (32, 48, 1)).fps == 8.0


def test_alpha_of_a_film_is_composited_on_black(tmp_path):
    clip = np.full((2, 32, 48, 4), 255, np.uint8)
    clip[:, :16, :, 3] = 51
    path = save_film(tmp_path / "clip.mov", clip, codec="png", pixels="rgba")
    frames = read(path, (32, 48, 1)).frames
    np.testing.assert_allclose(frames[:, [0, -1], 0, 0], [[0.2, 1]] * 2, atol=1e-6)


def test_film_of_a_phone_is_held_upright(tmp_path):
    path = save_film(tmp_path / "clip.mp4", halves())
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44  # where the track's matrix is
    one = 1 << 16
    # (x, y) -> (height - y, x): the left side is shown on top.
    matrix = [0, one, 0, -one, 0, 0, 32 * one, 0, 1 << 30]
    turned = b"".join(number.to_bytes(4, "big", signed=True) for number in matrix)
    path.write_bytes(data[:at] + turned + data[at + 36 :])
    frames = read(path, (48, 32, 1)).frames
    np.testing.assert_allclose(frames[:, :24], 1, atol=0.06)
    np.testing.assert_allclose(frames[:, 24:], 0, atol=0.06)


@pytest.mark.parametrize("shape", [(T, H, W), (T, H, W, 1), (T, H, W, 3)])
def test_arrays_keep_pixels(tmp_path, rng, shape):
    array = rng.random(shape, np.float32)
    path = save_npy(tmp_path / "clip.npy", array)
    frames, fps = read(path, (H, W, 3 if shape[-1] == 3 else 1))
    np.testing.assert_array_equal(frames, array.reshape(T, H, W, -1))
    assert frames.dtype == np.float32 and fps == 8.0


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 51, 255], np.uint8, [0, 0.2, 1]),
        ([0, 13107, 65535], np.uint16, [0, 0.2, 1]),
        ([0, 13107, 65535], ">u2", [0, 0.2, 1]),
        ([0, 1, 1], np.uint8, [0, 1, 1]),
        ([0, 1, 0], np.uint16, [0, 1, 0]),
        ([0, 1, 0], np.int64, [0, 1, 0]),
        ([False, True, True], bool, [0, 1, 1]),
        ([0, 0.25, 1 + 1e-9], np.float64, [0, 0.25, 1]),
        ([0, 0.25, 1], np.float16, [0, 0.25, 1]),
    ],
)
def test_range_of_arrays(tmp_path, values, dtype, expected):
    array = np.array(values, dtype).reshape(3, 1, 1)
    frames = read(save_npy(tmp_path / "clip.npy", array), (1, 1, 1)).frames
    np.testing.assert_allclose(frames.ravel(), expected, atol=1e-6)
    assert frames.max() <= 1


def test_range_of_bytes_is_that_of_the_whole_file(tmp_path):
    array = np.array([1, 255], np.uint8).reshape(2, 1, 1)
    path = save_npy(tmp_path / "clip.npy", array)
    frames = read(path, (1, 1, 1), first=1).frames
    np.testing.assert_allclose(frames.ravel(), [1 / 255], atol=1e-6)


# Colour


def test_grey_is_repeated_for_a_model_of_colour(tmp_path, clip):
    path = save_npy(tmp_path / "clip.npy", clip)
    frames = read(path, COLOUR).frames
    np.testing.assert_array_equal(frames, np.repeat(unit(clip), 3, axis=-1))


def test_colour_is_kept_for_a_model_of_colour(tmp_path):
    Image.new("RGB", (W, H), (0, 51, 255)).save(tmp_path / "clip.png")
    frames = read(tmp_path / "clip.png", COLOUR).frames
    np.testing.assert_allclose(frames[0, 0, 0], [0, 0.2, 1], atol=1e-6)


def test_equal_channels_are_grey_to_the_last_bit(tmp_path, clip):
    path = save_npy(tmp_path / "clip.npy", np.stack([clip] * 3, axis=-1))
    for grey in (False, True):
        np.testing.assert_array_equal(read(path, GREY, grey=grey).frames, unit(clip))


def test_grey_is_luma(tmp_path):
    for t, colour in enumerate([RED, (0, 255, 0), (0, 0, 255)]):
        Image.new("RGB", (W, H), colour).save(tmp_path / f"{t}.png")
    frames = read(tmp_path, GREY, grey=True).frames
    np.testing.assert_allclose(frames[:, 0, 0, 0], [0.299, 0.587, 0.114], atol=1e-6)


def test_channels_may_differ_by_what_film_loses(tmp_path):
    pixels = np.full((1, 1, 1, 3), 100, np.uint8)
    pixels[..., 0] = 112
    path = save_npy(tmp_path / "clip.npy", pixels)
    assert read(path, (1, 1, 1)).frames.shape == (1, 1, 1, 1)
    pixels[..., 0] = 113
    with pytest.raises(VideoError, match="received colour"):
        read(save_npy(path, pixels), (1, 1, 1))


def test_a_frame_of_colour_is_refused_by_its_number(tmp_path):
    images = [Image.new("RGB", (W, H), c) for c in ((9, 9, 9), RED)]
    path = tmp_path / "clip.gif"
    images[0].save(path, save_all=True, append_images=images[1:])
    with pytest.raises(VideoError, match=r"clip\.gif, frame 2: .* add --grey"):
        read(path, GREY)
    assert read(path, GREY, first=1).frames.shape == (1, *GREY)


# Size and threshold


def test_wide_and_tall_frames_are_fitted_amid_black(tmp_path):
    for name, height, width in (("wide", 10, 40), ("tall", 40, 10)):
        path = save_npy(tmp_path / f"{name}.npy", np.ones((1, height, width)))
        frame = read(path, (20, 20, 1), resize=True).frames[0, ..., 0]
        frame = frame if name == "wide" else frame.T
        np.testing.assert_array_equal(frame[7:12], 1)  # 15 rows of black: 7 on top
        np.testing.assert_array_equal(frame[:7], 0)
        np.testing.assert_array_equal(frame[12:], 0)


def test_what_was_enlarged_for_the_eye_is_shrunk_back(tmp_path, clip):
    large = clip.repeat(7, axis=1).repeat(7, axis=2)
    frames = read(save_npy(tmp_path / "a.npy", large), GREY, resize=True).frames
    np.testing.assert_allclose(frames, unit(clip), atol=1e-6)
    frames = read(save_npy(tmp_path / "b.npy", clip), (7 * H, 7 * W, 1), resize=True)
    np.testing.assert_allclose(frames.frames, unit(large), atol=1e-6)


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((1, 90, 90), np.float32)
    stripes[:, :, ::2] = 1
    path = save_npy(tmp_path / "clip.npy", stripes)
    for size in (9, 28):
        frames = read(path, (size, size, 1), resize=True).frames
        np.testing.assert_allclose(frames, 0.5, atol=0.12)


def test_resizing_keeps_colours_apart_and_pixels_in_range(tmp_path, rng):
    array = rng.integers(0, 2, (2, 13, 17, 3)).astype(np.float32)
    array[..., 2] = 1
    path = save_npy(tmp_path / "clip.npy", array)
    for shape in ((7, 7, 3), (29, 31, 3)):
        frames = read(path, shape, resize=True).frames
        assert frames.shape == (2, *shape)
        assert frames.min() >= 0 and frames.max() <= 1
        inside = frames[:, shape[0] // 2, :, 2]
        np.testing.assert_allclose(inside, 1, atol=1e-5)


def test_threshold_comes_after_resizing(tmp_path):
    array = np.zeros((1, 2, 4), np.float32)
    array[0, :, 0], array[0, :, 2:] = 1, (0.5, 0.9)  # means 0.5 and 0.7
    path = save_npy(tmp_path / "clip.npy", array)
    frames = read(path, (1, 2, 1), resize=True, threshold=0.5).frames
    np.testing.assert_array_equal(frames.ravel(), [0, 1])  # above, not at
    assert frames.dtype == np.float32 and is_binary(frames)


def test_is_binary():
    assert is_binary(np.array([0.0, 1.0], np.float32))
    assert not is_binary(np.array([0.0, 0.5, 1.0], np.float32))
    assert is_binary(np.array([False, True]))


# First frames


def test_first_frames_only(tmp_path, clip):
    paths = [
        save_animation(tmp_path / "clip.gif", clip),
        save_folder(tmp_path / "clip", clip),
        save_npy(tmp_path / "clip.npy", clip),
    ]
    for path in paths:
        frames = read(path, GREY, first=2).frames
        np.testing.assert_array_equal(frames, unit(clip[:2]))
        assert len(read(path, GREY, first=99).frames) == T


def test_frames_after_the_first_are_not_decoded(tmp_path, clip, monkeypatch):
    path = save_folder(tmp_path / "clip", clip)
    (path / "c.png").write_bytes(b"damaged")
    assert len(read(path, GREY, first=2).frames) == 2
    decoded = []
    on_black = video._on_black
    monkeypatch.setattr(
        video, "_on_black", lambda pixels: decoded.append(1) or on_black(pixels)
    )
    film = save_film(tmp_path / "clip.mp4", halves(count=20))
    assert len(read(film, (32, 48, 1), first=3).frames) == 3
    assert len(decoded) == 3
    with pytest.raises(VideoError, match="add --resize"):
        read(film, GREY)
    assert len(decoded) == 4


def test_large_frames_are_not_kept(tmp_path):
    import tracemalloc

    path = save_npy(tmp_path / "clip.npy", np.zeros((40, 400, 500), np.uint8))
    tracemalloc.start()
    read(path, GREY, resize=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 4 * 400 * 500  # few of the forty frames, in float32


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.5}, "threshold: expected 0 to 1, received 1.5"),
        ({"threshold": float("nan")}, "threshold: expected 0 to 1, received nan"),
        ({"first": 0}, "first: expected at least 1, received 0"),
    ],
)
def test_wrong_arguments(tmp_path, clip, arguments, message):
    path = save_npy(tmp_path / "clip.npy", clip)
    with pytest.raises(VideoError, match=message):
        read(path, GREY, **arguments)


def test_wrong_channels_of_the_model(tmp_path, clip):
    path = save_npy(tmp_path / "clip.npy", clip)
    with pytest.raises(VideoError, match="frame_shape: expected 1 or 3 channels"):
        read(path, (H, W, 2))
    with pytest.raises(VideoError, match="grey: expected a model of 1 channel"):
        read(path, COLOUR, grey=True)


@pytest.mark.parametrize("kind", ["gif", "folder", "npy", "mp4"])
def test_another_size_is_refused(tmp_path, clip, kind):
    if kind == "mp4":
        path = save_film(tmp_path / "clip.mp4", halves(height=H + 1, width=W))
        size = "6 x 6"
    else:
        save = {"gif": save_animation, "folder": save_folder, "npy": save_npy}[kind]
        path, size = save(tmp_path / f"clip.{kind}", clip), "5 x 6"
    message = rf"clip\.{kind}: expected frames of 28 x 20, received {size}; add"
    with pytest.raises(VideoError, match=message + " --resize"):
        read(path, (28, 20, 1))


@pytest.mark.parametrize("resize", [False, True])
def test_sizes_that_differ_are_refused(tmp_path, clip, resize):
    path = save_folder(tmp_path / "clip", clip)
    Image.new("L", (W, H + 1)).save(path / "b.png")
    message = r"b\.png: expected 5 x 6 like the frames before it, received 6 x 6; save"
    with pytest.raises(VideoError, match=message):
        read(path, GREY, resize=resize)


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file or folder; check"):
        read(tmp_path / "gone.mp4", GREY)
    with pytest.raises(VideoError, match="cannot be read .*; check the path"):
        read("x" * 5000 + ".gif", GREY)
    with pytest.raises(VideoError, match="expected PNG or JPEG files, received none"):
        read(tmp_path, GREY)


@pytest.mark.parametrize(("name", "received"), [("a.xyz", ".xyz"), ("a", "no ext")])
def test_unknown_extensions(tmp_path, name, received):
    (tmp_path / name).write_bytes(b"1")
    message = rf"one of \.npy \.gif .*, received {received}.*; save it as \.mp4"
    with pytest.raises(VideoError, match=message):
        read(tmp_path / name, GREY)


@pytest.mark.parametrize("data", [b"", b"junk" * 50])
@pytest.mark.parametrize("suffix", [*video.PICTURES, *video.FILMS, *video.ARRAYS])
def test_files_that_are_something_else(tmp_path, suffix, data):
    if suffix in video.FILMS:
        pytest.importorskip("av")
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"clip\.\w+: cannot be read \(.+\); ") as e:
        read(path, GREY)
    assert len(str(e.value).splitlines()) == 1 and "0x" not in str(e.value)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".jpg", ".tif", ".npy"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_files_cut_off(tmp_path, rng, suffix, share):
    clip = rng.integers(0, 256, (5, 40, 50), np.uint8)
    path = tmp_path / f"clip{suffix}"
    if suffix == ".npy":
        np.save(path, clip)
    elif suffix == ".jpg":
        Image.fromarray(clip[0]).save(path)
    else:
        save_animation(path, clip)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(VideoError, match="; ") as error:
        read(path, (40, 50, 1))
    assert len(str(error.value).splitlines()) == 1


def test_gif_cut_off_between_frames(tmp_path, clip):
    path = save_animation(tmp_path / "clip.gif", clip)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VideoError, match="expected the end of a GIF; it may be damag"):
        read(path, GREY)
    assert len(read(path, GREY, first=T).frames) == T


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "mpeg4"), (".mp4", "libx264"), (".avi", "mpeg4")]
)
def test_films_cut_off(tmp_path, rng, suffix, codec, share):
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    path = tmp_path / f"clip{suffix}"
    save_noise_film(path, rng, codec=codec, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(VideoError, match="; it may be damaged or cut off"):
        read(path, (32, 48, 1))


def test_films_damaged_within(tmp_path, rng):
    path = save_noise_film(tmp_path / "clip.mp4", rng)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100] = bytes(100)
    path.write_bytes(data)
    message = r"frame \d+: cannot be decoded; it may be damaged or cut off"
    with pytest.raises(VideoError, match=message):
        read(path, (32, 48, 1))


def test_film_without_pictures(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 4096), np.float32), "fltp", "mono"
        )
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="expected pictures, received sound only"):
        read(path, GREY)


def test_film_without_pyav(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(b"1")
    monkeypatch.setitem(sys.modules, "av", None)
    message = r"^reading \.mp4 needs PyAV: pip install 'nem-tf\[video\]'$"
    with pytest.raises(VideoError, match=message):
        read(tmp_path / "clip.mp4", GREY)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((T, H, W), 255.0), r"received values in \[255, 255\]; divide 8-bit"),
        (np.linspace(0, 255, H * W).reshape(1, H, W), r"values in \[0, 255\]; divide"),
        (np.full((T, H, W), -1.0), r"values in \[-1, -1\]; .*shift and scale"),
        (np.full((T, H, W), 2, np.int64), "as uint8, not int64"),
        (np.full((T, H, W), -1, np.int8), "as uint8, not int8"),
        (np.full((T, H, W), np.nan), r"in \[nan, nan\]; replace NaN and infinity"),
        (np.full((T, H, W), np.inf), r"in \[inf, inf\]; replace NaN and infinity"),
        (np.zeros((T, H, W), complex), "expected numbers, received complex128; save"),
        (np.full((T, H, W), "a"), "expected numbers, received <U1; save"),
        (np.full((T, H, W), None), r"Python objects.*; save numbers of shape \(T, H"),
        (np.zeros((H, W)), r"received \(5, 6\); .* frame\[None\]"),
        (np.zeros((2, T, H, W)), "received .2, 3, 5, 6.; save a batch of clips as one"),
        (np.zeros((2, T, H, W, 1)), "; save a batch of clips as one clip per file"),
        (np.zeros((0, H, W)), r"received \(0, 5, 6\); save some frames"),
        (np.zeros((T, 0, W)), r"received \(3, 0, 6\); save some frames"),
    ],
)
def test_arrays_of_something_else(tmp_path, array, message):
    path = save_npy(tmp_path / "clip.npy", array)
    with pytest.raises(VideoError, match=message) as error:
        read(path, GREY, resize=True)
    assert str(error.value).startswith(f"{path}")


def test_a_frame_out_of_range_is_named(tmp_path):
    array = np.zeros((T, H, W))
    array[1, 2, 3] = np.nan
    path = save_npy(tmp_path / "clip.npy", array)
    with pytest.raises(VideoError, match=r"clip\.npy, frame 2: .* NaN"):
        read(path, GREY)


def test_pictures_of_floats(tmp_path):
    Image.fromarray(np.full((H, W), 0.5, np.float32)).save(tmp_path / "clip.tif")
    with pytest.raises(VideoError, match="expected 8 or 16 bits a pixel; save it as"):
        read(tmp_path / "clip.tif", GREY)


def test_frames_at_their_own_size(tmp_path, clip):
    colour = np.stack([clip, clip // 2, clip // 3], -1)
    film = save_film(tmp_path / "clip.mp4", np.full((2, 16, 24, 3), 255, np.uint8))
    for path, seen in (
        (save_npy(tmp_path / "grey.npy", clip), clip[..., None]),
        (save_folder(tmp_path / "frames", colour), colour),
        (film, np.full((2, 16, 24, 3), 255)),
    ):
        found = list(video.decoded(path))
        pixels = np.stack([video.unit(frame.pixels) for frame in found])
        np.testing.assert_allclose(pixels, seen / 255, atol=1e-6)
        assert not any(frame.transparent for frame in found)


def test_frames_that_let_black_through_say_so(tmp_path, clip):
    alpha = np.stack([clip, clip, clip, np.full_like(clip, 128)], -1)
    (tmp_path / "a").mkdir()
    Image.fromarray(alpha[0]).save(tmp_path / "a" / "1.png")
    (frame,) = video.decoded(tmp_path / "a")
    assert frame.transparent and frame.pixels.dtype == np.float32
    (frame,) = video.decoded(save_npy(tmp_path / "alpha.npy", alpha[:1]))
    assert frame.transparent


def test_tensorflow_is_not_imported():
    code = "import sys, reading.own; sys.exit('tensorflow' in sys.modules)"
    root = pathlib.Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
