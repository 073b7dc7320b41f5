"""Several random starts of a clip, of which the likeliest is kept."""

import numpy as np
import pytest

from nem_tf import NEMLoss, NeuralEM, RNNEMCell, data, losses, networks
from nem_tf.likelihoods import Bernoulli, Gaussian
from nem_tf.random_start import random_start
from nem_tf.restarts import likeliest, several_starts
from trainers import scoring

H, W, C, K = 8, 8, 1, 3


@pytest.fixture(scope="module")
def nem():
    parts = networks.narrow(units=4, features=8, size=(H, W))
    nem = NeuralEM(RNNEMCell(**parts, components=K))
    nem.compile("adam", loss=NEMLoss("bernoulli"))
    for weight in nem.trainable_variables:  # so that the start matters
        weight.assign(3.0 * weight)
    return nem


def clips(rng, count=4, steps=5):
    clean = rng.random((count, steps + 1, H, W, C)).astype("float32")
    noisy = rng.random((count, steps, H, W, C)).astype("float32")
    pi = np.asarray(random_start(np.arange(count), K, (H, W, C)))
    return {"clean": clean, "noisy": noisy, "pi": pi}


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian()])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_likelihood_is_that_of_the_mixture(rng, likelihood, channels):
    x = rng.random((2, 4, 5, channels)).astype("float32")
    psi = rng.random((2, K, 4, 5, channels)).astype("float32")
    p = np.asarray(likelihood.prob(x[:, None], psi), "float64").prod(-1)  # (2, K, 4, 5)
    expected = np.log(p.mean(1) + losses.NOISE).sum((1, 2))
    found = losses.log_likelihood(x, psi, likelihood)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_better_prediction_is_likelier_and_noise_does_not_decide():
    x = np.zeros((1, 6, 6, 1), "float32")
    x[0, :3] = 1.0
    right, wrong = np.clip(x, 0.1, 0.9), np.clip(1 - x, 0.1, 0.9)
    both = np.stack([right, np.full_like(x, 0.1)], 1)
    neither = np.stack([wrong, wrong], 1)
    noisy = x.copy()
    noisy[0, 0, 0] = 0.0
    for likelihood in (Bernoulli(), Gaussian()):
        fits = [
            losses.log_likelihood(noisy, psi, likelihood) for psi in (both, neither)
        ]
        assert fits[0] > fits[1]
        lost = losses.log_likelihood(x, both, likelihood) - fits[0]
        assert lost < 4  # nats, for a pixel that nobody predicts


def test_the_given_start_is_the_first_and_the_others_differ(rng):
    pi = clips(rng)["pi"]
    several = several_starts(pi, 3)
    assert several.shape == (12, K, H, W, 1) and several.dtype == np.float32
    np.testing.assert_array_equal(several[::3], pi)
    np.testing.assert_allclose(several.sum(1), 1, atol=1e-6)
    assert len({start.tobytes() for start in several}) == 12
    np.testing.assert_array_equal(several, several_starts(pi, 3))
    np.testing.assert_array_equal(several_starts(pi, 2)[1::2], several[1::3])
    np.testing.assert_array_equal(several_starts(pi, 1), pi)


def test_each_clip_gets_its_likeliest_start(nem, rng):
    batch = clips(rng)
    found = likeliest(nem, batch, 4)
    chosen = set()
    for clip in range(4):
        one = {name: values[clip : clip + 1] for name, values in batch.items()}
        fits, outputs = [], []
        for start in several_starts(one["pi"], 4):
            output = nem.predict_on_batch({**one, "pi": start[None]})
            fit = sum(
                losses.log_likelihood(
                    one["noisy"][:, t + 1], output["psi"][:, t], nem.cell.likelihood
                )[0]
                for t in range(4)
            )
            fits.append(float(fit))
            outputs.append({**output, "pi": start[None]})
        best = int(np.argmax(fits))
        chosen.add(best)
        for name in ("psi", "gamma", "pi"):
            np.testing.assert_allclose(
                found[name][clip], outputs[best][name][0], atol=1e-5
            )
    assert chosen != {0}


def test_segment_takes_the_likeliest_start(nem, rng):
    frames = rng.random((2, 6, H, W, C)).astype("float32")
    pi = np.asarray(random_start(5 + np.arange(2), K, (H, W, C)))
    clean = np.concatenate([frames, frames[:, -1:]], 1)
    expected = likeliest(nem, {"clean": clean, "noisy": frames, "pi": pi}, 3)
    found = nem.segment(frames, seed=5, starts=3)
    np.testing.assert_allclose(found.psi, expected["psi"], atol=1e-6)
    np.testing.assert_allclose(found.gamma[:, 1:], expected["gamma"][:, :-1], atol=1e-6)
    np.testing.assert_allclose(found.gamma[:, 0], expected["pi"], atol=1e-6)
    first = nem.segment(frames, seed=5)
    one = nem.segment(frames, seed=5, starts=1)
    np.testing.assert_array_equal(first.gamma, one.gamma)
    still = nem.segment(frames[:, :1], starts=3)  # nothing was predicted: the first
    np.testing.assert_array_equal(still.gamma, nem.segment(frames[:, :1]).gamma)


def test_scores_are_those_of_the_likeliest_start(nem):
    made = data.flying_shapes("test", size=(28, 28), steps=3, clips=8, batch_size=4)
    big = NeuralEM(RNNEMCell(**networks.narrow(units=4, features=8), components=3))
    big.compile("adam", loss=NEMLoss("bernoulli"))
    for weight in big.trainable_variables:
        weight.assign(3.0 * weight)
    one, several = (scoring.collect(big, made, starts=starts) for starts in (1, 5))
    batch = next(iter(made.as_numpy_iterator()))
    best = big.loss.terms(batch["clean"][:, 1:], likeliest(big, batch, 5))
    np.testing.assert_allclose(several["intra"][:4], best[0], rtol=1e-5)
    assert np.abs(several["intra"] - one["intra"]).max() > 0.1


@pytest.mark.parametrize("starts", [0, -1, 1.5])
def test_refuses_less_than_one_start(nem, starts):
    with pytest.raises(ValueError, match="starts: expected a whole number of at least"):
        nem.segment(np.zeros((2, H, W, C)), starts=starts)
