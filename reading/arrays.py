"""Frames in a NumPy file, in whatever shape people saved them.

    array = as_clip(opened("clip.npy"), (28, 28))
    array  # (T, H, W), or (T, H, W, C) with C 1, 3 or 4 (red, green, blue, alpha)

The first axis is time, the last one may be colour. An array of three axes is a clip of
grey frames, unless its last axis can only be colour: (64, 64, 3) is one photo.
"""

import numpy as np

COLOURS = (1, 3, 4)  # grey; red, green, blue; and alpha
FRAMES = "frames"  # the array that is read of an .npz with others in it
RESULT = {"segments", "gamma", "psi"}  # in an .npz that export.segment wrote
ZIPPED = (b"PK\3\4", b"PK\5\6")  # how an .npz begins; the latter if it is empty
BATCH = "save a batch of clips as one clip per file"
NUMPY_ON_OBJECTS = ("Object arrays", "Array can't be memory-mapped: Python objects")
OBJECTS = (
    "expected numbers, received Python objects; save numbers of shape (T, H, W) or "
    "(T, H, W, C), as np.stack(frames) makes them"
)


class ShapeError(ValueError):
    """What was expected of an array, what arrived, and the remedy."""


def opened(path):
    """The array of an .npy, read as it is needed, or of an .npz, read whole.

    Raises:
        ShapeError: if it holds Python objects, which are never unpickled, or if there
            is not just one array in an .npz and none is called frames.
        Exception: what NumPy raises about a file that it cannot read.
    """
    try:
        with open(path, "rb") as file:
            if file.read(4) in ZIPPED:
                file.seek(0)
                return _of_archive(file)
        return np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        if not str(error).startswith(NUMPY_ON_OBJECTS):
            raise
        raise ShapeError(OBJECTS) from None


def _of_archive(file):
    """The only array of an .npz, or the one that is called frames."""
    with np.load(file, allow_pickle=False) as arrays:
        names = arrays.files
        known = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
        if set(names) >= RESULT:
            or_save = f", or save np.load(FILE)[{FRAMES!r}] as .npy"
            raise ShapeError(
                f"expected frames, received a result ({known}); give the video that it "
                f"was made from{or_save if FRAMES in names else ''}"
            )
        name = names[0] if len(names) == 1 else FRAMES
        array = arrays[name] if name in names else None
    if isinstance(array, np.ndarray):  # what is no array is given as its bytes
        return array
    raise ShapeError(
        f"expected one array or one called {FRAMES}, received {known or 'none'}; "
        f"save it with np.savez(FILE, {FRAMES}=array)"
    )


def white(array, sample=None):
    """The number that means white in an array of pixels.

    It is 1, but 255 or 65535 of uint8 and uint16 that are no mask of 0 and 1, as many
    programs save it.

    Args:
        array: frames, the first axis of which is gone through until one tells.
        sample: frames to look at instead.
    """
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        return 1
    frames = array if sample is None else sample
    brighter = any(frame.max() > 1 for frame in frames)
    return int(np.iinfo(array.dtype).max) if brighter else 1


def as_clip(array, size):
    """`array` as (T, H, W) or (T, H, W, C), C in `COLOURS`; a photo is one frame.

    Args:
        array: what `opened` returned.
        size: (H, W) of the model, or None. A last axis of that W is no colour.

    Raises:
        ShapeError: if it is something else; with the remedy.
    """
    check_numbers(array)
    size = tuple(size or (None, None))
    if array.size and _is_photo(array.shape, size):
        return array[None]
    if array.size and _is_clip(array.shape, size):
        return array
    raise ShapeError(
        "expected (T, H, W) or (T, H, W, C) with C 1, 3 or 4, "
        f"received {array.shape}; {_remedy(array.shape, size)}"
    )


def check_numbers(array):
    """Raise ShapeError unless an array is of numbers."""
    if array.dtype.kind not in "buif":
        raise ShapeError(
            f"expected numbers, received {array.dtype}; save uint8 or float32"
        )


def _is_photo(shape, size):
    """Whether (a, b, c) is (H, W, C), since frames of b x c would be a strange clip."""
    if len(shape) != 3 or shape[-1] not in COLOURS or shape[1:] == size:
        return False
    return min(shape[:2]) > shape[-1]


def _is_clip(shape, size):
    if len(shape) == 4:  # a batch of clips may be as narrow as colour
        narrow = shape[2:] == size and shape[1:3] != size
        return shape[-1] in COLOURS and not narrow
    return len(shape) == 3


def _remedy(shape, size):
    """What to do with an array of this shape, which is no clip."""
    if 0 in shape:
        return "save some frames"
    if len(shape) < 3:
        return _remedy_of_rows(shape, size)
    if shape[0] == 1 and shape[1] not in COLOURS and _is_clip(shape[1:], size):
        return "save a batch of one clip as array[0]"
    if len(shape) > 4:
        moved = ", each as np.moveaxis(clip, 1, -1)"
        return BATCH + moved * (shape[2] in COLOURS and shape[-1] not in COLOURS)
    if shape[-1] == 2 or size == shape[1:3] != shape[2:]:
        return "keep the channels that show colour, for example array[..., :1]"
    if shape[1] == 1:
        return "save channels-first frames as np.moveaxis(array, 1, -1)"
    for axis, what in ((1, "channels-first frames"), (0, "a clip of channels first")):
        if shape[axis] in COLOURS:
            return f"{BATCH}, {what} as np.moveaxis(array, {axis}, -1)"
    return BATCH


def _remedy_of_rows(shape, size):
    """What to do with an array that has no axis of time, or none of rows."""
    height, width = size
    for channels, last in ((1, ""), (3, ", 3")):
        if not height:  # is not known
            break
        if shape and shape != size and shape[-1] == height * width * channels:
            rows = f"array.reshape(-1, {height}, {width}{last})"
            return f"save frames without rows as {rows}"
    if len(shape) == 2:
        return "one frame is a clip as frame[None]"
    return "save frames that have rows and columns"
