"""How well gamma groups the pixels of an image, measured inside the graph.

The paper's own score, adjusted mutual information, needs sums of factorials over each
table and so lives outside the graph: `mutual_information.py`.
"""

import keras
import numpy as np
from keras import ops

from nem_tf import axes
from nem_tf.pixels import concrete
from nem_tf.scores.tables import (
    IMAGE,
    check_finite,
    check_groups,
    check_whole,
    comparable,
    contingency_table,
    flawed_images,
)


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
    labels = comparable(groups)
    known = ops.isfinite(ops.sum(gamma, axis=axes.COMPONENTS))  # (..., H, W, 1)
    flawed = flawed_images(groups, labels, ops.squeeze(known, -1))  # (...)
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
