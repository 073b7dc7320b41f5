"""The true partition in the place of the E-step's."""

import numpy as np
import pytest

from benchmarks import partitions
from tests import tiny


def test_a_partition_from_labels():
    groups = np.array([[[0, 1], [2, 3]]])
    found = partitions.partition(groups, 2)[0, ..., 0]
    expected = [[[0.5, 1.0], [0.0, 0.5]], [[0.5, 0.0], [1.0, 0.5]]]
    np.testing.assert_array_equal(found, expected)


def test_no_step_with_it_is_the_model_itself(rng):
    nem, batch = tiny.model(eager=True), tiny.batch(rng)
    nem.loss.steps = "last"
    expected = nem.evaluate(batch, return_dict=True, verbose=0)
    found = partitions.of_batch(nem, batch, 0)
    np.testing.assert_allclose(found.intra, expected["intra"], rtol=1e-4)
    np.testing.assert_allclose(found.inter, expected["inter"], rtol=1e-4)


def test_a_trained_model_keeps_the_true_partition(capsys):
    assert partitions.main(["static_shapes", "--clips", "20"]) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1].strip() for row in rows] == ["none", "first 1", "first 5", "all 15"]
    none, *_, every = (float(row[5]) for row in rows)
    assert every > none > 0.8


def test_layers_have_no_such_partition():
    with pytest.raises(SystemExit):
        partitions.main(["flying_sprites"])
