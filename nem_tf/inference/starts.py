"""Several random starts of a clip, and the likeliest of them.

EM finds a local optimum; which one depends on where it begins. As for any mixture, the
remedy is to begin several times and to keep what explains the data best. That is told
from the frames alone: no label is looked at.
"""

import numpy as np
from keras import ops
from scipy.optimize import linear_sum_assignment

from nem_tf import axes, draws
from nem_tf.random_start import random_start

NOISE = 0.1  # of `log_likelihood`, beside a probability or a density


def check_starts(starts):
    """`starts`, if it is a whole number of at least 1.

    Raises:
        ValueError: if it is not.
    """
    whole = isinstance(starts, int | np.integer) and not isinstance(starts, bool)
    if not whole or starts < 1:
        raise ValueError(
            f"starts: expected a whole number of at least 1, received {starts!r}"
        )
    return int(starts)


def several_starts(pi, starts):
    """The random start of each clip, and further ones that follow from it.

    Args:
        pi: shape `(B, K, H, W, 1)`.
        starts: how many each clip gets.

    Returns:
        list of NumPy arrays `(B, K, H, W, 1)`, the given one first.
    """
    pi = np.asarray(pi, "float32")
    if starts == 1:
        return [pi]
    components, height, width = pi.shape[1:4]
    # A sign hardly ever depends on how pi was rounded.
    signs = (pi[:, 0] * components > 1.0).astype("float32")
    seeds = draws.spread(draws.fingerprint(signs), starts - 1)  # (B (starts - 1),)
    more = random_start(seeds, components, (height, width, 1))
    more = ops.convert_to_numpy(more).reshape(-1, starts - 1, *pi.shape[1:])
    return [pi, *more.swapaxes(0, 1)]


def several_seeds(seed, starts):
    """A seed and further ones that follow from it: int32 `(starts,)`, 0 to 2**31 - 1.

    For who can give seeds alone, as to a served model; they are not the starts of
    `several_starts`, but for the first.
    """
    more = ops.convert_to_numpy(draws.spread(np.array([seed], "uint32"), starts - 1))
    return np.array([seed, *(more >> 1)], "int32")


def log_likelihood(x, psi, likelihood):
    """log(sum_k P(x_i | psi_ik) / K + NOISE), summed over pixels: how well psi fits x.

    The likelihood of the mixture (Eq. 1 with a uniform pi), and a share for noise: else
    a few pixels that nobody can predict would count for more than all others. With that
    share it is no longer normalised, so it compares predictions of the same frames.

    Args:
        x: frames, shape `(..., H, W, C)`.
        psi: what the components predicted of them, shape `(..., K, H, W, C)`.
        likelihood: a `likelihoods.Likelihood`.

    Returns:
        float32 `(...)`, nats per frame.
    """
    x = ops.expand_dims(ops.cast(x, "float32"), axes.COMPONENTS)
    log_p = likelihood.log_prob(x, ops.cast(psi, "float32"))  # (..., K, H, W, C)
    p = ops.exp(ops.sum(log_p, axis=-1))  # (..., K, H, W)
    return ops.sum(ops.log(ops.mean(p, axis=-3) + NOISE), axis=(-2, -1))


def fit(noisy, psi, likelihood):
    """How well psi predicted the frames after the first: what starts are compared by.

    Args:
        noisy: what the network saw, shape `(..., T, H, W, C)`.
        psi: after each of them, shape `(..., T, K, H, W, C)`.
        likelihood: a `likelihoods.Likelihood`.

    Returns:
        NumPy array `(...)`, the sum of `log_likelihood(noisy[t], psi[t-1])`,
        nats; -inf where it is no number.
    """
    seen, predicted = noisy[..., 1:, :, :, :], psi[..., :-1, :, :, :, :]
    fits = ops.sum(log_likelihood(seen, predicted, likelihood), -1)
    return np.nan_to_num(ops.convert_to_numpy(fits), nan=-np.inf)


def largest(sums):
    """The place of the largest of some sums of `log_likelihood`; NaN is none."""
    return int(np.where(np.isnan(sums), -np.inf, sums).argmax())


def likeliest(predict, clips, starts, likelihood):
    """Group clips from several random starts each, and keep the likeliest.

    What counts is how well a start's components together predicted the frames that the
    network saw, see `fit`. It takes a whole clip; `LikeliestSoFar` is for a stream.

    Args:
        predict: function from clips to a dict of arrays, `psi` (B, T, K, H, W, C) among
            them: `NeuralEM.predict_on_batch`, or an exported model's.
        clips: dict of NumPy arrays as `predict` takes them, with `noisy` and `pi`.
        starts: random starts per clip, one after another, at least 1.
        likelihood: the model's `likelihoods.Likelihood`.

    Returns:
        what `predict` returned, and the `pi` that it began with, each of a clip's
        likeliest start.

    Raises:
        ValueError: if `starts` is below 1, or the clips do not fit the model.
    """
    best, most = {}, None
    for pi in several_starts(clips["pi"], check_starts(starts)):
        outputs = {**predict({**clips, "pi": pi}), "pi": pi}
        if starts == 1:
            return outputs
        fits = fit(clips["noisy"], outputs["psi"], likelihood)  # (B,)
        if most is None:
            best = {name: np.array(values) for name, values in outputs.items()}
            most = fits
            continue
        better = fits > most
        most = np.where(better, fits, most)
        for name, values in outputs.items():
            best[name][better] = np.asarray(values)[better]
    return best


class LikeliestSoFar:
    """The likeliest start of a video on its way, whose components keep their numbers.

    After the last frame it is the one that `likeliest` takes. Starts number their
    components differently. So when another start becomes the likeliest, its components
    j get the numbers k of the start before so that both overlap most in this frame:
    that maximises the sum of sum_i gamma_ik gamma'_ij over the pairs (k, j).

    Args:
        starts: how many.
        components: K.

    Call arguments:
        fits: `(starts,)`, nats, the `log_likelihood` of what each start predicted of a
            frame; what all starts have alike, as before the first frame, is no matter.
        gamma: of this frame, `(starts, K, H, W, 1)`.
        where: boolean `(H, W)`, the pixels that count in the overlap; None is all.

    Attributes:
        start: the likeliest, 0 to starts - 1; of equals the first.
        order: int `(K,)`; component k is its `order[k]`.
    """

    def __init__(self, starts, components):
        self.start = 0
        self.order = np.arange(components)
        self._sums = np.zeros(starts)

    def __call__(self, fits, gamma, where=None):
        self._sums += fits
        best = largest(self._sums)
        if best == self.start:
            return
        gamma = np.nan_to_num(np.asarray(gamma, "float32")[..., 0])
        where = np.ones(gamma.shape[-2:], bool) if where is None else where
        before, after = gamma[self.start][self.order], gamma[best]
        overlap = before[:, where] @ after[:, where].T  # (K, K)
        _, self.order = linear_sum_assignment(overlap, maximize=True)
        self.start = best
