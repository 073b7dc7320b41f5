"""Clips recorded in the original's HDF5 files, read batch by batch."""

import hashlib
import pathlib
import threading

import h5py
import numpy as np
import tensorflow as tf

from nem_tf import pixels
from nem_tf.data import arguments, pipeline
from nem_tf.data import noise as noises
from reading.base import spread

NAMES = {"train": "training", "validation": "validation", "test": "test"}
_LOOK = 64  # clips looked at when a file is opened

_lock = threading.Lock()  # the HDF5 library serves one thread at a time


def recorded(
    path,
    split="train",
    *,
    components=3,
    steps=20,
    batch_size=64,
    seed=0,
    noise=0.2,
    noise_kind="auto",
    clips=None,
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Clips from a file with groups `training`, `validation` and `test`.

    Each group holds `features` (F, N, H, W, C) in [0, 1] and, if labels are known,
    `groups` (F, N, H, W) or (F, N, H, W, 1), 0 for background and overlap and 1..n for
    objects; labels that are all 0 are none. The first T + 1 frames are used. Noise and
    random start are drawn as for generated clips.

    Args:
        path: the file.
        noise_kind: "bitflip", "masked-uniform", or "auto": bit flips for a file whose
            pixels are all 0 or 1, as far as a sample over the whole split can tell.
        clips: how many of the split's clips to use, from the first; None is all.
        split, components, steps, batch_size, seed, noise, skip, epochs, part: see
            `shapes.flying_shapes`.

    Returns:
        tf.data.Dataset of the batches described in `pipeline.batches`, without `groups`
        if there are no labels.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file does not hold such clips. Pixels and labels of a
            sample are checked at once, those of the others when they are read: then
            the data set raises tf.errors.InvalidArgumentError with the same text.
    """
    arguments.check_split(split)
    steps = arguments.check_steps(steps)
    arguments.check_noise_kind(noise_kind, noises.OR_AUTO)
    reader = _Reader(path, split, steps + 1)
    if clips is None:
        clips = reader.clips
    clips = arguments.check_integer("clips", clips, least=1, remedy="None is all")
    if clips > reader.clips:
        raise ValueError(
            f"clips: expected at most {reader.clips}, which {reader.where} holds, "
            f"received {clips}; ask for fewer"
        )
    sample = reader.read(spread(clips, _LOOK))[0]
    noise_kind = noises.kind_for(noise_kind, sample)

    types = (tf.float32, tf.int32) if reader.labelled else (tf.float32,)

    def shaped_clips(index):
        clean, *groups = tf.numpy_function(reader.read, [index], types, stateful=False)
        clean = tf.ensure_shape(clean, (None, steps + 1, *reader.frame_shape))
        shape = (None, steps + 1, *reader.frame_shape[:2])
        return clean, *(tf.ensure_shape(labels, shape) for labels in groups)

    return pipeline.batches(
        shaped_clips,
        split=split,
        components=components,
        frame_shape=reader.frame_shape,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        noise=noise,
        noise_kind=noise_kind,
        clips=clips,
        skip=skip,
        epochs=epochs,
        part=part,
        in_python=True,
    )


class _Reader:
    """Reads chosen clips of one split; opens the file anew for each batch."""

    def __init__(self, path, split, frames):
        self.path = pathlib.Path(path).expanduser()
        self.group = NAMES[split]
        self.frames = frames
        self.where = f"{self.path}:{self.group}"
        if not self.path.is_file():
            raise FileNotFoundError(
                f"path: expected an HDF5 file, received {self.path}, which does not "
                "exist; check the path"
            )
        try:
            with _lock, h5py.File(self.path, "r") as file:
                self._check_layout(file)
                self.labelled = self._has_labels(file[self.group])
        except OSError as error:
            raise ValueError(cannot_open(self.path, error)) from error

    def _check_layout(self, file):
        group = file.get(self.group)
        if not isinstance(group, h5py.Group):
            raise ValueError(
                f"split: expected a group {self.group!r} in {self.path}, received "
                f"{sorted(file)}; use another split or file"
            )
        if not isinstance(group.get("features"), h5py.Dataset):
            raise ValueError(
                f"features: expected an array 'features' in {self.where}, received "
                f"{sorted(group)}; add it to the file"
            )
        shape = group["features"].shape
        groups = group["groups"].shape if "groups" in group else shape[:4]
        if len(shape) != 5 or 0 in shape:
            raise ValueError(
                f"features: expected shape (F, N, H, W, C) in {self.where}, received "
                f"{shape}; transpose or reshape the array"
            )
        if groups not in (shape[:4], (*shape[:4], 1)):
            raise ValueError(
                f"groups: expected shape {shape[:4]}, that of features, in "
                f"{self.where}, received {groups}; export both again"
            )
        if shape[0] < self.frames:
            raise ValueError(
                f"steps: expected at most {shape[0] - 1}, since {self.where} has "
                f"{shape[0]} frames, received {self.frames - 1}; ask for fewer steps"
            )
        self.clips = shape[1]
        self.frame_shape = shape[2:]

    def _has_labels(self, group):
        """Whether a pixel of a clip is labelled; mostly the first piece tells."""
        if "groups" not in group:
            return False
        labels = group["groups"]
        pieces = range(0, self.clips, _LOOK)
        return any(labels[: self.frames, i : i + _LOOK].any() for i in pieces)

    def read(self, index):
        """Read the clips `index` (B,): clean (B, F, H, W, C), groups (B, F, H, W).

        Groups are left out if there are no labels.
        """
        wanted, back = np.unique(index, return_inverse=True)  # h5py wants them sorted
        names = ("features", "groups") if self.labelled else ("features",)
        try:
            with _lock, h5py.File(self.path, "r") as file:
                group = file[self.group]
                found = [group[name][: self.frames, wanted] for name in names]
        except (OSError, KeyError) as error:
            raise ValueError(
                f"path: expected clips in {self.where}, received data that h5py cannot "
                f"read ({error}); fetch or export the file again"
            ) from error
        clean, *labels = (x[:, back].swapaxes(0, 1) for x in found)  # (B, F, H, W, ...)
        self._check_values(clean, *labels)
        clean = clean.astype(np.float32).clip(0.0, 1.0)
        return clean, *(x.reshape(clean.shape[:4]).astype(np.int32) for x in labels)

    def _check_values(self, clean, groups=None):
        pixels.check(f"features in {self.where}", clean)
        if groups is not None:
            arguments.check_labels(groups, self.where)


def fingerprint(path):
    """What tells the clips of a file from others, wherever and however it is stored.

    Args:
        path: of a file as `recorded` reads it.

    Returns:
        dict from each of its groups to the `shape` of its features and the `sha256` of
        some of its clips, evenly spaced, with their labels.

    Raises:
        ValueError: if it cannot be read.
    """
    found = {}
    try:
        with _lock, h5py.File(path, "r") as file:
            for name in sorted(set(NAMES.values()) & set(file)):
                shape = file[name]["features"].shape
                look = spread(shape[1], _LOOK)
                digest = hashlib.sha256()
                for part, kind in (("features", "<f4"), ("groups", "<i8")):
                    if part in file[name]:
                        clips = file[name][part][:, look]
                        digest.update(np.ascontiguousarray(clips, kind).tobytes())
                found[name] = {"shape": list(shape), "sha256": digest.hexdigest()}
    except OSError as error:
        raise ValueError(cannot_open(path, error)) from error
    return found


def cannot_open(path, error):
    """The line about a file that h5py cannot open."""
    remedy = "fetch or export it again"
    if "unable to lock" in str(error):
        remedy = (
            "another program writes it: wait for it or close it, or copy the file; on "
            "a file system without locks set HDF5_USE_FILE_LOCKING=FALSE"
        )
    elif isinstance(error, PermissionError):
        remedy = "make it readable"
    return (
        f"path: expected an HDF5 file, received {path}, which h5py cannot open "
        f"({error}); {remedy}"
    )
