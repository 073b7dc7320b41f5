"""How well gamma groups the pixels of an image, measured inside the graph.

Every score here reads one contingency table per image: entry (k, n) counts the pixels
of object n that component k claims, which is where gamma_k is largest. Pixels of label
0 (background or overlap) are not scored, as in the paper (Sec. 4), nor are those of a
negative one. All others are, whatever their labels.

An image that cannot be scored is refused where numbers can be seen and scores NaN while
a graph is traced: one with labels that are no whole numbers, or with a labelled pixel
where gamma is not finite.

The paper's own score, adjusted mutual information, needs sums of factorials over each
table and so lives outside the graph: `mutual_information.py`.
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
    labels, components = _comparable(groups), ops.shape(gamma)[axes.COMPONENTS]
    winner, known = _winner(gamma)  # (..., H, W)
    own = ops.logical_and(labels > 0, labels <= objects)
    column = ops.cast(ops.where(own, labels, ops.zeros_like(labels)), "int32") - 1
    table = _count(
        ops.one_hot(winner, components, dtype="float32"),  # (..., H, W, K)
        ops.one_hot(column, objects, dtype="float32"),  # (..., H, W, n); of -1, zeros
    )
    table, left = _with_further(table, labels, winner, objects)
    flawed = ops.logical_or(left, _flawed(groups, labels, known))
    return ops.where(flawed[..., None, None], np.nan, table)


def _count(claimed, labelled):
    """Pixels of both: (..., H, W, K), (..., H, W, n) -> (..., K, n)."""
    height, width = claimed.shape[-3:-1]
    if height and width and height * width > EXACT:  # row by row, as far as it goes
        rows = ops.einsum("...hwk,...hwn->...hkn", claimed, labelled)
        return ops.sum(rows, axis=-3)
    return ops.einsum("...hwk,...hwn->...kn", claimed, labelled)


def _comparable(groups):
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


def _flawed(groups, labels, known):
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


def ari_from_table(table):
    """Adjusted Rand index (Hubert and Arabie, 1985) of each table.

    Among ordered pairs of pixels count those that both sides join (tp), both part
    (tn), only the components join (fp) and only the objects join (fn):

        ARI = 2 (tp tn - fn fp) / ((tp + fn)(fn + tn) + (tp + fp)(fp + tn))

    Args:
        table: pixel counts, float32, shape (..., K, n).

    Returns:
        float32, shape (...): 1 for equal partitions, 0 on average for random ones; NaN
        where the table is.
    """
    # Each count is a sum of products that are not negative, so nothing cancels in
    # float32 however large the image is.
    claimed = ops.sum(table, axis=-1, keepdims=True)  # (..., K, 1)
    sizes = ops.sum(table, axis=-2, keepdims=True)  # (..., 1, n)
    pixels = ops.sum(sizes, axis=-1, keepdims=True)  # (..., 1, 1)
    cell = (-2, -1)
    tp = ops.sum(table * (table - 1.0), axis=cell)
    fp = ops.sum(table * (claimed - table), axis=cell)
    fn = ops.sum(table * (sizes - table), axis=cell)
    tn = ops.sum(table * ((pixels - claimed) - (sizes - table)), axis=cell)
    divisor = (tp + fn) * (fn + tn) + (tp + fp) * (fp + tn)
    # Degenerate cases, as in scikit-learn. Equal partitions score 1, and so does what
    # has no pair to disagree on: no labelled pixel, a single one, or one object all
    # in one component. One object in several components, or several objects in one,
    # score 0 by the formula itself.
    equal = ops.equal(fp + fn, 0.0)
    ari = 2.0 * (tp * tn - fn * fp) / ops.where(equal, 1.0, divisor)
    return ops.where(equal, 1.0, ari)  # NaN is not equal, and stays


def distinct_from_table(table):
    """How many components dominate some object, for each table.

    The dominating component of an object claims more of its pixels than any other
    component does; on a tie, the first one. When every object has a component of its
    own this is the number of objects in view; when one component takes all it is 1.

    Args:
        table: pixel counts, float32, shape (..., K, n).

    Returns:
        float32, shape (...), a whole number from 0 to min(K, n); NaN where the table
        is.
    """
    # An object without a labelled pixel has no dominating component. An image without
    # any object has 0 of them.
    components = ops.shape(table)[-2]
    dominates = ops.one_hot(ops.argmax(table, axis=-2), components)  # (..., n, K)
    dominates = ops.swapaxes(dominates, -1, -2)  # (..., K, n)
    visible = ops.max(table, axis=-2, keepdims=True, initial=0.0) > 0  # (..., 1, n)
    dominates = ops.cast(dominates, "float32") * ops.cast(visible, "float32")
    count = ops.sum(ops.max(dominates, axis=-1, initial=0.0), axis=-1)  # (...)
    return _unless_flawed(table, count)


def purity_from_table(table):
    """Share of an object's pixels in its dominating component, mean over objects.

    Args:
        table: pixel counts, float32, shape (..., K, n).

    Returns:
        float32, shape (...), from 1/K (an object spread evenly) to 1 (objects whole).
        Objects that share a component are whole too: read `distinct_from_table` beside.
        NaN where the table is.
    """
    # An object without a labelled pixel is not averaged over. An image without any
    # object has nothing torn apart: 1.
    sizes = ops.sum(table, axis=-2)  # (..., n)
    share = ops.max(table, axis=-2, initial=0.0) / ops.maximum(sizes, 1.0)  # (..., n)
    present = ops.sum(ops.cast(sizes > 0, "float32"), axis=-1)  # (...)
    purity = ops.sum(share, axis=-1) / ops.maximum(present, 1.0)
    purity = ops.where(ops.equal(present, 0.0), 1.0, purity)
    return _unless_flawed(table, purity)


def _unless_flawed(table, score):
    """NaN where a table (..., K, n) is, else the score: (...)."""
    return ops.where(ops.isnan(ops.sum(table, axis=IMAGE)), np.nan, score)


def adjusted_rand_index(groups, gamma, objects=8):
    """`ari_from_table` of labels (..., H, W) and gamma (..., K, H, W, 1)."""
    return ari_from_table(contingency_table(groups, gamma, objects))


def distinct_components(groups, gamma, objects=8):
    """`distinct_from_table` of labels (..., H, W) and gamma (..., K, H, W, 1)."""
    return distinct_from_table(contingency_table(groups, gamma, objects))


def purity(groups, gamma, objects=8):
    """`purity_from_table` of labels (..., H, W) and gamma (..., K, H, W, 1)."""
    return purity_from_table(contingency_table(groups, gamma, objects))


def confidence(groups, gamma):
    """How sure the model is: max_k gamma, averaged over the labelled pixels.

    Args:
        groups: labels as of `contingency_table`, shape (..., H, W).
        gamma: soft assignment, shape (..., K, H, W, 1).

    Returns:
        float32, shape (...), from 1/K to 1, one per image. While a graph is traced, NaN
        for an image that cannot be scored.

    Raises:
        ValueError: if the two shapes do not belong together; unless a graph is traced,
            also if labels are no whole numbers, or gamma is not finite where labelled.
    """
    # An image without a labelled pixel has nothing to be unsure of: 1.
    check_groups(groups, gamma)
    seen = concrete(groups)
    if seen is not None:
        check_whole(seen)
        groups = seen > 0
    labels = _comparable(groups)
    known = ops.isfinite(ops.sum(gamma, axis=axes.COMPONENTS))  # (..., H, W, 1)
    flawed = _flawed(groups, labels, ops.squeeze(known, -1))  # (...)
    found = concrete(flawed)
    if found is not None:
        check_finite(~found, np.asarray(gamma))
    surest = ops.max(gamma, axis=axes.COMPONENTS, initial=-np.inf)  # (..., H, W, 1)
    labelled = labels > 0
    surest = ops.where(labelled, ops.cast(surest[..., 0], "float32"), 0.0)
    pixels = ops.sum(ops.cast(labelled, "float32"), axis=IMAGE)  # (...)
    mean = ops.sum(surest, axis=IMAGE) / ops.maximum(pixels, 1.0)
    mean = ops.where(ops.equal(pixels, 0.0), 1.0, mean)
    return ops.where(flawed, np.nan, mean)


class TableMetric(keras.metrics.Mean):
    """The mean of a score over the images it is shown; subclasses name the score.

    An image without a labelled pixel says nothing about grouping and is left out.

    Args:
        objects: how many labels have a column of their own; larger ones are scored too,
            by `FURTHER` columns: see `contingency_table`.
        name: what logs call it.
        dtype: of the result; float32 if not given.

    Call arguments:
        groups: labels as of `contingency_table`, shape (..., H, W).
        gamma: soft assignment, shape (..., K, H, W, 1).
        sample_weight: optional, one weight per clip (B,) or per image (...).

    Returns:
        A scalar, NaN if no image has a labelled pixel, or one cannot be scored.

    Raises:
        ValueError: as `contingency_table`, or if `objects` is below 1.
    """

    def __init__(self, objects=8, name="score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if objects < 1:
            raise ValueError(f"objects: expected at least 1, received {objects}")
        self.objects = objects

    def score(self, table):
        """The score of each table: (..., K, n) -> (...)."""
        raise NotImplementedError

    def update_state(self, groups, gamma, sample_weight=None):
        table = contingency_table(groups, gamma, self.objects)
        self.update_table(table, sample_weight)

    def update_table(self, table, sample_weight=None):
        """Update from a `contingency_table` that several metrics share."""
        score = self.score(table)  # (...)
        weight = ops.cast(ops.not_equal(ops.sum(table, axis=IMAGE), 0.0), "float32")
        if sample_weight is not None:
            given = ops.cast(sample_weight, "float32")
            missing = (1,) * (len(weight.shape) - len(given.shape))
            weight *= ops.reshape(given, (*ops.shape(given), *missing))
        super().update_state(score, weight)

    def result(self):
        return ops.where(ops.equal(self.count, 0.0), np.nan, super().result())

    def get_config(self):
        return {**super().get_config(), "objects": self.objects}


@keras.saving.register_keras_serializable("nem_tf")
class AdjustedRandIndex(TableMetric):
    """Mean adjusted Rand index of argmax_k gamma; see `ari_from_table`."""

    def __init__(self, objects=8, name="ari", dtype=None):
        super().__init__(objects, name, dtype)

    def score(self, table):
        return ari_from_table(table)


@keras.saving.register_keras_serializable("nem_tf")
class DistinctComponents(TableMetric):
    """Mean number of components that dominate an object; see `distinct_from_table`."""

    def __init__(self, objects=8, name="distinct_components", dtype=None):
        super().__init__(objects, name, dtype)

    def score(self, table):
        return distinct_from_table(table)


@keras.saving.register_keras_serializable("nem_tf")
class Purity(TableMetric):
    """Mean share of an object in its dominating component; see `purity_from_table`."""

    def __init__(self, objects=8, name="purity", dtype=None):
        super().__init__(objects, name, dtype)

    def score(self, table):
        return purity_from_table(table)
