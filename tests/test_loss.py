import numpy as np
import pytest

from nem_tf import NEMLoss, likelihoods, losses, scores
from tests import reference


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_terms_equal_the_paper_written_as_loops(rng, likelihood):
    x = rng.random((2, 3, 5, 6, 1)).round().astype("float32")
    psi = rng.uniform(0.1, 0.9, (2, 3, 4, 5, 6, 1)).astype("float32")
    gamma = rng.random((2, 3, 4, 5, 6, 1)).astype("float32")
    found = NEMLoss(likelihood).per_clip(x, {"psi": psi, "gamma": gamma})
    intra, inter = found["intra"], found["inter"]
    for clip in range(2):
        steps = [
            reference.loss(likelihood, x[clip, t], psi[clip, t], gamma[clip, t])
            for t in range(3)
        ]
        expected = np.sum(steps, axis=0)
        np.testing.assert_allclose([intra[clip], inter[clip]], expected, rtol=1e-5)


def test_the_mean_runs_over_clips_and_the_weight_over_the_second_term(rng):
    x = rng.random((2, 3, 5, 6, 1)).round().astype("float32")
    outputs = {
        "psi": rng.uniform(0.1, 0.9, (2, 3, 4, 5, 6, 1)).astype("float32"),
        "gamma": rng.random((2, 3, 4, 5, 6, 1)).astype("float32"),
    }
    loss = NEMLoss("bernoulli", inter_weight=0.2)
    found = {name: np.asarray(term) for name, term in loss.per_clip(x, outputs).items()}
    np.testing.assert_allclose(found["loss"], found["intra"] + 0.2 * found["inter"])
    expected = np.mean(found["intra"] + 0.2 * found["inter"])
    np.testing.assert_allclose(loss(x, outputs), expected, rtol=1e-6)
    last = {name: value[:, -1:] for name, value in outputs.items()}
    np.testing.assert_allclose(
        NEMLoss("bernoulli", steps="last")(x, outputs),
        NEMLoss("bernoulli")(x[:, -1:], last),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match="psi: expected the shape of x"):
        loss(x, last)


def test_bound_reads_the_strongest_component():
    psi = np.full((1, 2, 3, 3, 1), 0.1, "float32")
    psi[0, 1, 1, 1] = 0.8
    x = np.zeros((1, 3, 3, 1), "float32")
    x[0, 1, 1] = 1.0
    bound = scores.next_step_bound(x, psi, likelihoods.get("bernoulli"))
    np.testing.assert_allclose(bound, [-8 * np.log(0.9) - np.log(0.8)], rtol=1e-5)


def test_error_is_of_the_mixture(rng):
    x, psi = rng.random((2, 5, 6, 3)), rng.random((2, 4, 5, 6, 3))
    mixing = rng.random((2, 4, 5, 6, 1)) + 0.1
    variance = 0.02
    expected = np.zeros(2)
    for b, i, j in np.ndindex(2, 5, 6):
        weights = mixing[b, :, i, j, 0] / mixing[b, :, i, j].sum()
        away = np.square(x[b, i, j] - psi[b, :, i, j]).sum(axis=-1)
        expected[b] -= np.log((weights * np.exp(-away / (2 * variance))).sum())
    arrays = [a.astype("float32") for a in (x, psi, mixing)]
    likelihood = likelihoods.Gaussian(variance)
    error = scores.next_step_error(*arrays[:2], likelihood, arrays[2])
    np.testing.assert_allclose(error, expected, rtol=1e-5)
    even = scores.next_step_error(*arrays[:2], likelihood)
    same = scores.next_step_error(*arrays[:2], likelihood, 0 * arrays[2] + 7)
    np.testing.assert_allclose(even, same, rtol=1e-6)
    whole = np.repeat(arrays[0][:, None], 4, 1)  # foretold by all
    found = scores.next_step_error(arrays[0], whole, likelihood, arrays[2])
    np.testing.assert_allclose(found, 0.0, atol=1e-4)


def test_error_of_a_dark_object_before_a_bright_background():
    x = np.full((1, 3, 3, 1), 0.9, "float32")
    psi = np.repeat(x[:, None], 2, 1)
    x[0, 1, 1] = psi[0, 1, 1, 1] = 0.1
    gaussian = likelihoods.Gaussian(0.02)
    half = scores.next_step_error(x, psi, gaussian)
    np.testing.assert_allclose(half, np.log(2.0), rtol=1e-4)
    assert scores.next_step_bound(x, psi, gaussian)[0] > 0.3  # sees the bright one


def test_refuses_what_is_no_setting():
    with pytest.raises(ValueError, match="inter_weight: expected at least 0"):
        NEMLoss(inter_weight=-1)
    with pytest.raises(ValueError, match='steps: expected "all" or "last"'):
        NEMLoss(steps="first")


def test_a_loss_of_ones_own_keeps_what_it_has():
    class Doubled(NEMLoss):
        factor = 1.0

        @property
        def weights(self):
            return {name: self.factor * w for name, w in super().weights.items()}

    loss = Doubled(inter_weight=0.5)
    loss.factor = 2.0
    bound = loss.of_cell(likelihoods.get("gaussian"))
    assert bound.weights == {"intra": 2.0, "inter": 1.0}
    assert bound.likelihood.name == "gaussian" and loss.likelihood is None
    assert bound.of_cell(likelihoods.get("gaussian")) is bound


def test_losses_have_names():
    assert losses.get("eq5") is NEMLoss
    with pytest.raises(ValueError, match="loss: expected eq5, received 'mse'"):
        losses.get("mse")
