"""Contingency tables: how many pixels of object n component k claims.

Every score of a grouping reads one table per image: entry (k, n) counts the pixels of
object n that component k claims, which is where gamma_k is largest. Pixels of label
0 (background or overlap) are not scored, as in the paper (Sec. 4), nor are those of a
negative one. All others are, whatever their labels.

An image that cannot be scored is refused where numbers can be seen and scores NaN while
a graph is traced: one with labels that are no whole numbers, or with a labelled pixel
where gamma is not finite.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from nem_tf import axes
from nem_tf.pixels import concrete

EXACT = 2**24  # what float32 counts one by one
FURTHER = 56  # columns in a graph for labels above `objects`; with the usual 8, 64
PIXELS_AT_ONCE = 2**24  # of groups; keeps the memory of counting below 1 GB
IMAGE = (-2, -1)  # the axes H, W of groups, and K, n of a table


class Counts(NamedTuple):
    """What `count_pixels` finds in N images.

    tables: pixels that component k claims of object n, int64, (N, K, n).
    finite: whether gamma is finite wherever the image is labelled, (N,).
    """

    tables: np.ndarray
    finite: np.ndarray


def check_groups(groups, gamma):
    """Raise ValueError unless gamma assigns the very pixels that groups labels.

    Args:
        groups: shape (..., H, W).
        gamma: shape (..., K, H, W, 1), with the leading axes of `groups`.
    """
    labels = tuple(groups.shape)
    if len(labels) < 2:
        raise ValueError(f"groups: expected shape (..., H, W), received {labels}")
    axes.check_shape("gamma", gamma, (*labels[:-2], None, *labels[-2:], 1))
    if gamma.shape[axes.COMPONENTS] == 0:
        raise ValueError("gamma: expected at least 1 component, received 0")


def labelled(groups):
    """Whether an image has a labelled pixel: an array (..., H, W) -> (...)."""
    return (np.asarray(groups) > 0).any(axis=IMAGE)


def check_whole(groups):
    """Raise ValueError unless an array of labels holds whole numbers or booleans."""
    kind = groups.dtype.kind
    if kind not in "iubf":
        raise ValueError(f"groups: expected whole numbers, received {groups.dtype}")
    if kind == "f":
        broken = groups[~(np.isfinite(groups) & (groups == np.floor(groups)))]
        if broken.size:
            raise ValueError(
                f"groups: expected whole numbers, received {broken.flat[0]:g}; "
                "give each object a number of its own, and 0 to what is not scored"
            )


def check_finite(finite, gamma):
    """Raise ValueError unless all images are `finite`, as `count_pixels` found."""
    if not finite.all():
        found = "NaN" if np.isnan(gamma).any() else "infinity"
        raise ValueError(
            f"gamma: expected finite numbers, received {found} in "
            f"{np.count_nonzero(~finite)} of {finite.size} images; the weights of the "
            "model are no longer finite: take an earlier one, or train it again with "
            "a smaller learning rate"
        )


def contingency_table(groups, gamma, objects=8):
    """Count the pixels that component k claims of object n, image by image.

    Where two components tie, the pixel belongs to the first. Each label up to `objects`
    has its own column; those above it have the next ones, in ascending order and image
    by image. While a graph is traced there are `FURTHER` of these, since shapes are
    fixed; otherwise as many as the fullest image needs.

    Args:
        groups: labels, whole numbers of any size or booleans, shape (..., H, W); 0 and
            below for not scored.
        gamma: soft assignment, shape (..., K, H, W, 1).
        objects: the label up to which columns are labels: that of n is n - 1.

    Returns:
        Pixel counts, float32, shape (..., K, n) with n of at least `objects`, exact up
        to 2^24 and rounded beyond. While a graph is traced, NaN for an image that
        cannot be scored or has more than `FURTHER` labels above `objects`, or one of
        2^63 or more.

    Raises:
        ValueError: if the two shapes do not belong together; unless a graph is traced,
            also if labels are no whole numbers, or gamma is not finite where labelled.
    """
    check_groups(groups, gamma)
    labels, assigned = concrete(groups), concrete(gamma)
    if labels is not None:
        check_whole(labels)
        if assigned is not None:
            return ops.convert_to_tensor(_table_of_arrays(labels, assigned, objects))
        groups = _renamed(labels, objects)
    return _table_in_graph(groups, gamma, objects)


def _table_of_arrays(groups, gamma, objects):
    """`contingency_table` of NumPy arrays."""
    *images, height, width = groups.shape
    count, components = int(np.prod(images)), gamma.shape[axes.COMPONENTS]
    tables, finite = count_pixels(
        groups.reshape(count, height * width),
        gamma.reshape(count, components, height * width),
        objects,
    )
    check_finite(finite, gamma)
    return tables.reshape(*images, *tables.shape[1:]).astype("float32")


def count_pixels(groups, gamma, objects):
    """Contingency tables: groups (N, P), gamma (N, K, P) -> `Counts`.

    Only the labelled pixels are looked at, about one in eight of a clip of shapes. Time
    and memory follow their number, whatever the labels are. Columns are those of
    `contingency_table`; `objects` of 0 gives the labels of each image 0, 1, ...
    """
    at_once = max(1, PIXELS_AT_ONCE // max(1, groups.shape[1]))
    starts = range(0, len(groups), at_once)
    parts = [
        _count_at_once(groups[i : i + at_once], gamma[i : i + at_once], objects)
        for i in starts
    ]
    columns = max([1, objects, *(part.tables.shape[2] for part in parts)])
    tables = np.zeros((len(groups), gamma.shape[1], columns), np.int64)
    finite = np.ones(len(groups), bool)
    for start, part in zip(starts, parts, strict=True):
        tables[start : start + at_once, :, : part.tables.shape[2]] = part.tables
        finite[start : start + at_once] = part.finite
    return Counts(tables, finite)


def _count_at_once(groups, gamma, objects):
    images, components, pixels = gamma.shape
    place = np.flatnonzero(groups > 0)  # (L,), as what follows
    image = place // max(1, pixels)
    column = _columns(groups.reshape(-1)[place], image, objects)
    assigned = gamma.reshape(-1)
    place = place + image * (components - 1) * pixels  # in gamma, of component 0
    largest = assigned[place]
    winner, known = np.zeros(len(image), np.int64), np.isfinite(largest)
    for k in range(1, components):
        candidate = assigned[place + k * pixels]
        known &= np.isfinite(candidate)
        winner[candidate > largest] = k
        largest = np.maximum(largest, candidate)
    columns = max(objects, int(column.max(initial=-1)) + 1)
    entry = (image * components + winner) * columns + column
    counts = np.bincount(entry, minlength=images * components * columns)
    finite = np.ones(images, bool)
    finite[image[~known]] = False
    return Counts(counts.reshape(images, components, columns), finite)


def _columns(labels, image, objects):
    """The column of each labelled pixel: labels (L,), image (L,) -> int64 (L,)."""
    larger = labels > objects
    columns = np.where(larger, 0, labels).astype(np.int64) - 1
    if larger.any():
        columns[larger] = objects + _ranks(labels[larger], image[larger])
    return columns


def _ranks(labels, image):
    """Labels (L,) -> 0, 1, ... in ascending order within each image (L,): int64."""
    distinct, label = np.unique(labels, return_inverse=True)
    pair = image * len(distinct) + label  # one number for an image and its label
    pairs, place = np.unique(pair, return_inverse=True)
    image = pairs // max(1, len(distinct))
    return (np.arange(len(pairs)) - np.searchsorted(image, image))[place]


def _renamed(groups, objects):
    """The labels 1 + `_columns`, int32, which no backend cuts: an array (..., H, W)."""
    flat = groups.reshape(-1, groups.shape[-2] * groups.shape[-1])
    image, pixel = np.nonzero(flat > 0)
    renamed = np.zeros(flat.shape, "int32")
    renamed[image, pixel] = 1 + _columns(flat[image, pixel], image, objects)
    return renamed.reshape(groups.shape)


def _table_in_graph(groups, gamma, objects):
    """`contingency_table` of tensors whose numbers are not known yet."""
    labels, components = comparable(groups), ops.shape(gamma)[axes.COMPONENTS]
    winner, known = _winner(gamma)  # (..., H, W)
    own = ops.logical_and(labels > 0, labels <= objects)
    column = ops.cast(ops.where(own, labels, ops.zeros_like(labels)), "int32") - 1
    table = _count(
        ops.one_hot(winner, components, dtype="float32"),  # (..., H, W, K)
        ops.one_hot(column, objects, dtype="float32"),  # (..., H, W, n); of -1, zeros
    )
    table, left = _with_further(table, labels, winner, objects)
    flawed = ops.logical_or(left, flawed_images(groups, labels, known))
    return ops.where(flawed[..., None, None], np.nan, table)


def _count(claimed, labelled):
    """Pixels of both: (..., H, W, K), (..., H, W, n) -> (..., K, n)."""
    height, width = claimed.shape[-3:-1]
    if height and width and height * width > EXACT:  # row by row, as far as it goes
        rows = ops.einsum("...hwk,...hwn->...hkn", claimed, labelled)
        return ops.sum(rows, axis=-3)
    return ops.einsum("...hwk,...hwn->...kn", claimed, labelled)


def comparable(groups):
    """Labels as a tensor of a type that all backends compare, as they are."""
    groups = ops.convert_to_tensor(groups)
    dtype = keras.backend.standardize_dtype(groups.dtype)
    if dtype == "uint64":  # which Keras would cut to uint32; from 2^63 on negative
        return ops.cast(groups, "int64")
    if dtype in ("float16", "bfloat16"):
        return ops.cast(groups, "float32")
    wide = ("int32", "uint32", "int64", "float32", "float64")
    return groups if dtype in wide else ops.cast(groups, "int32")


def _with_further(table, labels, winner, objects):
    """A table with columns for labels above `objects`, and who has too many of them.

    The columns are filled one after another, smallest label first. The loop ends when
    no image has a larger one, as a rule before it began.

    Args:
        table: that of labels up to `objects`, float32, shape (..., K, objects).
        labels, winner: shape (..., H, W).

    Returns:
        the table, shape (..., K, objects + FURTHER), and whether labels of an image
        are left over, shape (...).
    """
    components = ops.shape(table)[-2]
    most = ops.max(labels, axis=IMAGE, keepdims=True, initial=0)  # (..., 1, 1)

    def another(n, last, further):
        return ops.logical_and(n < FURTHER, ops.any(last < most))

    def count(n, last, further):
        here = labels > last  # (..., H, W)
        label = ops.min(ops.where(here, labels, most), axis=IMAGE, keepdims=True)
        here = ops.cast(ops.logical_and(here, labels == label), "float32")
        claimed = ops.one_hot(winner, components, dtype="float32")  # (..., H, W, K)
        counts = _count(claimed, here[..., None])  # (..., K, 1)
        further = ops.where(ops.arange(FURTHER) == n, counts, further)
        return n + 1, label, further

    none = ops.zeros_like(table[..., :1]) + ops.zeros(FURTHER)  # (..., K, FURTHER)
    start = (ops.zeros((), "int32"), ops.full_like(most, objects), none)
    _, last, further = ops.while_loop(another, count, start)
    table = ops.concatenate([table, further], axis=-1)
    return table, ops.any(last < most, axis=IMAGE)


def flawed_images(groups, labels, known):
    """Whether an image cannot be scored: three of shape (..., H, W) -> (...)."""
    flawed = ops.logical_and(labels > 0, ops.logical_not(known))
    dtype = keras.backend.standardize_dtype(groups.dtype)
    if "float" in dtype:
        flawed = ops.logical_or(flawed, labels != ops.floor(labels))
    elif dtype == "uint64":
        flawed = ops.logical_or(flawed, labels < 0)
    return ops.any(flawed, axis=IMAGE)


def _winner(gamma):
    """argmax over K and whether gamma is finite: (..., K, H, W, 1) -> (..., H, W)."""
    gamma = ops.squeeze(gamma, -1)
    # A sum is finite if all its terms are.
    if gamma.shape[-3] is None:
        return ops.argmax(gamma, axis=-3), ops.isfinite(ops.sum(gamma, axis=-3))
    # Where K is known: K passes over memory instead of a transposition.
    first, *others = ops.unstack(gamma, axis=-3)  # K times (..., H, W)
    winner, largest, total = ops.zeros_like(first, "int32"), first, first
    for k, candidate in enumerate(others, start=1):
        winner = ops.where(candidate > largest, k, winner)
        largest = ops.maximum(candidate, largest)
        total = total + candidate
    return winner, ops.isfinite(total)
