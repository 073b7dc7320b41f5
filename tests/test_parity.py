"""The numbers of the original implementation, and that the comparison can fail."""

import pathlib

import numpy as np
import pytest

from tests import parity

GOLDEN = pathlib.Path(__file__).parent / "golden"
CASES = ("static_rnn_em", "static_n_em", "flying_shapes", "flying_mnist")


@pytest.mark.parametrize("case", CASES)
def test_same_numbers_as_the_original(case):
    rows = parity.compare(GOLDEN / f"{case}.npz")
    assert len(rows) >= 8
    assert not [row.name for row in rows if not row.passed]


def test_exit_status(tmp_path, capsys):
    with np.load(GOLDEN / "static_n_em.npz") as arrays:
        case = dict(arrays)
    case["psi"] = case["psi"] + 1e-3
    np.savez(tmp_path / "changed.npz", **case)
    assert parity.main([str(tmp_path / "changed.npz")]) == 1
    assert "above 0.0001 of the largest" in capsys.readouterr().out
    (tmp_path / "broken.npz").write_bytes(b"no zip file")
    assert parity.main([str(tmp_path / "broken.npz")]) == 2
    assert parity.main([str(tmp_path / "missing.npz")]) == 2
    assert parity.main([str(GOLDEN / "static_n_em.npz")]) == 0
