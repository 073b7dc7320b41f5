"""Clips as bytes on the disk: decoded once, brought to one size, read by memory maps.

    folder = cached(find("films"), size=(64, 64))

A folder has
    frames.u8       uint8 (all frames, H, W, C), clip after clip
    labels.u8       uint8 (all frames, H, W), if labels are known
    backgrounds.u8  uint8 (clips, H, W, C); or one of all still images, (1, H, W, C);
                    empty if they are left for later
    clips.json      what clips there are, and a digest of it all

It is written under another name and renamed when it is whole. Old folders may be
deleted at any time.
"""

import collections
import concurrent.futures
import contextlib
import errno
import itertools
import json
import math
import os
import pathlib
import shutil
import sys
import tempfile
import time
from numbers import Integral

import numpy as np
from tqdm import tqdm

from reading import background, base, labels, video

VERSION = 3  # of what is written; another one is made anew
LARGEST = 64  # pixels of the longer side, where no size is asked for
FRAMES, LABELS, BACKGROUNDS, INDEX = (
    "frames.u8",
    "labels.u8",
    "backgrounds.u8",
    "clips.json",
)
SPREAD = 200  # frames at most, evenly spaced, that tell what changes
TRIED = 32  # clips, or still images, that tell what kind of background there is
MOVES = 8  # levels of 255 by which a pixel changes that moves; lossy film flickers
PIECE = 256  # frames or clips at a time
SAID = 10  # clips that are left out and named
LOOK = 64  # frames of which the digest is made
DAY = 86400  # seconds


class Damaged(Exception):
    """A folder is not what it was when it was written."""


def home():
    """Where the folders are, unless said otherwise: NEM_TF_CACHE or ~/.cache."""
    given = os.environ.get("NEM_TF_CACHE")
    default = pathlib.Path("~/.cache/nem_tf/clips")
    return (pathlib.Path(given) if given else default).expanduser()


def cached(
    source,
    *,
    size=None,
    channels=None,
    clips=None,
    behind="auto",
    later=False,
    where=None,
):
    """The folder of a source's clips, made now or in an earlier run.

    Frames of another size are made as large as fits in the same aspect ratio, in the
    middle of black, as `video.read` does; labels go to the same places by nearest
    neighbours. Pixels are rounded to 8 bits. What cannot be decoded and films of one
    frame are left out, with a line on stderr.

    Args:
        source: `base.Source`.
        size: (H, W); None is the most common one among the first 100 clips, shrunk to
            at most `LARGEST` pixels on the longer side.
        channels: 1, as ITU-R 601 luma; 3; or None: 1 if all frames are grey.
        clips: how many to take, from the first; None is all.
        behind: kind of the backgrounds, "plain" or "still"; "auto": what most clips
            seem to have.
        later: whether backgrounds of films are left out, which take most of the time.
        where: folder of the folders; None is `home()`.

    Raises:
        VideoError: if no clip is left, or nothing moves.
        LabelsError: if labels do not fit.
    """
    where = home() if where is None else pathlib.Path(where).expanduser()
    asked = [VERSION, source.state(), size, channels, clips, LARGEST, behind, later]
    key = base.digest([json.dumps(asked).encode()])[:16]
    folder = where / key
    if folder.is_dir():
        try:
            check(folder)
            return folder
        except Damaged as damage:
            print(f"{folder}: {damage}; made anew", file=sys.stderr)
            shutil.rmtree(folder)
    try:
        where.mkdir(parents=True, exist_ok=True)
        _tidy(where, key)
        made = pathlib.Path(tempfile.mkdtemp(".partial", f"{key}.", where))
        try:
            size = check_size(size) if size else common_size(source)
            _write(source, made, size, channels, clips, behind, later)
            made.chmod(0o755)
            try:
                made.rename(folder)
            except OSError:  # another process was first
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        remedy = "give another folder as cache or NEM_TF_CACHE"
        if error.errno == errno.ENOSPC:
            remedy = "make room, or " + remedy
        raise video.VideoError(
            f"cache: {where} cannot be written ({error.strerror or error}); {remedy}"
        ) from error
    return folder


def check_size(size):
    """(H, W) of a pair or one integer.

    Raises:
        VideoError: if it is not one of positive integers.
    """
    pair = (size, size) if isinstance(size, Integral) else size
    whole = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not whole or not all(isinstance(n, Integral) and n > 0 for n in pair):
        raise video.VideoError(
            f"size: expected rows and columns, received {size!r}; use e.g. (64, 64)"
        )
    return int(pair[0]), int(pair[1])


def common_size(source):
    """(H, W) of most of the first 100 clips, the longer side at most `LARGEST`."""
    sizes = collections.Counter()
    for clip in itertools.islice(source, 100):
        size = clip.size
        if size is None:
            with contextlib.suppress(video.VideoError):  # told when it is decoded
                size = next((f.pixels.shape[:2] for f in clip.frames()), None)
        if size is not None:
            sizes[tuple(map(int, size))] += 1
    if not sizes:
        return LARGEST, LARGEST
    size = sizes.most_common(1)[0][0]
    scale = min(1.0, LARGEST / max(size))
    return tuple(max(1, round(n * scale)) for n in size)


def _tidy(where, key):
    """Delete what killed processes left of this folder a day ago."""
    for left in where.glob(f"{key}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)


class _Frames:
    """Frames of all clips, appended to a file; grey until the first one in colour."""

    def __init__(self, path, size, channels):
        self.path, self.size = path, size
        self.grey_only = channels == 1
        self.channels = channels or 1
        self.count = 0
        self.file = open(path, "wb")  # noqa: SIM115

    def add(self, pixels):
        """Append a frame (h, w, 1 or 3)."""
        pixels = video.fit(pixels, *self.size)  # (H, W, 1 or 3)
        if pixels.shape[-1] == 3 and self.channels == 1:
            small = video.unit(pixels)
            if self.grey_only or video.is_grey(small):
                pixels = video.luma(small)
            else:
                self._to_colour()
        if pixels.dtype != np.uint8:
            pixels = np.rint(pixels * 255).astype(np.uint8)
        shape = (*self.size, self.channels)
        self.file.write(np.ascontiguousarray(np.broadcast_to(pixels, shape)))
        self.count += 1

    def cut(self, count):
        """Keep so many frames."""
        self.count = count
        self.file.seek(count * self.channels * self.size[0] * self.size[1])
        self.file.truncate()

    def close(self):
        """Write what is left to be written."""
        self.file.close()

    def _to_colour(self):
        """Write what there is again, each pixel as red, green and blue."""
        self.file.close()
        grey = self.path.with_suffix(".grey")
        self.path.rename(grey)
        self.file, self.channels = open(self.path, "wb"), 3  # noqa: SIM115
        if self.count:
            frames = np.memmap(grey, np.uint8, "r", shape=(self.count, *self.size, 1))
            for begin in range(0, self.count, PIECE):
                self.file.write(np.repeat(frames[begin : begin + PIECE], 3, -1))
        grey.unlink()


def _write(source, folder, size, channels, clips, behind, later):
    """Decode all clips into the files of a folder."""
    for note in source.notes:
        print(note, file=sys.stderr)
    frames = _Frames(folder / FRAMES, size, channels)
    names, lengths, splits, lines, transparent = [], [], [], [], []
    labelled, single, said = False, 0, 0
    total = source.count if clips is None else min(clips, source.count or clips)
    bar = tqdm(unit="frame", disable=not sys.stderr.isatty())
    with bar, contextlib.closing(frames), open(folder / LABELS, "wb") as known:
        for place, clip in enumerate(itertools.islice(source, clips)):
            whole = f" of {total}" if total else ""
            bar.set_description(f"clip {place + 1}{whole}", refresh=False)
            begin, line = frames.count, None
            try:
                some, black = _decode(clip, frames, known, bar)
            except video.VideoError as error:
                line = str(error)
            length = frames.count - begin
            if line is None and length == 0:
                line = f"{clip.name}: expected frames, received none"
            if line is None and length == 1 and not source.still:
                line = f"{clip.name}: expected frames that move, received one picture"
                single += 1
            if line is None:
                names.append(clip.name)
                lengths.append(length)
                splits.append(clip.split)
                labelled |= some
                transparent += [clip.name] * black
            else:
                frames.cut(begin)
                known.seek(begin * size[0] * size[1])
                known.truncate()
                lines.append(line)
            if names:  # else it is the error
                for line in lines[said:SAID]:
                    tqdm.write(f"left out: {line}", file=sys.stderr)
                said = len(lines)
        known.truncate(frames.count * size[0] * size[1])
    if names and len(lines) > SAID:
        print(f"left out: {len(lines) - SAID} clips more", file=sys.stderr)
    if transparent:
        others = f" and {len(transparent) - 1} more" * (len(transparent) > 1)
        line = f"{transparent[0]}{others}: transparent pixels are black"
        print(line, file=sys.stderr)
    if not names:
        raise _nothing(source, lines, single)
    if not labelled:
        (folder / LABELS).unlink()
    shape = (frames.count, *size, frames.channels)
    kind, count, moving = _behind(
        folder, shape, lengths, source.still, behind, later and not source.still
    )
    if not source.still and not any(moving):
        raise video.VideoError(
            f"{source.where}: expected objects that move, but no pixel changes by more "
            f"than {MOVES} of 255 levels in any clip; give clips in which something "
            "moves"
        )
    about = {
        "version": VERSION,
        "where": source.where,
        "shape": shape,
        "still": source.still,
        "labelled": labelled,
        "names": names,
        "lengths": lengths,
        "splits": splits if source.own_splits else None,
        "background": kind,
        "backgrounds": count,
        "moving": moving,
        "left_out": lines,
    }
    about["digest"] = _digest(folder, about)
    (folder / INDEX).write_text(json.dumps(about), encoding="utf-8")


def _decode(clip, frames, known, bar):
    """Append the frames and labels of one clip, each seen on the bar.

    Returns:
        whether a pixel is labelled, and whether black showed through one.
    """
    number = labels.Numbers(clip.name)
    codes = clip.labels() if clip.labels else None
    some, black, size = False, False, None
    count = 0
    for frame in clip.frames():
        count += 1
        size = size or frame.pixels.shape[:2]
        if frame.pixels.shape[:2] != size:
            raise video.VideoError(
                f"{frame.name}: expected {size[0]} x {size[1]} like the frames before "
                f"it, received {frame.pixels.shape[0]} x {frame.pixels.shape[1]}; save "
                "all frames of a clip in one size"
            )
        frames.add(frame.pixels)
        black |= frame.transparent
        if codes is not None:
            found = next(codes, None)
            if found is None or found.shape != size:
                received = "none" if found is None else f"{found.shape}"
                raise labels.LabelsError(
                    f"labels: expected {size} of {clip.name}, frame {count}, received "
                    f"{received}; give labels of the size of each frame"
                )
            ids = number(labels.shrunk(found, *frames.size))
            some |= bool(ids.any())
            known.write(ids)
        else:
            known.seek(math.prod(frames.size), os.SEEK_CUR)  # zeros that take no room
        bar.update()
    if codes is not None and next(codes, None) is not None:
        raise labels.LabelsError(
            f"labels: expected those of the {count} frames of {clip.name}, received "
            "more; give one for each frame"
        )
    return some, black


def _nothing(source, lines, single):
    """The error where no clip is left."""
    if not lines:
        return video.VideoError(f"{source.where}: expected clips, received none")
    if single == len(lines):
        return video.VideoError(
            f"{source.where}: expected clips of two frames or more, received single "
            f"pictures only ({single}); give films, a folder of pictures for each "
            "clip, or a folder of images"
        )
    more = f" (and {len(lines) - 1} others)" * (len(lines) > 1)
    return video.VideoError(f"{source.where}: no clip can be used: {lines[0]}{more}")


def _behind(folder, shape, lengths, still, kind, later):
    """Write the backgrounds, of a kind that "auto" leaves open; or none for now.

    Returns:
        their kind, "plain" or "still", how many there are, and the share of each clip's
        pixels that change.
    """
    frames = np.memmap(folder / FRAMES, np.uint8, "r", shape=shape)
    clips = np.split(frames, np.cumsum(lengths)[:-1])
    some = [clips[i] for i in base.spread(len(clips), TRIED)]
    common = None  # background of all images
    if still:
        # One large image, since what differs from one to the next is no noise.
        heap = background.small(np.concatenate(some))
        heap = heap.reshape(1, -1, *heap.shape[2:])
        plain = kind != "still" and background.is_plain(heap)
        if plain:
            kind, common = "plain", background.plain(heap)[0]
        elif kind == "auto":
            kind = background.kind_of(some)
        if kind == "still":
            common = _by_rows(frames, lambda part: np.median(part, axis=0)) / 255
    elif kind == "auto":
        kind = background.kind_of(some)
    count = 0 if later else len(clips) if common is None else 1
    with open(folder / BACKGROUNDS, "wb") as file:
        found = _estimated(clips[:count], kind) if common is None else [common] * count
        for behind in found:
            behind = np.broadcast_to(behind, shape[1:])
            file.write(np.rint(behind * 255).astype(np.uint8))
    if still:
        return kind, count, [0.0] * len(lengths)
    changes = (_by_rows(clip, _change) for clip in clips)
    return kind, count, [round(float(change.mean()), 6) for change in changes]


def _estimated(clips, kind):
    """The backgrounds of clips, one after another; NumPy and SciPy let threads run."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for begin in range(0, len(clips), PIECE):
            yield from pool.map(
                lambda clip: background.estimate(clip, kind),
                clips[begin : begin + PIECE],
            )


def _change(frames):
    return np.ptp(frames, axis=0).max(axis=-1) > MOVES


def _by_rows(frames, function):
    """A function of `SPREAD` frames, of large ones some rows at a time."""
    places = base.spread(len(frames), SPREAD)
    rows = max(1, int(2e7 / (len(places) * frames.shape[2] * frames.shape[3])))
    return np.concatenate(
        [
            function(frames[places, row : row + rows])
            for row in range(0, frames.shape[1], rows)
        ]
    )


def _digest(folder, about):
    """Of the names and lengths of clips, of some frames and their labels."""
    shape = about["shape"]
    places = base.spread(shape[0], LOOK)
    told = [about["names"], about["lengths"], about["splits"], shape]
    parts = [json.dumps(told).encode()]
    for name, channels in ((FRAMES, shape[3]), (LABELS, 1)):
        if name == FRAMES or about["labelled"]:
            whole = (shape[0], *shape[1:3], channels)
            parts.append(np.memmap(folder / name, np.uint8, "r", shape=whole)[places])
    return base.digest(parts)


def check(folder):
    """What clips.json says, if all is as it was written.

    Raises:
        Damaged: if it is not.
    """
    try:
        about = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if about["version"] != VERSION:
            raise Damaged(f"version {about['version']}, not {VERSION}")
        total, height, width, channels = about["shape"]
        sizes = {
            FRAMES: total * height * width * channels,
            BACKGROUNDS: about["backgrounds"] * height * width * channels,
        }
        if about["labelled"]:
            sizes[LABELS] = total * height * width
        for name, size in sizes.items():
            if (folder / name).stat().st_size != size:
                raise Damaged(f"{name} is not whole")
        if about["digest"] != _digest(folder, about):
            raise Damaged("its frames have changed")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"cannot be read ({error})") from error
    return about
