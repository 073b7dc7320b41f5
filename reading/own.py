"""People's own clips, ready to be learned from: `OwnClips`."""

import functools
import json
import sys
from numbers import Integral

import numpy as np

from reading import base, cache, video
from reading.background import KINDS, estimate
from reading.sources import find

HELD_OUT = 10  # a tenth of the clips validates, another one tests


class OwnClips:
    """The clips of a path: decoded once, brought to one size, read as needed.

        clips = OwnClips("films", size=(64, 64))
        clips.names[0], clips.lengths[0]
        clips.frames(0, 10, 20)  # uint8 (10, 64, 64, C)

    Nothing is held in memory but names and lengths; decoding needs that of one frame.

    Args:
        path: whatever `sources.find` knows: a folder, a film, an array, HDF5, TFRecord,
            "tfds:NAME".
        size, channels, clips: see `cache.cached`.
        labels: where the labels are, see `sources.find`.
        axes: of an array, "auto", "clips-first" or "time-first".
        pictures: of a folder, "auto", "frames" or "images"; see `folders.Folder`.
        background: what is behind the objects of a clip: "plain", one colour; "still",
            one image; "auto": what most clips seem to have.
        later: whether the background of a film is estimated when it is asked for, and
            each time, instead of all of them now: to look at a few clips.
        cache: folder for the decoded clips; None is the environment variable
            NEM_TF_CACHE, or ~/.cache/nem_tf/clips.

    Attributes:
        where: the path, as text.
        folder: the path of the decoded clips.
        names: list of str; a clip is called by its path in the folder, or its number.
        lengths: int64 (N,), frames of each clip.
        size: (H, W), pixels.
        channels: C, 1 or 3.
        still: whether each clip is one image, to be repeated.
        labelled: whether any pixel is labelled.
        background_kind: "plain", one colour for each clip, or "still", one image, of
            images one for all; see `background.kind_of`.
        moving: float64 (N,), the share of a clip's pixels that change, in [0, 1].
        left_out: list of str, a line for each clip that was left out.
        digest: text that differs where clips or their labels do.
        frames_digest: text that differs where clips do, whatever their labels.

    Raises:
        VideoError, LabelsError: both `ValueError`; one line with the remedy.
    """

    def __init__(
        self,
        path,
        *,
        size=None,
        channels=None,
        labels=None,
        axes="auto",
        pictures="auto",
        clips=None,
        background="auto",
        later=False,
        cache=None,
    ):
        _check(channels, clips, background)
        source = find(path, labelled=labels, axes=axes, pictures=pictures)
        asked = {"channels": channels, "clips": clips, "behind": background}
        asked["later"] = later
        self._open(source, size, asked, cache)

    def _open(self, source, size, asked, where):
        if size is not None:
            size = cache.check_size(size)
        self.folder = cache.cached(source, size=size, **asked, where=where)
        about = cache.check(self.folder)
        self.where = about["where"]
        self.names = about["names"]
        self.lengths = np.array(about["lengths"], np.int64)
        self.still, self.labelled = about["still"], about["labelled"]
        self.moving = np.array(about["moving"])
        self.background_kind = about["background"]
        self.left_out = about["left_out"]
        self.digest = about["digest"]
        self._begins = np.cumsum(self.lengths) - self.lengths
        shape = tuple(about["shape"])
        self.size, self.channels = shape[1:3], shape[3]
        behind = (about["backgrounds"], *shape[1:])
        self._frames = self._map(cache.FRAMES, shape)
        self._backgrounds = self._map(cache.BACKGROUNDS, behind) if behind[0] else None
        self._labels = self._map(cache.LABELS, shape[:3]) if self.labelled else None
        self._splits = _splits(self.names, self.lengths, about["splits"])
        self._said = set()

    def _map(self, name, shape):
        return np.memmap(self.folder / name, np.uint8, "r", shape=shape)

    @functools.cached_property
    def frames_digest(self):
        told = [self.names, self.lengths.tolist(), self._frames.shape]
        frames = self._frames[base.spread(len(self._frames), cache.LOOK)]
        return base.digest([json.dumps(told).encode(), frames])

    def __len__(self):
        """How many clips there are."""
        return len(self.names)

    @property
    def frame_shape(self):
        """(H, W, C)."""
        return (*self.size, self.channels)

    def frames(self, i, start=0, stop=None):
        """Frames of clip i: uint8 (F, H, W, C), a view of the file."""
        return self._frames[self._slice(i, start, stop)]

    def labels(self, i, start=0, stop=None):
        """Labels of clip i: uint8 (F, H, W), 0 background, 1..n objects; or None."""
        return self._labels[self._slice(i, start, stop)] if self.labelled else None

    def background(self, i):
        """What is behind the objects of clip i, uint8 (H, W, C).

        It is what `background.estimate` finds; of images the colour that they have in
        common, else the most frequent colour of each, or the median of all.
        """
        if self._backgrounds is None:
            found = estimate(self.frames(i), self.background_kind)
            return np.rint(found * 255).astype(np.uint8)
        return self._backgrounds[i if len(self._backgrounds) > 1 else 0]

    def _slice(self, i, start, stop):
        within = range(self.lengths[i])[start:stop]
        begin = self._begins[i]
        return slice(begin + within.start, begin + within.stop)

    def split(self, name):
        """The places of the clips of a split: int64, sorted.

        A source that has splits keeps them; if validation or test is missing, a tenth
        of train is it, and none if train has one clip. Else a tenth of the clips, at
        least one, validates, and as many test. Which ones is decided by a hash of their
        names, the same in every run; the first one of each is at least of median
        length.
        With one or two clips, all of them are in each split: see `windows`.
        """
        if self._in_time:
            return np.arange(len(self))
        return np.flatnonzero(self._splits == base.SPLITS.index(name))

    @property
    def _in_time(self):
        return self._splits is None

    def windows(self, split, steps, stride=None):
        """Where the clips of T + 1 frames begin that a split consists of.

        With one or two clips, each is cut in time: its last tenth, but at least T + 1
        frames, tests; as many frames before these validate; the rest trains. Its
        background is that of the whole clip. Still images are one window each.

        Args:
            split: "train", "validation" or "test".
            steps: T.
            stride: frames from one window to the next; None is half of T + 1.

        Returns:
            int64 (n, 2): which clip, and the first frame in it.

        Raises:
            VideoError: if the split has no clip, or none that is long enough.
        """
        length = steps + 1
        stride = max(1, length // 2) if stride is None else stride
        places = self.split(split)
        self._check_split(split, places)
        if not isinstance(stride, Integral) or stride < 1:
            raise video.VideoError(
                f"stride: expected an integer >= 1, received {stride!r}; 1 takes every "
                "frame as a beginning"
            )
        if self.still:
            self._check_images()
            return np.stack([places, np.zeros_like(places)], 1)
        self._check_steps(steps)
        found = []
        for i in places:
            begin, end = self._part(i, split, length)
            starts = np.arange(begin, end - steps, stride)
            found.append(np.stack([np.full_like(starts, i), starts], 1))
        windows = np.concatenate([*found, np.empty((0, 2), np.int64)]).astype(np.int64)
        if not len(windows):
            raise video.VideoError(
                f"steps: expected a clip of at least {length} frames for {split}, "
                f"received none in {self.where} ({len(places)} shorter "
                "ones); ask for fewer steps or add clips"
            )
        return windows

    def _part(self, i, split, length):
        """The frames of clip i that belong to a split, from and to."""
        whole = int(self.lengths[i])
        if not self._in_time:
            return 0, whole
        part = max(length, whole // HELD_OUT)
        train = whole - 2 * part
        if train < length:  # is said by `_check_steps`
            return 0, 0
        cuts = {
            "train": (0, train),
            "validation": (train, train + part),
            "test": (train + part, whole),
        }
        return cuts[split]

    def _check_split(self, split, places):
        """Refuse a split without a clip, which a source with splits may have."""
        if len(places):
            return
        few = len(self.split("train"))
        need = "clips" if split == "train" else "at least 2 clips"
        either = "" if split == "train" else f" that train, one of which is {split},"
        remedy = "" if split == "train" else f", or {split} clips"
        raise video.VideoError(
            f"{split}: expected {need}{either} in {self.where}, received {few}; add "
            f"some{remedy}"
        )

    def _check_steps(self, steps):
        """Refuse clips that are all too short, and say once which ones are."""
        need = (steps + 1) * (3 if self._in_time else 1)
        longest = int(self.lengths.max())
        if longest < need:
            parts = ""
            if self._in_time:
                parts = ", a third each for train, validation and test,"
            raise video.VideoError(
                f"steps: expected clips of at least {need} frames{parts} for T = "
                f"{steps}, received at most {longest} in {self.where}; ask for fewer "
                "steps or add clips"
            )
        short = int((self.lengths < need).sum())
        if short and steps not in self._said:
            self._said.add(steps)
            print(
                f"{self.where}: {short} of {len(self)} clips have fewer than {need} "
                "frames and are not used",
                file=sys.stderr,
            )

    def _check_images(self):
        if self._in_time:
            raise video.VideoError(
                f"{self.where}: expected at least 3 images, for train, validation and "
                f"test, received {len(self)}; add some"
            )


def _splits(names, lengths, own):
    """Which split each clip is in, places in `base.SPLITS`; None: cut in time."""
    if own is None:
        if len(names) < len(base.SPLITS):
            return None
        own = ["train"] * len(names)
    found = np.array([base.SPLITS.index(split) for split in own])
    keys = [base.digest([name.encode()]) for name in names]
    long = lengths >= np.sort(lengths)[len(lengths) // 2]
    held_out = max(1, round((found == 0).sum() / HELD_OUT))
    for place in (2, 1):
        if (found == place).any():
            continue
        left = sorted(np.flatnonzero(found == 0), key=lambda i: keys[i])
        first = next((i for i in left if long[i]), None)
        left.sort(key=lambda i, first=first: i != first)  # others in their order
        found[left[: min(held_out, len(left) - 1)]] = place
    return found


def _check(channels, clips, background):
    if np.ndim(background) or background not in KINDS:
        received = "an array" if np.ndim(background) else repr(background)
        raise video.VideoError(
            f"background: expected {', '.join(KINDS)}, received {received}"
        )
    if channels not in (None, 1, 3):
        raise video.VideoError(
            f"channels: expected 1, 3 or None, received {channels!r}; 1 is grey"
        )
    whole = isinstance(clips, Integral) and not isinstance(clips, bool)
    if clips is not None and not (whole and clips > 0):
        raise video.VideoError(
            f"clips: expected an integer >= 1, received {clips!r}; None is all"
        )
