"""Which component belongs to which object: for pictures, and for people who compare."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from nem_tf import axes
from nem_tf.scores.tables import check_groups

MOST = 256  # labels above are names, such as colours; their objects count in order


def order_of_objects(groups, gamma):
    """The order of components in which the k-th one claims object k, as far as it can.

    The assignment of components to objects that agrees on most pixels, over all steps
    together. Components without an object come last, as they were.

    Args:
        groups: labels of one clip, integers, shape (T, H, W); 0 is not looked at.
        gamma: soft assignment of its pixels, shape (T, K, H, W, 1).

    Returns:
        a permutation of K, integers (K,): `gamma[:, order]` and `psi[:, order]`.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    groups, gamma = np.asarray(groups), np.asarray(gamma)
    check_groups(groups, gamma)
    components = gamma.shape[axes.COMPONENTS]
    winner = gamma[..., 0].argmax(axis=1)  # (T, H, W)
    labelled = groups > 0
    objects = groups[labelled] - 1
    if objects.max(initial=0) >= MOST:
        objects = np.unique(objects, return_inverse=True)[1]
    table = np.zeros((components, objects.max(initial=0) + 1))
    np.add.at(table, (winner[labelled], objects), 1)
    chosen, objects = linear_sum_assignment(-table)
    first = chosen[np.argsort(objects)]
    rest = [k for k in range(components) if k not in first]
    return np.array([*first, *rest])
