"""Adjusted mutual information, the score the paper reports, over many images at once.

NumPy and SciPy only: the score ends a run, it does not train one.

By chance a component of a pixels and an object of b, among N, would share a b / N. Both
the information of a table and its expectation are sums of how far an overlap m is from
that,

    m/N log(N m / (a b)) - m/N + a b / N^2 = a b / N^2 phi(N m / (a b) - 1)

    phi(u) = (1 + u) log(1 + u) - u

where the two terms added on the left cancel over a table. phi is never negative, and
N m - a b is an integer, so nothing is lost to rounding however large an image or small
a score is: integers are exact up to `MOST_PIXELS`.
"""

import math

import numpy as np
from scipy.special import gammaln, xlogy

from nem_tf.scores.tables import check_finite, check_groups, count_pixels, labelled

ENTRIES_AT_ONCE = 2**23  # of contingency tables; 64 MB an array
TERMS_AT_ONCE = 2**14  # of the sum in `expected_information`; they stay in the cache
MOST_PIXELS = 2**31  # a product of two numbers up to here fits in int64
FEW_LABELS = 32  # labels up to here are columns of a table as they are
TAIL = 40  # 2 exp(-40) is 1e-17
TINY = 1e-300  # keeps log(0) finite, which is multiplied by 0
ROUNDING = 1e-12  # of the informations: a difference below it is a zero

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
        groups: labels, integers of any size or booleans, shape (..., H, W); 0 and below
            are not scored.
        gamma: soft assignment, shape (..., K, H, W, 1).
        average_method: `"max"` (the paper's), `"arithmetic"`, `"geometric"`, `"min"`.

    Returns:
        float64 NumPy array, shape (...): 1 for equal partitions, 0 on average for
        random ones.

    Raises:
        ValueError: if the shapes do not belong together, the labels are not integers,
            gamma is not finite at a labelled pixel, an image has more than 2^31 of
            these, or `average_method` is unknown.
    """
    if average_method not in AVERAGES:
        raise ValueError(
            f"average_method: expected one of {sorted(AVERAGES)}, "
            f"received {average_method!r}"
        )
    groups, gamma = np.asarray(groups), np.asarray(gamma)
    check_groups(groups, gamma)
    if groups.dtype.kind not in "iub":
        raise ValueError(f"groups: expected integers, received {groups.dtype}")
    images, pixels = groups.shape[:-2], groups.shape[-2] * groups.shape[-1]
    components = gamma.shape[-4]
    labels = groups.reshape(math.prod(images), pixels)  # (N, P)
    assigned = gamma.reshape(len(labels), components, pixels)  # (N, K, P)
    largest = int(labels.max(initial=1))
    objects = largest if largest <= FEW_LABELS else 0  # 0: count them, image by image
    at_once = ENTRIES_AT_ONCE // max(1, components * min(largest, pixels)) or 1
    score, finite = np.empty(len(labels)), np.empty(len(labels), bool)
    for start in range(0, len(labels), at_once):
        chunk = slice(start, start + at_once)
        tables, finite[chunk] = count_pixels(labels[chunk], assigned[chunk], objects)
        score[chunk] = ami_from_tables(tables, AVERAGES[average_method])
    check_finite(finite, gamma)
    return score.reshape(images)


def labelled_ami(groups, gamma, average_method="max"):
    """`adjusted_mutual_information`, but NaN where an image has no labelled pixel.

    Such an image says nothing about grouping; by definition its score is 1.
    """
    score = adjusted_mutual_information(groups, gamma, average_method)
    return np.where(labelled(groups), score, np.nan)


def ami_from_tables(tables, average=np.maximum):
    """Adjusted mutual information of each contingency table: (N, K, n) -> (N,).

    Raises:
        ValueError: if an image has more than 2^31 pixels.
    """
    tables = np.asarray(tables).astype(np.int64, copy=False)
    claimed = tables.sum(axis=2, keepdims=True)  # (N, K, 1)
    sizes = tables.sum(axis=1, keepdims=True)  # (N, 1, n)
    pixels = sizes.sum(axis=2, keepdims=True)  # (N, 1, 1)
    most = int(pixels.max(initial=0))
    if most > MOST_PIXELS:
        raise ValueError(
            f"tables: expected at most {MOST_PIXELS} pixels an image, received {most}; "
            "score parts of the image"
        )
    area = claimed * sizes  # (N, K, n)
    terms = _divergence(pixels * tables - area, area, np.maximum(pixels, 1))
    information = terms.sum(axis=(1, 2))  # (N,), in nats
    expected = expected_information(claimed, sizes, pixels)  # (N,)
    reference = average(_entropy(claimed, pixels), _entropy(sizes, pixels))  # (N,)
    gain, room = information - expected, reference - expected
    gain[np.abs(gain) < ROUNDING * expected] = 0.0
    room[np.abs(room) < ROUNDING * expected] = 0.0
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

        E[I] = sum_ab sum_m a b / N^2 phi(N m / (a b) - 1) P(m | a, b, N)

    The inner sum depends on (a, b, N) alone: each triple that occurs is summed once.

    Args:
        claimed: int64, shape (N, K, 1), the sizes a.
        sizes: int64, shape (N, 1, n), the sizes b.
        pixels: int64, shape (N, 1, 1), the number of labelled pixels.

    Returns:
        float64, shape (N,), in nats.
    """
    smaller, larger = np.minimum(claimed, sizes), np.maximum(claimed, sizes)
    triples, place = _distinct(smaller, larger, np.maximum(pixels, 1))  # (3, U)
    return _over_overlaps(*triples)[place].sum(axis=(1, 2))  # (N,)


def _distinct(*numbers):
    """Which tuples of integers occur: arrays that broadcast to (N, K, n) -> (U,) each.

    Returns:
        the arrays, and the place of each of the N K n tuples in them, (N, K, n).
    """
    numbers = np.broadcast_arrays(*numbers)
    key, keys = np.zeros(numbers[0].shape, np.int64), 1  # 0 <= key < keys
    for number in numbers:
        base = int(number.max(initial=0)) + 1
        if keys * base > 2**63:  # as many keys as there are different ones
            different, key = np.unique(key, return_inverse=True)
            keys = len(different)
        key, keys = key * base + number, keys * base
    different, place = np.unique(key, return_inverse=True)
    found = np.empty((len(numbers), len(different)), np.int64)
    for values, number in zip(found, numbers, strict=True):
        values[place] = number
    return found, place


def _over_overlaps(a, b, total):
    """The inner sum of `expected_information`: int64 (U,), a <= b <= N -> (U,)."""
    first, stride, count = _overlaps(a, b, total)
    inner = np.empty(len(a))
    for log_p, chosen in (
        (_log_p_of_all, np.flatnonzero(stride == 1)),
        (_log_p_of_some, np.flatnonzero(stride > 1)),
    ):
        part = np.cumsum(count[chosen]) // TERMS_AT_ONCE
        edges = np.flatnonzero(np.diff(part, prepend=-1, append=-1))
        for start, end in zip(edges[:-1], edges[1:], strict=True):
            u = chosen[start:end]
            overlaps = first[u], stride[u], count[u]
            inner[u] = _mean_divergence(log_p, a[u], b[u], total[u], *overlaps)
    return inner


def _overlaps(a, b, total):
    """Which overlaps m are summed for each (a, b, N): the first, the stride, how many.

    P(|m - mean| > r) is at most 2 exp(-r^2 / (2 sd^2 + 2 r / 3)) (Bernstein), so that
    what is left out is below 2 exp(-TAIL). A sum over every h-th m of so smooth a bell
    is off by exp(-2 (pi sd / h)^2), 1e-53 for two and a half terms per deviation (the
    trapezoidal rule), so that no triple takes more than 250 terms.
    """
    mean = a * b / total
    deviation = np.sqrt(mean * (1.0 - a / total) * (1.0 - b / total))
    stride = np.where(deviation < 10.0, 1.0, deviation // 2.5).astype(np.int64)
    reach = TAIL / 3 + np.sqrt((TAIL / 3) ** 2 + 2 * TAIL * deviation**2)
    first = np.maximum(np.maximum(0, a + b - total), (mean - reach).astype(np.int64))
    last = np.minimum(a, (mean + reach).astype(np.int64))
    return first, stride, (last - first) // stride + 1


def _mean_divergence(log_p, a, b, total, first, stride, count):
    """Mean divergence of m under P, for triples and overlaps: int64 (U,) -> (U,)."""
    begin = np.cumsum(count) - count  # where the terms of each triple begin
    step = np.arange(count.sum()) - np.repeat(begin, count)
    m = np.repeat(first, count) + step * np.repeat(stride, count)  # (L,), as below
    a, b, total = (np.repeat(size, count) for size in (a, b, total))
    log_p = log_p(m, a, b, total, begin)
    p = np.exp(log_p - np.repeat(np.maximum.reduceat(log_p, begin), count))
    area = a * b
    terms = p * _divergence(total * m - area, area, total)
    return np.add.reduceat(terms, begin) / np.add.reduceat(p, begin)  # P sums to 1


def _log_p_of_all(m, a, b, total, begin):
    """log P(m | a, b, N) up to a constant for each triple, where m counts up by one.

        P(m) / P(m - 1) = (a - m + 1) (b - m + 1) / (m (N - a - b + m))

    Args:
        m, a, b, total: int64, shape (L,).
        begin: where the terms of each triple begin, shape (U,).
    """
    above = (a - m + 1) * (b - m + 1)
    below = m * (total - a - b + m)
    above[begin] = below[begin] = 1
    step = np.log(above / below)
    step[begin[1:]] = -np.add.reduceat(step, begin)[:-1]  # each triple begins with 0
    return np.cumsum(step)


def _log_p_of_some(m, a, b, total, begin):
    """The same for any m, without a sum over others and without a factorial.

    Pixels in both clusters, in one or in neither are x_i, each of them off by +-(m -
    a b / N) from its expectation mu_i, and P(m) is proportional to 1 / prod x_i!. By

        log x_i! = mu_i phi(x_i / mu_i - 1) + log(x_i! e^x_i / x_i^x_i) + constant

    where the constants of the four cancel, their large parts are never computed.
    """
    not_a, not_b, excess = total - a, total - b, total * m - a * b
    log_p = np.zeros(len(m))
    for x, area, off in (
        (m, a * b, excess),
        (a - m, a * not_b, -excess),
        (b - m, not_a * b, -excess),
        (not_a - b + m, not_a * not_b, excess),
    ):
        log_p -= total * _divergence(off, area, total) + _stirling_rest(x)
    return log_p


def _stirling_rest(x):
    """log(x! e^x / x^x), the small part of log x!: int64 (L,) -> float64 (L,)."""
    y = np.maximum(x, 16).astype(float)
    series = 1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / y**2) / y**2) / y**2
    small = np.arange(16.0)
    exact = gammaln(small + 1.0) + small - xlogy(small, small)
    large = np.log(2 * np.pi * y) / 2 + series / y
    return np.where(x < 16, exact[np.minimum(x, 15)], large)


def _divergence(excess, area, total):
    """How far overlaps are from chance: m/N log(N m / (a b)) - m/N + a b / N^2.

    Args:
        excess: N m - a b, int64.
        area: a b, int64; where it is 0, so is the result.
        total: N, int64.
    """
    return area / total / total * _phi(excess / np.maximum(area, 1))


def _phi(u):
    """(1 + u) log(1 + u) - u for u >= -1, to 13 digits where u is small, too."""
    y = 1.0 + u
    phi = y * np.log(np.maximum(y, TINY)) - u
    near = np.abs(u) < 0.1
    u, y = u[near], y[near]
    # With v = u / (2 + u), log(1 + u) = 2 (v + v^3/3 + v^5/5 + ...), and what is left
    # once u is taken off is positive, term by term.
    v = u / (2.0 + u)
    w = v * v
    series = 1 / 11 + w / 13
    for odd in (9, 7, 5, 3):
        series = 1 / odd + w * series
    phi[near] = u * v + 2.0 * y * v * w * series
    return phi


def _entropy(sizes, pixels):
    """Entropy in nats of clusters of the given sizes: (N, ., .), (N, 1, 1) -> (N,)."""
    pixels = np.maximum(pixels, 1)
    share = sizes / pixels
    # Of a share near 1 only what is missing from it has all its digits.
    near = -share * np.log1p(-np.minimum(pixels - sizes, pixels / 2) / pixels)
    return np.where(share > 0.5, near, -xlogy(share, share)).sum(axis=(1, 2))
