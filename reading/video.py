"""People's own video as frames that a model takes.

    video = read("clip.mp4", (28, 28, 1), resize=True, threshold=0.5)
    video.frames  # (T, 28, 28, 1), intensity in [0, 1]
    for frame in decoded("clip.mp4"):
        frame.pixels  # (h, w, 3), as the film has them

Reads GIF and other pictures, MP4 and other films, a folder of PNGs, .npy and .npz.
Frames are decoded, converted and shrunk one by one, so a long film needs little memory.
Nothing here imports TensorFlow, so that a wrong file is refused at once.
"""

import contextlib
import itertools
import os
import pathlib
import re
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reading import arrays, pages, values

ARRAYS = (".npy", ".npz")
PICTURES = (".gif", ".png", ".apng", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
FILMS = (".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv")
STILLS = (".png", ".jpg", ".jpeg")  # of a folder
FPS = 8.0  # of an input that does not say
LUMA = (0.299, 0.587, 0.114)  # red, green, blue in ITU-R 601
GREY = 12.5 / 255  # lossy film of grey shapes comes back with channels up to 12 apart
DAMAGED = "it may be damaged or cut off; save or copy it again"


class Video(NamedTuple):
    """A clip, and how fast it was recorded."""

    frames: np.ndarray  # (T, H, W, C) float32, intensity in [0, 1]
    fps: float  # steps per second; 8.0 where the input does not say


class Frame(NamedTuple):
    """One frame of a clip as its file has it."""

    name: str  # the file and which frame of it, for an error
    pixels: np.ndarray  # (h, w, 1 or 3), uint8 in 0..255 or float32 in [0, 1]
    seconds: Fraction | int = 0  # how long it is shown; 0 where that is not said
    transparent: bool = False  # whether black shows through


class VideoError(ValueError):
    """One line: what was expected, what arrived, and the remedy."""


class LabelsError(ValueError):
    """One line: what was expected of labels, what arrived, and the remedy."""


def read(path, frame_shape, *, grey=False, resize=False, threshold=None, first=None):
    """Read a film, an animation, a folder of pictures or an array as one clip.

    Args:
        path: GIF, APNG, WebP or another picture; MP4, MOV, AVI, WebM or MKV; a folder
            of PNG or JPEG, in natural order (frame2 before frame10); or an .npy or
            .npz of shape (T, H, W) or (T, H, W, C), see `reading.arrays`. Of a photo
            with others in its file (depth, a thumbnail, the other eye) the main
            picture is the only frame.
        frame_shape: (H, W, C) of the model; C is 1 (grey) or 3 (red, green, blue).
        grey: turn colour into ITU-R 601 luma. Frames whose three channels are equal
            are grey without it.
        resize: fit frames of another size, keeping their aspect ratio, on black.
        threshold: in [0, 1]; brighter pixels become 1, others 0.
        first: read so many frames at most.

    Returns:
        a `Video`. Its fps is the mean rate where frames last differently long.

    Raises:
        VideoError: if the file or an argument does not fit; one line with the remedy.
    """
    *size, channels = frame_shape
    height, width = size
    if channels not in (1, 3):
        raise VideoError(f"frame_shape: expected 1 or 3 channels, received {channels}")
    if grey and channels == 3:
        raise VideoError("grey: expected a model of 1 channel, received 3; omit --grey")
    if threshold is not None and not 0 <= threshold <= 1:
        raise VideoError(f"threshold: expected 0 to 1, received {threshold}; try 0.5")
    if first is not None and first < 1:
        raise VideoError(f"first: expected at least 1, received {first}")

    frames, seconds, received = [], Fraction(0), None
    with contextlib.closing(decoded(path, size)) as found:
        for name, pixels, duration, _ in itertools.islice(found, first):
            h, w = pixels.shape[:2]
            if not resize and received is None and [h, w] != size:
                raise VideoError(
                    f"{path}: expected frames of {height} x {width}, "
                    f"received {h} x {w}; add --resize"
                )
            received = received or (h, w)
            if (h, w) != received:
                raise VideoError(
                    f"{name}: expected {received[0]} x {received[1]} like the frames "
                    f"before it, received {h} x {w}; save all frames in one size"
                )
            pixels = _in_channels(unit(pixels), channels, grey, name)
            pixels = fit(pixels, height, width)
            if threshold is not None:
                pixels = pixels > threshold
            frames.append(pixels.astype(np.float32))
            seconds += duration
    if not frames:
        raise VideoError(f"{path}: expected frames, received none; {DAMAGED}")
    return Video(np.stack(frames), float(len(frames) / seconds) if seconds else FPS)


def is_binary(frames):
    """Whether all pixels are exactly 0 or 1."""
    return bool(np.all((frames == 0) | (frames == 1)))


def decoded(path, size=None):
    """Decode one clip frame after another, at the size that its file has.

    Args:
        path: see `read`.
        size: (H, W) of the model, where it is known: an array whose last axis is that
            W has no colour.

    Yields:
        a `Frame` each.

    Raises:
        VideoError: if there is nothing of the kind, or where a frame is damaged.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    with in_one_line(path, "check the path"):
        if not path.exists():
            raise VideoError(f"{path}: no such file or folder; check the path")
        folder = path.is_dir()
    if folder:
        yield from _folder(path)
    elif suffix in ARRAYS:
        yield from _array(path, size)
    elif suffix in PICTURES:
        yield from _pictures(path)
    elif suffix in FILMS:
        yield from _film(path)
    else:
        known = " ".join((".npy", *PICTURES, *FILMS, ".npz"))
        raise VideoError(
            f"{path}: expected a folder or one of {known}, "
            f"received {suffix or 'no extension'}; save it as .mp4 or .gif"
        )


@contextlib.contextmanager
def in_one_line(path, remedy=DAMAGED):
    """Tell in one line whatever a decoder raises; they raise nearly anything."""
    try:
        yield
    except (VideoError, LabelsError):
        raise
    except arrays.ShapeError as error:
        raise VideoError(f"{path}: {error}") from None
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        if isinstance(error, UnidentifiedImageError):
            reason = "not a picture"  # the original names the open file, not the path
        reason = reason.splitlines()[0].rstrip(".")
        raise VideoError(f"{path}: cannot be read ({reason}); {remedy}") from error


def _pictures(path):
    """Frames of a file that Pillow opens, one or many."""
    with in_one_line(path), open(path, "rb") as file, Image.open(file) as image:
        places = pages.of_frames(image)
        white = pages.white(image, places)
        for t, place in enumerate(places):
            name = f"{path}, frame {t + 1}"
            image.seek(place)
            pixels, transparent = _pixels(image, name, white)
            seconds = Fraction(image.info.get("duration", 0)) / 1000  # known by now
            yield Frame(name, pixels, seconds, transparent)
        if image.format == "GIF":  # Pillow reads one without its end as a shorter one
            file.seek(max(os.path.getsize(path) - 64, 0))
            if not file.read().rstrip(b"\0\r\n").endswith(b";"):
                raise VideoError(f"{path}: expected the end of a GIF; {DAMAGED}")


def stills(path):
    """PNG and JPEG files of a folder, in natural order."""
    with in_one_line(path, "check the path"):
        files = [
            file
            for file in path.iterdir()
            if file.suffix.lower() in STILLS
            and not file.name.startswith(".")  # macOS puts ._frame1.png beside it
            and file.is_file()
        ]
    return sorted(files, key=lambda file: natural(file.name))


def _folder(path):
    """Frames of a folder's pictures."""
    files = stills(path)
    if not files:
        raise VideoError(f"{path}: expected PNG or JPEG files, received none; add some")
    for file in files:
        with in_one_line(file), open(file, "rb") as data, Image.open(data) as image:
            pixels, transparent = _pixels(image, file)
            yield Frame(str(file), pixels, 0, transparent)


def natural(name):
    """A key to sort names by, so that frame2 stands before frame10."""
    pieces = re.split(r"(\d+)", name.lower())  # text, number, text, ...
    return [int(p) if p.isdecimal() else p for p in pieces], name


def _film(path):
    """Frames of a file that FFmpeg decodes, the way up that a player shows them."""
    try:
        import av  # only films need it
    except ImportError:
        raise VideoError(
            f"reading {path.suffix} needs PyAV: pip install 'nem-tf[video]'"
        ) from None
    with in_one_line(path), open(path, "rb") as file, av.open(file) as container:
        stream = _moving(container, av.stream.Disposition.attached_pic, path)
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        count, cut_off = 0, False
        for packet in container.demux(stream):
            cut_off |= packet.is_corrupt  # its frame comes later, or never
            for frame in packet.decode():
                count += 1
                name = f"{path}, frame {count}"
                if frame.is_corrupt:
                    raise VideoError(f"{name}: cannot be decoded; {DAMAGED}")
                pixels, transparent = _on_black(frame.to_ndarray(format="rgba"))
                pixels = np.rot90(pixels, round(frame.rotation / 90))  # held upright
                yield Frame(name, pixels, 1 / rate if rate else 0, transparent)
        if cut_off:
            raise VideoError(f"{path}: ends within frame {count + 1}; {DAMAGED}")


def _moving(container, cover, path):
    """The first stream of pictures that move: no cover, marked as one or not."""
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        kind = "a cover picture" if container.streams.video else "sound"
        raise VideoError(f"{path}: expected pictures, received {kind} only")
    if len(streams) == 1:
        return streams[0]
    counts = dict.fromkeys(streams, 0)  # an unmarked cover is a film of one frame
    for packet in container.demux(streams):
        counts[packet.stream] += packet.size > 0
        if counts[streams[0]] > 1:
            break
    container.seek(0)
    return next((s for s in streams if counts[s] > 1), streams[0])


def _array(path, size):
    """Frames of an .npy, read as they are needed, or of an .npz."""
    with in_one_line(path):
        array = arrays.as_clip(arrays.opened(path), size)
    white = arrays.white(array)
    for t, frame in enumerate(array):
        yield of_array(frame, white, f"{path}, frame {t + 1}")


def of_array(frame, white, name):
    """A frame of an array, (h, w) or (h, w, 1, 3 or 4), whose brightest is `white`.

    Raises:
        VideoError: if a pixel is not in [0, white].
    """
    low, high = float(frame.min()) / white, float(frame.max()) / white
    _check_range(low, high, frame.dtype, name)
    pixels = np.asarray(frame, np.float32) / np.float32(white)
    pixels = pixels.clip(0, 1).reshape(*frame.shape[:2], -1)  # (h, w, 1, 3 or 4)
    if pixels.shape[-1] != 4:
        return Frame(name, pixels)
    return Frame(name, _composited(pixels), 0, bool((pixels[..., 3] < 1).any()))


def _check_range(low, high, dtype, name):
    """Refuse pixels of an array that are not in [0, 1]."""
    if low >= -values.ROUNDING and high <= 1 + values.ROUNDING:
        return
    line = values.outside(name, low, high)
    if dtype.kind != "f":
        bits = 8 if high <= 255 else 16
        remedy = f"save {bits}-bit frames as uint{bits}, not {dtype}"
        line = f"{line.rpartition('; ')[0]}; {remedy}"
    raise VideoError(line)


def _pixels(image, name, white=65535):
    """The frame that a Pillow image shows now, and whether black shows through it."""
    image = ImageOps.exif_transpose(image)  # cameras store which side was up
    if image.mode in ("1", "L", "LA", "La"):
        return _on_black(np.asarray(image.convert("LA")))
    if not image.mode.startswith(("I", "F")):
        return _on_black(np.asarray(image.convert("RGBA")))
    white = white if image.mode == "I" else 65535
    pixels = np.asarray(image, np.float32)[..., None] / white  # (h, w, 1)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 1:
        raise VideoError(f"{name}: expected 8 or 16 bits a pixel; save it as PNG")
    return pixels, False


def _on_black(pixels):
    """uint8 with alpha (h, w, c + 1) on the models' black: (h, w, c), and whether.

    Opaque pixels stay uint8, others become float32 in [0, 1].
    """
    if pixels[..., -1].min() == 255:
        return pixels[..., :-1], False
    return _composited(unit(pixels)), True


def unit(pixels):
    """Pixels of a `Frame` as float32 in [0, 1]."""
    return pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels


def _composited(pixels):
    """The same in [0, 1] already."""
    return pixels[..., :-1] * pixels[..., -1:]


def _in_channels(pixels, channels, grey, name):
    """(h, w, 1 or 3) -> (h, w, channels)."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    if not grey and not is_grey(pixels):
        raise VideoError(
            f"{name}: expected grey for a model of 1 channel, received colour; "
            "add --grey"
        )
    return luma(pixels)


def is_grey(pixels):
    """Whether the channels (h, w, c), in [0, 1], are equal up to lossy compression."""
    return np.ptp(pixels, axis=-1).max() <= GREY


def luma(pixels):
    """Red, green, blue (h, w, 3) as grey (h, w, 1), both in [0, 1]."""
    red, green, blue = np.split(pixels, 3, axis=-1)
    # As differences, so that equal channels stay exactly what they are.
    return green + LUMA[0] * (red - green) + LUMA[2] * (blue - green)


def place(h, w, height, width):
    """Where frames of (h, w) go in (height, width): top, left, rows, columns.

    They are as large as fits in the same aspect ratio, in the middle.
    """
    scale = min(height / h, width / w)
    rows, columns = max(1, round(h * scale)), max(1, round(w * scale))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def fit(pixels, height, width):
    """As large as fits (height, width, c) in the same aspect ratio, amid black.

    Args:
        pixels: (h, w, c), uint8 or float32 in [0, 1]; what comes back is of that type.
    """
    h, w, channels = pixels.shape
    if (h, w) == (height, width):
        return pixels
    top, left, new_h, new_w = place(h, w, height, width)
    # By a whole factor, boxes give back exactly what was enlarged for the eye.
    whole = all(max(a, b) % min(a, b) == 0 for a, b in ((h, new_h), (w, new_w)))
    kernel = Image.Resampling.BOX if whole else Image.Resampling.BILINEAR
    fitted = np.zeros((height, width, channels), pixels.dtype)
    for c in range(channels):
        channel = Image.fromarray(pixels[..., c]).resize((new_w, new_h), kernel)
        fitted[top : top + new_h, left : left + new_w, c] = channel
    return fitted if pixels.dtype == np.uint8 else fitted.clip(0, 1)
