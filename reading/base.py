"""What every source of clips has: `Source`, and the `Clip` that it gives."""

import hashlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from reading.video import Frame

SPLITS = ("train", "validation", "test")
CALLED = {  # what people call them
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


def spread(count, most):
    """Some of `count` places, at most `most`, evenly spaced: int64, ascending."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


class Clip(NamedTuple):
    """One clip of a source, not decoded yet; what is None only decoding tells."""

    name: str  # its own in the source, the same in every run
    frames: Callable[[], Iterator[Frame]]  # decodes one after another
    size: tuple[int, int] | None = None  # (h, w), pixels
    channels: int | None = None  # 1 or 3
    split: str | None = None  # of `SPLITS`, where the source has its own
    labels: Callable[[], Iterator[np.ndarray]] | None = None  # int64 (h, w) a frame,
    # 0 for background, any other number for each object


class Source:
    """Clips, one after another. Iterating begins anew each time.

    A clip is to be decoded before the next one is asked for: files that hold many are
    read as they come.

    Attributes:
        where: what to call it in an error.
        still: whether a clip is one image.
        own_splits: whether clips know which split they belong to.
        notes: lines about what was not taken for a clip.
        count: how many clips there are, or None if only reading tells.
    """

    where: str
    still = False
    own_splits = False
    notes: tuple[str, ...] = ()
    count: int | None = None

    def __iter__(self) -> Iterator[Clip]:
        raise NotImplementedError

    def state(self) -> list[Any]:
        """Whatever changes when the clips do, as numbers and text."""
        raise NotImplementedError


def state_of(paths):
    """Name, bytes and time of change of files, and of the files in folders."""
    found = []
    for path in map(pathlib.Path, paths):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                about = file.stat()
                found.append([str(file.resolve()), about.st_size, about.st_mtime_ns])
    return found


def digest(parts):
    """The sha256 of bytes and arrays, one after another."""
    found = hashlib.sha256()
    for part in parts:
        whole = np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part
        found.update(whole)
    return found.hexdigest()


def broken(name, error):
    """A clip that cannot be decoded."""

    def frames():
        raise error

    return Clip(name, frames)
