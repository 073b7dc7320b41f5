import numpy as np
import pytest

from nem_tf import EStep, RNNEMCell, likelihoods, networks
from tests import reference


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_paper_written_as_loops(rng, likelihood, channels):
    x = rng.random((5, 6, channels)).astype("float32")
    if likelihood == "bernoulli":
        x = x.round()
    psi = rng.random((4, 5, 6, channels)).astype("float32")
    pi = rng.random((4, 5, 6, 1)).astype("float32")
    pi /= pi.sum(axis=0)
    expected = reference.e_step(likelihood, x, psi, pi)
    np.testing.assert_allclose(EStep(likelihood)(x, psi, pi), expected, atol=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_gamma_sums_to_one_and_stays_finite_at_the_ends(likelihood):
    ends = np.array([0.0, 1.0], "float32")
    x, first, second = np.meshgrid(ends, ends, ends)  # all combinations
    x = x.reshape(2, 4, 1)
    psi = np.stack([first.reshape(2, 4, 1), second.reshape(2, 4, 1)])
    gamma = np.asarray(EStep(likelihood)(x, psi))
    assert np.isfinite(gamma).all()
    np.testing.assert_allclose(gamma.sum(axis=0), 1.0, atol=1e-6)


def test_equal_predictions_leave_the_mixing_weights(rng):
    x = rng.random((5, 6, 1)).round().astype("float32")
    pi = rng.random((4, 5, 6, 1)).astype("float32")
    pi /= pi.sum(axis=0)
    psi = np.zeros((4, 5, 6, 1), "float32")
    np.testing.assert_allclose(EStep("bernoulli")(x, psi, pi), pi, atol=1e-6)


def test_one_component_owns_everything(rng):
    x = rng.random((5, 6, 1)).astype("float32")
    gamma = EStep("gaussian")(x, rng.random((1, 5, 6, 1)).astype("float32"))
    np.testing.assert_array_equal(gamma, 1.0)


def test_channels_add_their_log_probabilities(rng):
    x = rng.random((5, 6, 1)).round().astype("float32")
    psi = rng.uniform(0.1, 0.9, (4, 5, 6, 1)).astype("float32")
    once = np.asarray(EStep("bernoulli")(x, psi))
    twice = EStep("bernoulli")(np.repeat(x, 2, -1), np.repeat(psi, 2, -1))
    squared = once**2 / (once**2).sum(axis=0)
    np.testing.assert_allclose(twice, squared, atol=1e-5)


def test_refuses_what_does_not_fit(rng):
    x = rng.random((5, 6, 1)).astype("float32")
    psi = rng.random((4, 5, 6, 1)).astype("float32")
    e_step = EStep("bernoulli")
    with pytest.raises(ValueError, match=r"psi: expected .* received \(4, 6, 5, 1\)"):
        e_step(x, psi.swapaxes(1, 2))
    with pytest.raises(
        ValueError, match=r"pi: expected shape .* received \(3, 5, 6, 1\)"
    ):
        e_step(x, psi, psi[:3])
    with pytest.raises(ValueError, match=r"x: expected pixels in \[0, 1\], received"):
        e_step(x * 255, psi)
    with pytest.raises(
        ValueError, match='likelihood: expected "bernoulli", "gaussian"'
    ):
        EStep("poisson")
    with pytest.raises(ValueError, match="variance: expected a positive number"):
        likelihoods.Gaussian(variance=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_floor_shares_what_nobody_explains(channels):
    x = np.ones((1, 1, channels), "float32")
    psi = np.stack([np.full_like(x, 1e-3), np.full_like(x, 1e-6)])  # (K, H, W, C)
    e_step = EStep("bernoulli")
    assert e_step(x, psi)[0, 0, 0, 0] > 0.99  # the paper's rule: one takes it all
    shared = e_step(x, psi, floor=0.02)
    np.testing.assert_allclose(shared[:, 0, 0, 0], 0.5, atol=0.02)
    sure = e_step(x, np.stack([0.99 * x, 0.01 * x]), floor=0.02)
    assert sure[0, 0, 0, 0] > 0.95  # what one explains remains its own


def test_the_cell_refuses_a_floor_below_zero_and_unknown_evidence():
    parts = networks.static_shapes()
    with pytest.raises(ValueError, match="floor: expected at least 0, received -1"):
        RNNEMCell(**parts, floor=-1)
    with pytest.raises(ValueError, match="reads: expected error or pixels"):
        RNNEMCell(**parts, reads="x")
