"""What groups moving pixels without learning, with its noise filtered first.

The difference to the background is averaged over the last frames and over neighbours,
and cut at a threshold; for binary pixels and an odd number that is their majority.
Connected parts are objects, which are assigned to those of the frame before (Hungarian
assignment, as in `nem_tf.scores.no_learning`). Where two that were apart run into each
other, each is moved on to where it fits best, and each pixel goes to the nearest: so
crossing objects stay apart. Pixels that belong to nothing are the nearest object's.
"""

import dataclasses
import itertools

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

PATIENCE = 8  # frames that an object may be out of sight
INSIDE = 0.5  # share of an object that has to lie in a part for it to be there
EDGE = ndimage.generate_binary_structure(2, 1)
CORNER = ndimage.generate_binary_structure(2, 2)


@dataclasses.dataclass(frozen=True)
class Filter:
    """Settings.

    frames: that the difference is averaged over, up to this one; 0: all so far.
    sigma: of the Gaussian over neighbours, pixels; 0: none.
    threshold: of the difference, from which on a pixel is an object's.
    smallest: pixels of an object.
    closing: pixels that are filled between parts before they are told apart.
    corners: whether pixels that touch at a corner are together.
    follow: whether objects are followed, to be told apart where they meet.
    reach: pixels that a followed object is searched around where it would be.
    """

    frames: int = 1
    sigma: float = 0.0
    threshold: float = 0.5
    smallest: int = 4
    closing: int = 0
    corners: bool = True
    follow: bool = True
    reach: int = 2


def segment(clip, settings, background=None):
    """Segments of the last frame of a clip.

    Args:
        clip: (F, H, W, C) in [0, 1].
        settings: `Filter`.
        background: (H, W, C); None is the median over time.

    Returns:
        int (H, W): 1, 2, ...; 0 everywhere if nothing was found.
    """
    if background is None:
        background = np.median(clip, axis=0)
    if not settings.follow:
        last = cut(clip[-settings.frames :], settings, background)[-1]
        return nearest(labelled(last, settings))
    tracker = Tracker(settings)
    for mask in cut(clip, settings, background):
        segments = tracker(mask)
    return nearest(segments)


def cut(clip, settings, background):
    """Where there is something in each frame: (F, H, W, C) -> bool (F, H, W)."""
    difference = np.abs(clip - background).max(axis=-1)  # (F, H, W)
    total = np.cumsum(difference, axis=0)
    counts = np.arange(1, len(clip) + 1)
    if 0 < settings.frames < len(clip):
        total[settings.frames :] -= total[: -settings.frames].copy()
        counts = np.minimum(counts, settings.frames)
    mean = total / counts[:, None, None]
    if settings.sigma:
        mean = ndimage.gaussian_filter(mean, (0, settings.sigma, settings.sigma))
    return mean > settings.threshold


def labelled(mask, settings):
    """Connected parts that are large enough, numbered 1, 2, ...: (H, W) -> (H, W)."""
    joined = mask
    if settings.closing:
        joined = ndimage.binary_dilation(mask, CORNER, settings.closing)
    parts, count = ndimage.label(joined, CORNER if settings.corners else EDGE)
    parts = np.where(mask, parts, 0)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = sizes >= settings.smallest
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0)[parts]


def nearest(segments):
    """Pixels of segment 0 as the nearest other one's; as they are if there is none."""
    if not segments.any():
        return segments
    where = ndimage.distance_transform_edt(
        segments == 0, return_distances=False, return_indices=True
    )
    return segments[tuple(where)]


@dataclasses.dataclass
class Track:
    """An object that was seen: its pixels when it last was alone, moved on since.

    mask: (H, W).
    middle: (2,) of the mask.
    velocity: (2,), pixels per frame.
    seen: the frame that it was last found in.
    """

    mask: np.ndarray
    middle: np.ndarray
    velocity: np.ndarray
    seen: int


class Tracker:
    """Follows objects from frame to frame: call it with masks (H, W), one by one.

    Returns:
        int (H, W), objects of this frame by number; 0 elsewhere.
    """

    def __init__(self, settings):
        self.settings = settings
        self.tracks = {}
        self.known = 0
        self.frame = -1

    def __call__(self, mask):
        self.frame += 1
        parts = labelled(mask, self.settings)
        self.tracks = {
            number: track
            for number, track in self.tracks.items()
            if self.frame - track.seen <= PATIENCE
        }
        moved = {
            number: self._moved(track, parts > 0)
            for number, track in self.tracks.items()
        }
        claims = {part: [] for part in range(1, parts.max(initial=0) + 1)}
        for number, (place, _) in moved.items():
            inside = np.bincount(parts[place], minlength=len(claims) + 1)
            inside[0] = 0
            part = int(inside.argmax())
            if inside[part] > INSIDE * max(place.sum(), 1):
                claims[part].append(number)
        self._assign_rest(parts, claims, moved)
        segments = np.zeros(mask.shape, int)
        for part, numbers in claims.items():
            here = parts == part
            if len(numbers) > 1:
                self._share(here, numbers, moved, segments)
            else:
                self._found(here, numbers, segments)
        return segments

    def _moved(self, track, foreground):
        """Where a track fits the foreground best, near where it would be: its mask."""
        elapsed = self.frame - track.seen
        reach = self.settings.reach
        straight = np.round(track.velocity * elapsed).astype(int)
        best, found = -1.0, None
        for step in itertools.product(range(-reach, reach + 1), repeat=2):
            offset = straight + step
            place = shifted(track.mask, offset)
            # Of equals, the one that goes on as before.
            fit = (place & foreground).sum() - 0.01 * np.abs(step).sum()
            if fit > best:
                best, found = fit, (place, offset)
        return found

    def _assign_rest(self, parts, claims, moved):
        """Give parts that nobody claims to tracks that claim none, by distance."""
        free = [part for part, numbers in claims.items() if not numbers]
        taken = set(itertools.chain.from_iterable(claims.values()))
        lost = [number for number in moved if number not in taken]
        if not free or not lost:
            return
        middles = np.array([np.argwhere(parts == part).mean(axis=0) for part in free])
        before = np.array([self.tracks[number].middle for number in lost])
        far = np.linalg.norm(before[:, None] - middles, axis=-1)
        for row, column in zip(*linear_sum_assignment(far), strict=True):
            track = self.tracks[lost[row]]
            if far[row, column] < np.sqrt(track.mask.sum()):
                claims[free[column]].append(lost[row])

    def _share(self, here, numbers, moved, segments):
        """Several objects are one part: each pixel goes to the nearest."""
        distances = [
            ndimage.distance_transform_edt(~moved[number][0])
            if moved[number][0].any()
            else np.full(here.shape, np.inf)
            for number in numbers
        ]
        closest = np.argmin(distances, axis=0)
        for i, number in enumerate(numbers):
            segments[here & (closest == i)] = number
            track = self.tracks[number]
            place, offset = moved[number]
            elapsed = self.frame - track.seen
            self.tracks[number] = Track(
                place, track.middle + offset, offset / elapsed, self.frame
            )

    def _found(self, here, numbers, segments):
        """One object or a new one is a part."""
        middle = np.argwhere(here).mean(axis=0)
        velocity = np.zeros(2)
        if numbers:
            number = numbers[0]
            track = self.tracks[number]
            velocity = (middle - track.middle) / (self.frame - track.seen)
        else:
            self.known += 1
            number = self.known
        self.tracks[number] = Track(here, middle, velocity, self.frame)
        segments[here] = number


def shifted(mask, offset):
    """A mask (H, W) moved by (rows, columns); what leaves the frame is lost."""
    height, width = mask.shape
    down, across = (
        int(np.clip(o, -n, n)) for o, n in zip(offset, mask.shape, strict=True)
    )
    found = np.zeros_like(mask)
    found[
        max(down, 0) : height + min(down, 0), max(across, 0) : width + min(across, 0)
    ] = mask[
        max(-down, 0) : height - max(down, 0), max(-across, 0) : width - max(across, 0)
    ]
    return found


GRID = {  # of what is tried on validation clips without following, each with each
    "frames": (1, 2, 3, 5, 0),
    "sigma": (0.0, 0.5, 0.7, 1.0),
    "threshold": (0.05, 0.15, 0.3, 0.4, 0.5, 0.6),
    "smallest": (1, 4, 10),
    "closing": (0, 1),
    "corners": (True, False),
}
FOLLOWED = 12  # best of them that are tried with following, too
FEW = 40  # clips of the first round


def tuned(frames, groups, background, score):
    """The filter with the best AMI on validation clips.

    Args:
        frames: (N, F, H, W, C).
        groups: labels of the last frames, (N, H, W).
        background: (H, W, C), or None for the median.
        score: function from labels and segments (N, H, W) to a number.

    Returns:
        `Filter`, and its score on all of these clips.
    """

    def reached(settings, count):
        found = [segment(clip, settings, background) for clip in frames[:count]]
        return score(groups[:count], np.stack(found))

    each = [
        Filter(**dict(zip(GRID, values, strict=True)), follow=False)
        for values in itertools.product(*GRID.values())
    ]
    first = sorted(each, key=lambda s: reached(s, FEW), reverse=True)[:FOLLOWED]
    both = [*first, *(dataclasses.replace(s, follow=True) for s in first)]
    scores = {settings: reached(settings, len(frames)) for settings in both}
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]
