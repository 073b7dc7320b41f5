"""Clips of an HDF5 file in the layout of the authors' program."""

import pathlib

import h5py
import numpy as np

from reading import arrays, base, labels, video

GROUPS = ("training", "validation", "test")
BLOCK = 64e6  # bytes that are read at once, about


class Recorded(base.Source):
    """The clips of groups `training`, `validation` and `test`, as many as there are.

    Each group holds `features` (F, N, H, W, C), numbers as of `stacks.Stack`, and, if
    labels are known, `groups` (F, N, H, W) or (F, N, H, W, 1), 0 for background.

    Raises:
        VideoError: if there are none, or the file cannot be read.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.where = str(path)
        with video.in_one_line(self.path), h5py.File(self.path, "r") as file:
            self._shapes = {
                name: file[name]["features"].shape
                for name in GROUPS
                if name in file and "features" in file[name]
            }
            held = sorted(file)
        if not self._shapes:
            raise video.VideoError(
                f"{self.where}: expected groups {', '.join(GROUPS)} with features, "
                f"received {held}; write them as docs/extending.md says"
            )
        for name, shape in self._shapes.items():
            if len(shape) != 5 or 0 in shape or shape[-1] not in arrays.COLOURS:
                raise video.VideoError(
                    f"{self.where}:{name}: expected features (F, N, H, W, C) with C 1, "
                    f"3 or 4, received {shape}; transpose or reshape the array"
                )
        self.count = sum(shape[1] for shape in self._shapes.values())
        self.still = all(shape[0] == 1 for shape in self._shapes.values())
        self.own_splits = len(self._shapes) > 1

    def __iter__(self):
        for name in self._shapes:
            yield from self._of_group(name)

    def _of_group(self, name):
        length, count, height, width, channels = self._shapes[name]
        white = None
        with video.in_one_line(self.path), h5py.File(self.path, "r") as file:
            group = file[name]
            features = group["features"]
            known = group.get("groups")
            each = length * height * width * channels * features.dtype.itemsize
            block = int(np.clip(BLOCK // each, 1, 64))
            for begin in range(0, count, block):
                pixels = features[:, begin : begin + block]
                arrays.check_numbers(pixels)
                if white is None:
                    white = arrays.white(pixels)
                found = None if known is None else known[:, begin : begin + block]
                if found is not None:
                    found = labels.checked(found, self.where, pixels.shape[:4])
                for i in range(pixels.shape[1]):
                    called = f"{name}/{begin + i}"
                    yield base.Clip(
                        called,
                        _frames(pixels[:, i], white, f"{self.where}:{called}"),
                        (height, width),
                        1 if channels == 1 else 3,
                        base.CALLED[name] if self.own_splits else None,
                        None if found is None else _codes(found[:, i], called),
                    )

    def state(self):
        return base.state_of([self.path])


def _frames(pixels, white, called):
    return lambda: (
        video.of_array(frame, white, f"{called}, frame {t + 1}")
        for t, frame in enumerate(pixels)
    )


def _codes(found, called):
    return lambda: labels.of_array(found, called)
