"""Adjusted mutual information, the score the paper reports, over many images at once.

NumPy and SciPy only: the score ends a run, it does not train one.
"""

import numpy as np
from scipy.special import gammaln, xlogy

from nem_tf.metrics import check_groups

PIXELS_AT_ONCE = 2**24  # of groups; keeps the memory of counting below 1 GB
TERMS_AT_ONCE = 2**20  # of the sum in `expected_information`; 8 MB an array
ROUNDING = 1e-12  # nats; a difference of informations below it is a zero

AVERAGES = {
    "max": np.maximum,  # the paper's, the only one of scikit-learn 0.18
    "arithmetic": lambda u, v: (u + v) / 2,  # scikit-learn's default since 0.22
    "geometric": lambda u, v: np.sqrt(u * v),
    "min": np.minimum,
}


def adjusted_mutual_information(groups, gamma, average_method="max"):
    """Agreement of argmax_k gamma with the labels, corrected for chance.

    For objects U and components V of the labelled pixels (Vinh et al., 2010):

        AMI = (I(U, V) - E[I]) / (mean(H(U), H(V)) - E[I])

    where E[I] is the expected information of two random partitions with clusters of
    the same sizes.

    Args:
        groups: labels, integers, shape (..., H, W), where 0 is not scored.
        gamma: soft assignment, shape (..., K, H, W, 1).
        average_method: `"max"` (the paper's), `"arithmetic"`, `"geometric"`, `"min"`.

    Returns:
        float64 NumPy array, shape (...): 1 for equal partitions, 0 on average for
        random ones.

    Raises:
        ValueError: if the shapes do not belong together, the labels are not integers,
            or `average_method` is unknown.
    """
    if average_method not in AVERAGES:
        raise ValueError(
            f"average_method: expected one of {sorted(AVERAGES)}, "
            f"received {average_method!r}"
        )
    groups, gamma = np.asarray(groups), np.asarray(gamma)
    check_groups(groups, gamma)
    if not np.issubdtype(groups.dtype, np.integer):
        raise ValueError(f"groups: expected integers, received {groups.dtype}")
    images, (height, width) = groups.shape[:-2], groups.shape[-2:]
    components = gamma.shape[-4]
    tables = count_pixels(
        groups.reshape(-1, height * width),  # (N, HW)
        gamma.reshape(-1, components, height * width),  # (N, K, HW)
    )
    return ami_from_tables(tables, AVERAGES[average_method]).reshape(images)


def count_pixels(groups, gamma):
    """Contingency tables: groups (N, P), gamma (N, K, P) -> int64 (N, K, n).

    Only the labelled pixels are looked at, about one in eight of a clip of shapes. On a
    tie the first component wins.
    """
    components = gamma.shape[1]
    objects = max(int(groups.max(initial=0)), 1)
    tables = np.zeros((len(groups), components, objects), np.int64)
    at_once = max(1, PIXELS_AT_ONCE // max(1, groups.shape[1]))
    for start in range(0, len(groups), at_once):
        chunk = slice(start, start + at_once)
        image, pixel = np.nonzero(groups[chunk] > 0)  # (L,) each
        label = groups[chunk][image, pixel].astype(np.int64) - 1
        largest = gamma[chunk][image, 0, pixel]  # (L,)
        winner = np.zeros(len(image), np.int64)
        for k in range(1, components):
            candidate = gamma[chunk][image, k, pixel]
            winner[candidate > largest] = k
            largest = np.maximum(largest, candidate)
        entry = (image * components + winner) * objects + label
        counts = np.bincount(entry, minlength=tables[chunk].size)
        tables[chunk] = counts.reshape(tables[chunk].shape)
    return tables


def ami_from_tables(tables, average=np.maximum):
    """Adjusted mutual information of each contingency table: (N, K, n) -> (N,)."""
    claimed = tables.sum(axis=2, keepdims=True)  # (N, K, 1)
    sizes = tables.sum(axis=1, keepdims=True)  # (N, 1, n)
    pixels = sizes.sum(axis=2, keepdims=True)  # (N, 1, 1)
    share = tables / np.maximum(pixels, 1)
    by_chance = claimed * sizes / np.maximum(pixels, 1) ** 2
    ratio = np.divide(share, by_chance, out=np.ones_like(share), where=tables > 0)
    information = xlogy(share, ratio).sum(axis=(1, 2))  # (N,), in nats
    expected = expected_information(claimed, sizes, pixels)  # (N,)
    reference = average(_entropy(claimed, pixels), _entropy(sizes, pixels))  # (N,)
    gain, room = information - expected, reference - expected
    gain[np.abs(gain) < ROUNDING] = 0.0
    room[np.abs(room) < ROUNDING] = 0.0
    # Degenerate cases, as in scikit-learn. No labelled pixel, or one object in one
    # component: 1. One object in several components or several objects in one: 0. With
    # as many clusters as pixels on both sides, or on one side under "min", there is
    # neither gain nor room, and the partitions agree as far as they can: 1.
    one_component = np.count_nonzero(claimed, axis=(1, 2)) == 1
    one_object = np.count_nonzero(sizes, axis=(1, 2)) == 1
    score = np.divide(gain, room, out=np.ones_like(gain), where=room != 0.0)
    return np.where(one_component != one_object, 0.0, score)


def expected_information(claimed, sizes, pixels):
    """Mean mutual information over all ways to place clusters of given sizes.

    The overlap m of a cluster of a pixels with one of b pixels, among N, is
    hypergeometric, so

        E[I] = sum_ab sum_m m/N log(N m / (a b)) P(m | a, b, N)

    The inner sum depends on (a, b, N) alone: each triple that occurs is summed once.

    Args:
        claimed: int64, shape (N, K, 1), the sizes a.
        sizes: int64, shape (N, 1, n), the sizes b.
        pixels: int64, shape (N, 1, 1), the number of labelled pixels.

    Returns:
        float64, shape (N,), in nats.
    """
    # a <= b, both <= N < base, as one number; exact for up to 2^21 - 2 pixels.
    smaller, larger = np.minimum(claimed, sizes), np.maximum(claimed, sizes)
    base = int(pixels.max(initial=0)) + 1
    triples = (smaller * base + larger) * base + pixels  # (N, K, n)
    unique, place = np.unique(triples, return_inverse=True)  # (U,)
    a, rest = np.divmod(unique, base * base)
    b, total = np.divmod(rest, base)
    log_factorial = gammaln(np.arange(1.0, base + 1))  # log 0!, log 1!, ...
    at_once = max(1, TERMS_AT_ONCE // base)
    inner = np.zeros(len(unique))
    for start in range(0, len(unique), at_once):
        u = slice(start, start + at_once)
        inner[u] = _sum_over_overlaps(a[u], b[u], total[u], log_factorial)
    return inner[place].reshape(triples.shape).sum(axis=(1, 2))  # (N,)


def _sum_over_overlaps(a, b, total, log_factorial):
    """The inner sum of `expected_information`: int64 (U,), a <= b <= N -> (U,)."""
    # An overlap of 0 adds nothing, one below a + b - N cannot be, and an empty cluster
    # (a = 0) has none.
    least = np.maximum(1, a + b - total)
    count = np.maximum(0, a - least + 1)
    u = np.repeat(np.arange(len(a)), count)  # the triple that each term belongs to
    first = np.cumsum(count) - count
    m = np.arange(len(u)) - (first - least)[u]
    neither = total - a - b  # plus m: pixels in neither cluster
    log_ways = log_factorial[a] + log_factorial[b] - log_factorial[total]
    log_ways += log_factorial[total - a] + log_factorial[total - b]
    log_p = log_ways[u] - log_factorial[m] - log_factorial[neither[u] + m]
    log_p -= log_factorial[a[u] - m] + log_factorial[b[u] - m]
    ratio = m * (total / np.maximum(a * b, 1))[u]
    terms = m / total[u] * np.log(ratio) * np.exp(log_p)
    return np.bincount(u, terms, minlength=len(a))


def _entropy(sizes, pixels):
    """Entropy in nats of clusters of the given sizes: (N, ., .), (N, 1, 1) -> (N,)."""
    share = sizes / np.maximum(pixels, 1)
    return -xlogy(share, share).sum(axis=(1, 2))
