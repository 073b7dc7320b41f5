"""How well gamma groups the pixels of an image, measured inside the graph.

Every score here reads one contingency table per image: entry (k, n) counts the pixels
of object n + 1 that component k claims, which is where gamma_k is largest. Pixels of
label 0 (background or overlap) are not scored, as in the paper (Sec. 4).

The paper's own score, adjusted mutual information, needs sums of factorials over each
table and so lives outside the graph: `mutual_information.py`.
"""

import keras
from keras import ops

from nem_tf import axes


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


def contingency_table(groups, gamma, objects=8):
    """Count the pixels that component k claims of object n, image by image.

    Where two components tie, the pixel belongs to the first.

    Args:
        groups: labels, integers, shape (..., H, W); 1..objects, or 0 for not scored.
            Larger labels are not scored either.
        gamma: soft assignment, shape (..., K, H, W, 1).
        objects: n, the largest label to look for.

    Returns:
        Pixel counts, float32, shape (..., K, n), exact up to 2^24 pixels an image.

    Raises:
        ValueError: if the two shapes do not belong together.
    """
    check_groups(groups, gamma)
    components = ops.shape(gamma)[axes.COMPONENTS]
    winner = ops.one_hot(_winner(gamma), components, dtype="float32")  # (..., H, W, K)
    labels = ops.cast(groups, "int32") - 1
    labels = ops.one_hot(labels, objects, dtype="float32")  # (..., H, W, n), else 0
    return ops.einsum("...hwk,...hwn->...kn", winner, labels)  # (..., K, n)


def _winner(gamma):
    """argmax over K: (..., K, H, W, 1) -> int32 (..., H, W)."""
    gamma = ops.squeeze(gamma, -1)
    if gamma.shape[-3] is None:
        return ops.argmax(gamma, axis=-3)
    # Where K is known: K passes over memory instead of a transposition.
    first, *others = ops.unstack(gamma, axis=-3)  # K times (..., H, W)
    winner, largest = ops.zeros_like(first, "int32"), first
    for k, candidate in enumerate(others, start=1):
        winner = ops.where(candidate > largest, k, winner)
        largest = ops.maximum(candidate, largest)
    return winner


def ari_from_table(table):
    """Adjusted Rand index (Hubert and Arabie, 1985) of each table.

    Among ordered pairs of pixels count those that both sides join (tp), both part
    (tn), only the components join (fp) and only the objects join (fn):

        ARI = 2 (tp tn - fn fp) / ((tp + fn)(fn + tn) + (tp + fp)(fp + tn))

    Args:
        table: pixel counts, float32, shape (..., K, n).

    Returns:
        float32, shape (...): 1 for equal partitions, 0 on average for random ones.
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
    return ops.where(equal, 1.0, ari)


def distinct_from_table(table):
    """How many components dominate some object, for each table.

    The dominating component of an object claims more of its pixels than any other
    component does; on a tie, the first one. When every object has a component of its
    own this is the number of objects in view; when one component takes all it is 1.

    Args:
        table: pixel counts, float32, shape (..., K, n).

    Returns:
        float32, shape (...), a whole number from 0 to min(K, n).
    """
    # An object without a labelled pixel has no dominating component. An image without
    # any object has 0 of them.
    components = ops.shape(table)[-2]
    dominates = ops.one_hot(ops.argmax(table, axis=-2), components)  # (..., n, K)
    dominates = ops.swapaxes(dominates, -1, -2)  # (..., K, n)
    visible = ops.max(table, axis=-2, keepdims=True) > 0  # (..., 1, n)
    dominates = ops.cast(dominates, "float32") * ops.cast(visible, "float32")
    return ops.sum(ops.max(dominates, axis=-1), axis=-1)  # (...)


def purity_from_table(table):
    """Share of an object's pixels in its dominating component, mean over objects.

    Args:
        table: pixel counts, float32, shape (..., K, n).

    Returns:
        float32, shape (...), from 1/K (an object spread evenly) to 1 (objects whole).
        Objects that share a component are whole too: read `distinct_from_table` beside.
    """
    # An object without a labelled pixel is not averaged over. An image without any
    # object has nothing torn apart: 1.
    sizes = ops.sum(table, axis=-2)  # (..., n)
    share = ops.max(table, axis=-2) / ops.maximum(sizes, 1.0)  # (..., n)
    present = ops.sum(ops.cast(sizes > 0, "float32"), axis=-1)  # (...)
    purity = ops.sum(share, axis=-1) / ops.maximum(present, 1.0)
    return ops.where(ops.equal(present, 0.0), 1.0, purity)


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
        groups: labels, integers, shape (..., H, W); 0 is not scored.
        gamma: soft assignment, shape (..., K, H, W, 1).

    Returns:
        float32, shape (...), from 1/K to 1, one per image.

    Raises:
        ValueError: if the two shapes do not belong together.
    """
    # An image without a labelled pixel has nothing to be unsure of: 1.
    check_groups(groups, gamma)
    labelled = ops.cast(ops.cast(groups, "int32") > 0, "float32")  # (..., H, W)
    surest = ops.squeeze(ops.max(gamma, axis=axes.COMPONENTS), -1)  # (..., H, W)
    total = ops.sum(ops.cast(surest, "float32") * labelled, axis=(-2, -1))  # (...)
    pixels = ops.sum(labelled, axis=(-2, -1))  # (...)
    return ops.where(ops.equal(pixels, 0.0), 1.0, total / ops.maximum(pixels, 1.0))


class TableMetric(keras.metrics.Mean):
    """The mean of a score over every image it is shown; subclasses name the score.

    Args:
        objects: the largest label there may be; larger ones are not scored.
        name: what logs call it.
        dtype: of the result; float32 if not given.

    Call arguments:
        groups: labels, integers, shape (..., H, W), where 0 is not scored.
        gamma: soft assignment, shape (..., K, H, W, 1).
        sample_weight: optional, one weight per clip (B,) or per image (...).

    Returns:
        A scalar.

    Raises:
        ValueError: if the two shapes do not belong together, or `objects` is below 1.
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
        super().update_state(self.score(table), sample_weight)

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
