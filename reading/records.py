"""Images of TFRecord files in the layout of the multi-object benchmarks.

These are multi-dSprites, Tetrominoes, Objects Room and CLEVR with masks: each record
has an `image` and a `mask` of each entity, the background's first. In multi-dSprites
the masks of a pixel are side by side. In Objects Room sky, floor and two walls are
entities of their own.
"""

import io
import math
import pathlib

import numpy as np
from PIL import Image

from reading import base, labels, video

ENCODED = (b"\x89PNG", b"\xff\xd8\xff")  # how a PNG and a JPEG begin
ASPECTS = ((1, 1), (3, 4), (9, 16), (2, 3), (4, 5))  # rows to columns
GZIPPED = b"\x1f\x8b"
ROOM = "objects_room", 4  # how files of Objects Room are called; sky, floor and walls


class Records(base.Source):
    """The images of TFRecord files, plain or compressed by gzip; clips of one frame.

    A record has `image`, the bytes of uint8 (H, W, C) with C 1 or 3, or a PNG or JPEG;
    and, if labels are known, `mask`, those of (entities, H, W, 1) or
    (H, W, entities, 1), where entity 0 is the background and label 0: in files called
    objects_room the first four are. Each byte may be a string. H and W are square, or
    in the ratio of usual pictures, unless a record has `height` and `width`.

    Args:
        paths: of the files, in their order.
        where: what to call them.

    Raises:
        VideoError: if a file holds something else, when it is read. Of a damaged one
            the last clip cannot be decoded.
    """

    still = True

    def __init__(self, paths, where):
        self.paths = [pathlib.Path(path) for path in paths]
        self.where = str(where)

    def __iter__(self):
        for path in self.paths:
            found = enumerate(_records(path))
            while True:
                try:
                    i, record = next(found)
                except StopIteration:
                    break
                except video.VideoError as error:
                    yield base.broken(path.name, error)
                    break
                name = f"{path.name}/{i:06d}"
                behind = ROOM[1] if path.name.startswith(ROOM[0]) else 1
                yield _clip(record, name, f"{path}, record {i + 1}", behind)

    def state(self):
        return base.state_of(self.paths)


def is_records(path):
    """Whether a file is called as TFRecords are."""
    return ".tfrecord" in path.name.lower() and path.is_file()


def _records(path):
    """The features of each record: dict from names to protos."""
    import tensorflow as tf  # slow to import, and only these files need it

    with video.in_one_line(path):
        with open(path, "rb") as file:
            gzipped = file.read(2) == GZIPPED
        files = tf.data.TFRecordDataset(str(path), "GZIP" if gzipped else "")
        for record in files.as_numpy_iterator():
            yield dict(tf.train.Example.FromString(record).features.feature)


def _clip(record, name, called, behind):
    """The clip of one record's features; so many entities are `behind` the others."""
    if "image" not in record:
        raise video.VideoError(
            f"{called}: expected a feature 'image', received {sorted(record)}; save "
            "the images as PNG or .npy"
        )
    with video.in_one_line(called):
        image = _image(record, called)
        masks = b"".join(record["mask"].bytes_list.value) if "mask" in record else b""
        size = image.shape[:2]
        codes = None
        if masks:
            codes = labels.of_masks(_masks(masks, size))
            codes = np.maximum(codes - (behind - 1), 0)
    return base.Clip(
        name,
        lambda: iter([video.Frame(called, image)]),
        size,
        image.shape[-1],
        labels=None if codes is None else lambda: iter([codes]),
    )


def _masks(data, size):
    """uint8 (entities, H, W).

    Entities come first or last; each pixel is of one of them, which says where.
    """
    flat = np.frombuffer(data, np.uint8)
    first, last = flat.reshape(-1, *size), flat.reshape(*size, -1)
    last = np.moveaxis(last, -1, 0)

    def clear(masks):
        return (np.count_nonzero(masks, axis=0) == 1).sum()

    return last if clear(last) > clear(first) else first


def _image(record, called):
    """uint8 (H, W, 1 or 3)."""
    data = b"".join(record["image"].bytes_list.value)  # often a string a byte
    if data.startswith(ENCODED):
        with Image.open(io.BytesIO(data)) as image:
            grey = image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        return pixels.reshape(*pixels.shape[:2], -1)
    shape = _shape(record, len(data))
    if shape is None:
        raise video.VideoError(
            f"{called}: expected an image of a known size, received {len(data)} bytes; "
            "save the images as PNG or .npy"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(record, count):
    """(H, W, C) of an image of so many bytes, or None."""
    if {"height", "width"} <= set(record):
        height, width = (
            record[name].int64_list.value[0] for name in ("height", "width")
        )
        return height, width, -1
    for channels in (3, 1):
        for rows, columns in ASPECTS:
            side = math.isqrt(count // (channels * rows * columns))
            shape = (rows * side, columns * side, channels)
            if side and math.prod(shape) == count:
                return shape
    return None
