"""Labels: which object is seen at each pixel of a frame.

for codes in of_file("labels/clip.gif"):
    ids(codes)  # (h, w), 0 background, 1..n objects
"""

import numpy as np

from reading import arrays, video
from reading.video import LabelsError

MOST = 255  # objects of a clip: a byte a pixel


def of_file(path):
    """Codes of the frames of one file or folder.

    Args:
        path: pictures, each distinct colour of which is an object and black the
            background, as `video.decoded` reads them; or an .npy or .npz of integers
            (T, H, W), 0 for background.

    Yields:
        int64 (h, w) a frame: 0 for background, one number for each object.

    Raises:
        LabelsError: if they cannot be read.
    """
    try:
        if path.suffix.lower() in video.ARRAYS:
            with video.in_one_line(path):
                array = arrays.opened(path)
            yield from of_array(checked(array, path), path)
        else:
            for frame in video.decoded(path):
                yield _packed(frame.pixels)
    except video.VideoError as error:
        raise LabelsError(f"labels: {error}") from None


def checked(array, where, shape=None):
    """An array of labels without an axis of channels.

    Args:
        array: (..., H, W) or (..., H, W, 1), of any numbers.
        where: what to call it.
        shape: what is expected before the last axis; None is (T, H, W).

    Raises:
        LabelsError: if it has another shape or is not of numbers.
    """
    wanted = shape or ("T", "H", "W")
    if array.ndim == len(wanted) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if (
        array.dtype.kind not in "buif"
        or array.ndim != len(wanted)
        or (shape and array.shape != tuple(shape))
    ):
        expected = ", ".join(map(str, wanted))
        raise LabelsError(
            f"labels: expected integers ({expected}), as many as pixels, in {where}, "
            f"received {array.dtype} {array.shape}; 0 is background"
        )
    return array


def of_array(array, where):
    """The codes of each frame of an array (T, H, W); see `of_file`."""
    for t, frame in enumerate(array):
        frame = np.asarray(frame)
        if frame.min() < 0 or not np.all(frame == np.floor(frame)):
            raise LabelsError(
                f"labels: expected integers from 0 in {where}, frame {t + 1}, received "
                f"values in [{frame.min():g}, {frame.max():g}]; 0 is background"
            )
        yield frame.astype(np.int64)


def of_masks(masks):
    """The codes where each entity has a mask: the entity that is most there.

    Args:
        masks: (entities, h, w), the first of the background.

    Returns:
        int64 (h, w); 0 where no mask is, too.
    """
    return np.argmax(masks, axis=0)


def _packed(pixels):
    """(h, w, 1 or 3) -> one number a colour, 0 for black."""
    if pixels.dtype == np.uint8:
        levels = pixels.astype(np.int64) * 257
    else:
        levels = np.rint(pixels * 65535).astype(np.int64)
    red, green, blue = np.broadcast_to(levels, (*levels.shape[:2], 3)).transpose(
        2, 0, 1
    )
    return red << 32 | green << 16 | blue


def shrunk(codes, height, width):
    """Codes at the places where `video.fit` puts the pixels, by nearest neighbours."""
    h, w = codes.shape
    if (h, w) == (height, width):
        return codes
    top, left, rows, columns = video.place(h, w, height, width)
    y, x = (
        (np.arange(n) * 2 + 1) * full // (2 * n)
        for n, full in ((rows, h), (columns, w))
    )
    fitted = np.zeros((height, width), codes.dtype)
    fitted[top : top + rows, left : left + columns] = codes[y[:, None], x]
    return fitted


class Numbers:
    """Numbers the objects of one clip 1, 2, ... in the order in which they appear.

    Objects of one frame are in the order of their codes.
    """

    def __init__(self, name):
        self.name = name
        self.known = {0: 0}

    def __call__(self, codes):
        """Codes (h, w) as uint8: 0 background, 1..n objects.

        Raises:
            LabelsError: if there are more than `MOST` objects.
        """
        values, places = np.unique(codes, return_inverse=True)
        if len(values) <= MOST + 1:
            for value in values.tolist():
                self.known.setdefault(value, len(self.known))
        if max(len(values), len(self.known)) > MOST + 1:
            raise LabelsError(
                f"labels: expected at most {MOST} objects in {self.name}, received "
                "more; save labels without loss, as PNG or integers"
            )
        table = np.array([self.known[value] for value in values.tolist()], np.uint8)
        return table[places].reshape(codes.shape)
