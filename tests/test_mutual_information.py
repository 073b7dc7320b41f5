"""AMI of images and labels of any size: all digits, memory that follows the pixels."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from nem_tf import adjusted_mutual_information, scores
from nem_tf.scores.mutual_information import AVERAGES, MOST_PIXELS, ami_from_tables
from tests.test_metrics import gamma_of, random_images

LONG = np.longdouble  # 19 digits on x86, 34 on ARM


def ami_of(table):
    """AMI by the definition, every term summed: integers (K, n) -> a number."""
    table = np.asarray(table, LONG)
    a, b = table.sum(axis=1), table.sum(axis=0)
    total = table.sum()
    information = sum(
        share_times_log(m, a[k] * b[n], total) for (k, n), m in np.ndenumerate(table)
    )
    expected = sum(mean_of(x, y, total) for x in a for y in b)
    reference = max(
        -sum(x / total * np.log(x / total) for x in side) for side in (a, b)
    )
    return (information - expected) / (reference - expected)


def share_times_log(m, area, total):
    """m/N log(N m / (a b)) - m/N + a b / N^2, where the last two sum to nothing."""
    u = (total * m - area) / area
    far = np.where(u > -1, (1 + u) * np.log1p(np.maximum(u, -0.999999999)), 0) - u
    near = u**2 / 2 - u**3 / 6 + u**4 / 12 - u**5 / 20
    return area / total**2 * np.where(np.abs(u) < 1e-4, near, far)


def mean_of(a, b, total):
    """Mean of `share_times_log` over the overlaps of a random a and b pixels."""
    mean = a * b / total
    reach = 60 + 11 * np.sqrt(mean * (1 - a / total) * (1 - b / total))
    first = int(max(0, a + b - total, np.floor(mean - reach)))
    m = np.arange(first, int(min(a, b, mean + reach)) + 1).astype(LONG)
    up = (a - m[:-1]) * (b - m[:-1]) / (m[1:] * (total - a - b + m[1:]))
    log_p = np.concatenate([[LONG(0)], np.cumsum(np.log(up))])
    p = np.exp(log_p - log_p.max())
    return (p * share_times_log(m, a * b, total)).sum() / p.sum()


def tables_of(pixels):
    """Tables of that many pixels: by chance, alike, and with tiny clusters."""
    shares = np.outer([0.5, 0.3, 0.2], [0.6, 0.25, 0.15])
    chance = np.rint(shares * pixels).astype(np.int64)
    chance[1, 2] += int(np.sqrt(pixels)) // 2
    alike = np.array([[pixels // 3, 3, 2], [1, pixels // 5, 0]])
    tiny = np.array([[0, 4, 0], [1, 3, 9], [2, 2, 2]])
    for table in (chance, alike, tiny):
        table[0, 0] += pixels - table.sum()
    return chance, alike, tiny


# 2^21 - 2 were the most that three sizes in one number had room for.
PIXELS = [60, 784, 4000, 2**16, 2**20, 2**21 - 2, 2**21 - 1, 2**21 + 1, 10**8, 2**31]


@pytest.mark.parametrize("pixels", PIXELS)
def test_ami_has_all_its_digits(pixels):
    for table in tables_of(pixels):
        assert table.sum() == pixels and table.min() >= 0
        np.testing.assert_allclose(
            ami_from_tables(table[None]), [float(ami_of(table))], rtol=1e-9
        )


def test_tables_of_all_sizes_are_scored_together():
    tables = np.stack([tables_of(pixels)[0] for pixels in PIXELS])
    alone = [ami_from_tables(table[None])[0] for table in tables]
    np.testing.assert_allclose(ami_from_tables(tables), alone, rtol=1e-12)


def test_an_image_above_two_to_the_21():
    groups = np.ones((1449, 1449), int)
    groups[:, 1079:] = 2
    assert groups.size > 2**21
    same = gamma_of(groups - 1, 2)
    assert adjusted_mutual_information(groups, same) == 1.0
    winner = groups - 1
    winner[::7, ::3] = 0
    theirs = adjusted_mutual_info_score(
        groups.ravel(), winner.ravel(), average_method="max"
    )
    ours = adjusted_mutual_information(groups, gamma_of(winner, 2))
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


@pytest.mark.parametrize("average", AVERAGES)
def test_pixels_that_are_all_apart_on_both_sides(average):
    for pixels in (2, 17, 1000, 2047):  # 1.0003 for 1000 with a table of log N!
        tables = np.eye(pixels, dtype=int)[None]
        assert ami_from_tables(tables, AVERAGES[average]) == 1.0


def test_more_pixels_than_products_have_room_for():
    with pytest.raises(ValueError, match="tables: expected at most 2147483648 pixels"):
        ami_from_tables(np.array([[[MOST_PIXELS, 1]]]))


def peak_of(score, *arguments):
    """The most memory, in bytes, that a call needed at once."""
    tracemalloc.start()
    score(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_follow_the_pixels_of_a_table():
    assert peak_of(ami_from_tables, tables_of(2**31)[0][None]) < 10e6


SCORES = (
    adjusted_mutual_information,
    scores.adjusted_rand_index,
    scores.distinct_components,
    scores.purity,
)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("largest", [1_000_000, 255 + 256 * 255 + 65536 * 255, 2**40])
def test_memory_does_not_follow_the_largest_label(score, largest):
    groups = np.ones((20, 32, 32), int)
    groups[:, :, 16:] = largest
    winner = (groups > 1).astype(int)
    assert (np.asarray(score(groups, gamma_of(winner, 3))) >= 1.0).all()
    assert peak_of(score, groups, gamma_of(winner, 3)) < 20e6


def test_memory_does_not_follow_the_labels_of_other_images():
    groups, winner = random_images(2000, 5, 6, 3, 4, seed=7)
    gamma = gamma_of(winner, 4)
    names = np.random.default_rng(0).permutation(2**20)[: 2000 * 4].reshape(2000, 4)
    names[:, 0] = -1
    renamed = np.take_along_axis(names, groups.reshape(2000, 30), 1)
    renamed = renamed.reshape(groups.shape)
    for score in SCORES:
        np.testing.assert_allclose(
            score(renamed, gamma), score(groups, gamma), atol=1e-6
        )
        assert peak_of(score, renamed, gamma) < 50e6


def test_many_images_in_parts(monkeypatch):
    groups, winner = random_images(40, 5, 6, 3, 4, seed=8)
    gamma = gamma_of(winner, 4)
    whole = adjusted_mutual_information(groups * 1000, gamma)
    monkeypatch.setattr("nem_tf.scores.mutual_information.ENTRIES_AT_ONCE", 400)
    monkeypatch.setattr("nem_tf.scores.mutual_information.TERMS_AT_ONCE", 50)
    monkeypatch.setattr("nem_tf.scores.tables.PIXELS_AT_ONCE", 100)
    parts = adjusted_mutual_information(groups * 1000, gamma)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    gamma[3, 1, groups[3] > 0] = np.nan
    gamma[30, 1, groups[30] > 0] = np.nan
    with pytest.raises(ValueError, match="received NaN in 2 of 40 images"):
        adjusted_mutual_information(groups * 1000, gamma)
