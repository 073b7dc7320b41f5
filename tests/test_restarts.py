"""Several random starts of a clip, of which the likeliest is kept."""

import itertools

import numpy as np
import pytest

from nem_tf import NEMLoss, NeuralEM, RNNEMCell, inference, networks
from nem_tf.inference.starts import NOISE, several_starts
from nem_tf.likelihoods import Bernoulli, Gaussian
from nem_tf.random_start import random_start
from tests import tiny
from tests.tiny import C, H, K, W
from trainers.training import scoring

STARTS = 5


@pytest.fixture(scope="module", params=["random", "sides"])
def nem(request):
    parts = networks.narrow(units=4, features=8, size=(H, W))
    nem = NeuralEM(RNNEMCell(**parts, components=K, start=request.param))
    nem.compile("adam", loss=NEMLoss("bernoulli"))
    for weight in nem.trainable_variables:  # so that the start matters
        weight.assign(3.0 * weight)
    return nem


def likeliest(nem, clips, starts):
    predict = nem.predict_on_batch
    return inference.likeliest(predict, clips, starts, nem.cell.likelihood)


def random_pi(count, components=K):
    return np.asarray(random_start(np.arange(count), components, (H, W, C)))


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian()])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_likelihood_is_that_of_the_mixture(rng, likelihood, channels):
    x = rng.random((2, 4, 5, channels)).astype("float32")
    psi = rng.random((2, K, 4, 5, channels)).astype("float32")
    p = np.asarray(likelihood.prob(x[:, None], psi), "float64").prod(-1)  # (2, K, 4, 5)
    expected = np.log(p.mean(1) + NOISE).sum((1, 2))
    found = inference.log_likelihood(x, psi, likelihood)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian()])
def test_a_better_prediction_is_likelier_and_noise_does_not_decide(likelihood):
    x = np.zeros((1, 6, 6, 1), "float32")
    x[0, :3] = 1.0
    right, wrong, black = (np.clip(y, 1e-3, 1 - 1e-3) for y in (x, 1 - x, 0 * x))
    fits = [
        inference.log_likelihood(x, np.stack([psi, black], 1), likelihood)
        for psi in (right, wrong)
    ]
    assert fits[0] > fits[1]
    noisy = x.copy()
    noisy[0, 5, 5] = 1.0  # which all call black
    lost = fits[0] - inference.log_likelihood(
        noisy, np.stack([right, black], 1), likelihood
    )
    assert 1 < lost < 3  # nats; 6.9 and more without the share for noise


def test_the_given_start_is_the_first_and_the_others_differ():
    pi = random_pi(3)
    several = several_starts(pi, STARTS)
    assert [start.shape for start in several] == [pi.shape] * STARTS
    np.testing.assert_array_equal(several[0], pi)
    for start in several:
        np.testing.assert_allclose(start.sum(1), 1, atol=1e-6)
    every = np.stack(several)
    assert len({one.tobytes() for one in every.reshape(-1, *pi.shape[1:])}) == 15
    np.testing.assert_array_equal(np.stack(several_starts(pi, 3))[:2], every[:2])
    assert len(several_starts(pi, 1)) == 1


def test_the_further_starts_do_not_depend_on_rounding():
    pi = random_pi(40)
    rounded = several_starts(np.nextafter(pi, np.float32(1)), 3)
    for ours, theirs in zip(several_starts(pi, 3)[1:], rounded[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_each_clip_gets_its_likeliest_start(nem, rng):
    batch = tiny.batch(rng)
    found = likeliest(nem, batch, STARTS)
    outputs = [
        {**nem.predict_on_batch({**batch, "pi": pi}), "pi": pi}
        for pi in several_starts(batch["pi"], STARTS)
    ]
    fits = np.zeros((STARTS, len(batch["pi"])))
    for start, output in enumerate(outputs):
        for t in range(1, batch["noisy"].shape[1]):
            fits[start] += inference.log_likelihood(
                batch["noisy"][:, t], output["psi"][:, t - 1], nem.cell.likelihood
            )
    best = fits.argmax(0)
    assert best.any() and np.ptp(fits, 0).min() > 1e-3
    for name in ("psi", "gamma", "pi"):
        for clip, start in enumerate(best):
            np.testing.assert_array_equal(found[name][clip], outputs[start][name][clip])


def test_a_start_that_went_astray_is_not_the_likeliest(nem, rng, monkeypatch):
    batch = tiny.batch(rng)
    predict, calls = nem.predict_on_batch, []

    def astray(clips):
        outputs = predict(clips)
        calls.append(None)
        if len(calls) == 2:
            outputs["psi"] = np.full_like(outputs["psi"], np.nan)
        return outputs

    monkeypatch.setattr(nem, "predict_on_batch", astray)
    found = likeliest(nem, batch, 3)
    assert len(calls) == 3 and np.isfinite(found["psi"]).all()


@pytest.mark.parametrize("components", [K, 2])
def test_segment_takes_the_likeliest_start(nem, rng, components):
    frames = (rng.random((3, 6, H, W, C)) < 0.3).astype("float32")
    clean = np.concatenate([frames, frames[:, -1:]], 1)
    pi = np.asarray(random_start(5 + np.arange(3), components, (H, W, C)))
    expected = likeliest(nem, {"clean": clean, "noisy": frames, "pi": pi}, STARTS)
    found = nem.segment(frames, components, seed=5, starts=STARTS)
    np.testing.assert_allclose(found.psi, expected["psi"], atol=1e-6)
    np.testing.assert_allclose(found.gamma[:, 1:], expected["gamma"][:, :-1], atol=1e-6)
    first = np.asarray(nem.cell.first_pi(expected["pi"]))
    np.testing.assert_allclose(found.gamma[:, 0], first, atol=1e-6)
    one = frames[0, :1]  # nothing was predicted: the first start
    np.testing.assert_array_equal(nem.segment(one, starts=3).psi, nem.segment(one).psi)


def test_scores_are_those_of_the_likeliest_start(nem, rng):
    import tensorflow as tf

    batch = tiny.batch(rng)
    clips = tf.data.Dataset.from_tensors(batch)
    one, several = (scoring.collect(nem, clips, starts=n) for n in (1, STARTS))
    best = nem.loss.per_clip(batch["clean"][:, 1:], likeliest(nem, batch, STARTS))
    np.testing.assert_allclose(several["intra"], best["intra"], rtol=1e-5)
    assert np.abs(several["intra"] - one["intra"]).max() > 1e-3


@pytest.mark.parametrize("starts", [0, -1, 1.5, float("nan"), None, "4", True])
def test_refuses_less_than_one_start(nem, starts):
    with pytest.raises(ValueError, match="starts: expected a whole number of at least"):
        nem.segment(np.zeros((2, H, W, C)), starts=starts)
    with pytest.raises(ValueError, match="starts: expected a whole number of at least"):
        nem.stream(starts=starts)


def numberings(gamma):
    """gamma (K, H, W, 1) with its components in each order."""
    return np.stack([gamma[list(one)] for one in itertools.permutations(range(K))])


@pytest.mark.parametrize("seed", [0, 5])
def test_a_stream_ends_with_the_start_that_the_clip_takes(nem, rng, seed):
    frames = (rng.random((6, H, W, C)) < 0.3).astype("float32")
    whole = nem.segment(frames, seed=seed, starts=STARTS)
    pi = np.asarray(random_start([seed], K, (H, W, C)))
    clean = np.concatenate([frames, frames[-1:]])
    batch = {"clean": clean[None], "noisy": frames[None]}
    psi = [
        nem.predict_on_batch({**batch, "pi": start})["psi"][0]
        for start in several_starts(pi, STARTS)
    ]
    stream, likelihood = nem.stream(seed=seed, starts=STARTS), nem.cell.likelihood
    for _ in range(2):
        sums, taken = np.zeros(STARTS), []
        for t, frame in enumerate(frames):
            found = stream(frame)
            for n in range(STARTS if t else 0):
                sums[n] += inference.log_likelihood(frame, psi[n][t - 1], likelihood)
            taken.append(stream.start)
            assert stream.start == sums.argmax()
            shown = numberings(found.psi) - psi[stream.start][t]
            assert np.abs(shown).max((1, 2, 3, 4)).min() < 2e-5
            np.testing.assert_array_equal(found.segments, found.gamma[..., 0].argmax(0))
        last = numberings(found.gamma) - whole.gamma[-1]
        which = np.abs(last).max((1, 2, 3, 4)).argmin()
        np.testing.assert_allclose(last[which], 0, atol=2e-5)
        psi_too = numberings(found.psi)[which]
        np.testing.assert_allclose(psi_too, whole.psi[-1], atol=2e-5)
        stream.reset()
        assert stream.start == 0
    assert len(set(taken)) > 1


def test_components_keep_their_numbers_when_the_start_changes(rng):
    gamma = rng.dirichlet(np.ones(K), (3, H, W)).transpose(0, 3, 1, 2)[..., None]
    likeliest = inference.LikeliestSoFar(3, K)
    likeliest([1.0, 0.0, 0.5], gamma)
    assert likeliest.start == 0 and likeliest.order.tolist() == [0, 1, 2, 3]
    likeliest([0.0, 3.0, 0.0], gamma)  # sums 1, 3, 0.5
    assert likeliest.start == 1
    overlaps = (numberings(gamma[1]) * gamma[0]).sum((1, 2, 3, 4))
    shown = gamma[1][likeliest.order]
    assert (shown * gamma[0]).sum() == pytest.approx(overlaps.max())
    assert overlaps.max() > overlaps[0] + 0.1 and sorted(likeliest.order) == [*range(K)]
    moved = np.stack([gamma[0], gamma[1], gamma[1][[2, 0, 3, 1]]])
    likeliest([0.0, 0.0, 9.0], moved)
    np.testing.assert_array_equal(moved[2][likeliest.order], shown)  # not start 0's
    # Only these pixels count: there the components of start 0 are those of 2, turned.
    left = np.arange(W) < 3
    moved[0] = moved[2]
    moved[0, :, :, left] = moved[2][[1, 2, 3, 0]][:, :, left].transpose(2, 0, 1, 3)
    likeliest([20.0, 0.0, 0.0], moved, np.broadcast_to(left, (H, W)))
    again = moved[0][likeliest.order][:, :, left]
    np.testing.assert_array_equal(again, shown[:, :, left])


def test_a_start_that_went_astray_is_left_by_a_stream(rng):
    gamma = rng.random((3, K, H, W, 1))
    gamma[0] = np.nan
    likeliest = inference.LikeliestSoFar(3, K)
    for fits in ([np.nan, -9.0, -5.0], [0.0, 0.0, 0.0]):
        likeliest(fits, gamma)
        assert likeliest.start == 2 and sorted(likeliest.order) == [*range(K)]
    likeliest([0.0, np.nan, np.nan], gamma)
    assert likeliest.start == 0  # nothing else is left either
