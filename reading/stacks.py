"""Clips of an .npy or .npz: many of one size in one array, or one clip.

stack = Stack("digits.npy")  # (20, 10000, 64, 64): 10000 clips of 20 frames
"""

import pathlib
import zipfile

import numpy as np
import psutil

from reading import arrays, base, labels, video

AXES = ("auto", "clips-first", "time-first")
SHAPES = "(N, T, H, W[, C]), (T, N, H, W[, C]) or (T, H, W[, C]) with C 1, 3 or 4"
LOOK = 64  # pairs of frames that are compared along an axis


class Stack(base.Source):
    """The clips of an array, (N, T, H, W[, C]), (T, N, H, W[, C]) or (T, H, W[, C]).

    C is 1, 3 or 4 and may stand before H where a batch is of five axes. uint8 and
    uint16 are divided by 255 and 65535, unless they are a mask of 0 and 1; other
    numbers are in [0, 1].

    Args:
        path: .npy, read as it is needed, or .npz of one array or one called frames.
        labelled: labels of the same shape without C, 0 for background: an array, or
            the path of an .npy or .npz; None if there are none.
        axes: "clips-first", "time-first", or "auto": time is the axis along which
            neighbours are more alike. Of (N, 1, H, W[, C]), "clips-first" are N still
            images.

    Raises:
        VideoError: if it cannot be read or has another shape.
        LabelsError: if the labels do not fit.
    """

    def __init__(self, path, labelled=None, axes="auto"):
        if axes not in AXES:
            raise video.VideoError(
                f"axes: expected one of {', '.join(AXES)}, received {axes!r}; name one "
                "of them"
            )
        self.path = pathlib.Path(path)
        self.where = str(path)
        with video.in_one_line(self.path):
            array = _opened(self.path)
            arrays.check_numbers(array)
        self.single, array = _laid_out(array, axes, self.where)
        lead = array.shape[: 1 if self.single else 2]
        if not self.single and axes == "auto":
            axes = "time-first" if time_axis(array) == 0 else "clips-first"
        self.axes = "clips-first" if self.single else axes
        self._labels, self._labels_path = None, None
        if labelled is not None:
            found = self._opened_labels(labelled)
            shape = (*lead, *array.shape[len(lead) : len(lead) + 2])
            self._labels = self._by_clips(labels.checked(found, "the array", shape))
        self._array = self._by_clips(array)
        self.white = arrays.white(self._array, _sample(self._array))
        self.count = len(self._array)
        self.still = self._array.shape[1] == 1 and self.count > 1

    def _opened_labels(self, labelled):
        if not isinstance(labelled, (str, pathlib.Path)):
            return np.asarray(labelled)
        self._labels_path = pathlib.Path(labelled)
        try:
            with video.in_one_line(self._labels_path, "save them as .npy"):
                return arrays.opened(self._labels_path)
        except video.VideoError as error:
            raise labels.LabelsError(f"labels: {error}") from None

    def _by_clips(self, array):
        """(N, T, ...), a view."""
        if self.single:
            return array[None]
        return array.swapaxes(0, 1) if self.axes == "time-first" else array

    def __iter__(self):
        _, _, height, width, *channels = self._array.shape
        for i in range(self.count):
            name = self.path.name if self.single else str(i)
            yield base.Clip(
                name,
                lambda i=i, name=name: self._frames(i, name),
                (height, width),
                1 if channels in ([], [1]) else 3,
                labels=None
                if self._labels is None
                else lambda i=i, name=name: labels.of_array(
                    self._labels[i], f"clip {name}"
                ),
            )

    def _frames(self, i, name):
        for t, frame in enumerate(self._array[i]):
            called = f"{self.where}, clip {name}, frame {t + 1}"
            if self.white == 255 and frame.shape[2:] != (4,):
                pixels = np.asarray(frame).reshape(*frame.shape[:2], -1)
                yield video.Frame(called, pixels)
            else:
                yield video.of_array(np.asarray(frame), self.white, called)

    def state(self):
        state = base.state_of([self.path])
        if self._labels_path is not None:
            state += base.state_of([self._labels_path])
        elif self._labels is not None:  # are in memory only
            state.append(base.digest([self._labels]))
        return [*state, self.axes]


def time_axis(array):
    """Which of the first two axes of (a, b, H, W, ...) is time, 0 or 1.

    Neighbours in time differ less than neighbours of clips do: their mean squared
    differences are compared, of the same frames with the next one along each axis.
    Where these are equal, and of one clip, the first axis counts clips; of what has one
    picture in the second axis, it is time.
    """
    a, b = array.shape[:2]
    if a == 1 or b == 1:
        return 0 if b == 1 and a > 1 else 1
    random = np.random.default_rng(0)
    rows, columns = (random.integers(n - 1, size=LOOK) for n in (a, b))
    first, second = 0.0, 0.0
    for i, j in zip(rows, columns, strict=True):
        here = array[i, j].astype(np.float64)
        first += np.mean((array[i + 1, j] - here) ** 2)
        second += np.mean((array[i, j + 1] - here) ** 2)
    return 0 if first < second else 1


def _laid_out(array, axes, where):
    """Whether it is one clip, and the array with its channels last."""
    shape = array.shape
    colour = shape[-1:] and shape[-1] in arrays.COLOURS
    if array.size and array.ndim == 3:
        with video.in_one_line(where):
            return True, arrays.as_clip(array, None)
    if array.size and array.ndim == 4:
        return (colour and axes == "auto"), array
    if array.size and array.ndim == 5 and colour:
        return False, array
    if array.size and array.ndim == 5 and shape[2] in arrays.COLOURS:
        return False, np.moveaxis(array, 2, -1)
    raise video.VideoError(
        f"{where}: expected {SHAPES}, received {shape}; transpose or reshape the array"
    )


def _opened(path):
    """What `arrays.opened` gives, if it fits the memory: an .npz is read whole."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            whole = max((about.file_size for about in file.infolist()), default=0)
        free = psutil.virtual_memory().available
        if whole > free / 2:
            raise arrays.ShapeError(
                f"expected an array of at most half of the {free / 1e9:.1f} GB of free "
                f"memory, received {whole / 1e9:.1f} GB; save it as .npy, which is "
                "read as it is needed"
            )
    return arrays.opened(path)


def _sample(array):
    """Some frames of (N, T, ...), evenly spaced."""
    count = array.shape[0] * array.shape[1]
    places = base.spread(count, 4 * LOOK)
    return [array[divmod(place, array.shape[1])] for place in places]
