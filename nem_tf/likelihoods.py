"""Pixel distributions P(x_i | psi_ik): what a prediction says about a pixel."""

import math

import keras
from keras import ops

__all__ = [
    "Bernoulli",
    "FLOOR",
    "LIKELIHOODS",
    "Gaussian",
    "Likelihood",
    "get",
    "serialize",
]

# The original adds this to every P(x | psi) before normalising, so that a pixel that no
# component explains is shared equally instead of dividing 0 by 0.
FLOOR = 1e-6


class Likelihood:
    """A distribution of one pixel channel, chosen once by `get`.

    Methods take `x` and `psi` of any shapes that broadcast and work elementwise.

    Attributes:
        name: what errors and documents call it; its key in `LIKELIHOODS`.
        binary: whether it is of pixels that are 0 or 1.
        black: what `readout` makes (nearly) black of; what networks draw before
            training.
    """

    name: str
    binary = False
    black = 0.0

    def prob(self, x, psi):
        """P(x | psi) + 1e-6 of the E-step (Eq. 3), above 0."""
        raise NotImplementedError

    def log_prob(self, x, psi):
        """log(P(x | psi) + 1e-6), in nats."""
        return ops.log(self.prob(x, psi))

    def fit(self, x, psi):
        """P(x | psi) / P(x | x), over all channels of a pixel: (..., C) -> (..., 1)."""
        return ops.exp(self.log_fit(x, psi))

    def log_fit(self, x, psi):
        """The logarithm of `fit`, in nats, which does not underflow."""
        log_fit = self.log_prob(x, psi) - self.log_prob(x, x)
        return ops.sum(log_fit, axis=-1, keepdims=True)

    def nll(self, x, psi):
        """-log P(x | psi) of the intra-cluster loss (Eq. 5), nats, up to constants."""
        raise NotImplementedError

    def kl_from_prior(self, psi, prior=None):
        """KL(prior || P(. | psi)) of the inter-cluster loss (Eq. 5), in nats.

        The prior is what a component should predict where it sees nothing. The paper
        prints D_KL[P(x) || P(x | psi, z)] with "the pixelwise prior of the data" P(x).

        Args:
            psi: `(..., K, H, W, C)`.
            prior: its parameter at each pixel, of a shape that broadcasts; None is the
                paper's, black.
        """
        raise NotImplementedError

    def readout(self, logits):
        """Map the decoder's output to psi."""
        raise NotImplementedError

    def logits(self, psi):
        """Undo `readout`."""
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("nem_tf")
class Bernoulli(Likelihood):
    """Binary pixels: psi is the probability of a pixel to be on. The prior is 0."""

    name = "bernoulli"
    binary = True
    black = -3.0

    def prob(self, x, psi):
        # x psi + (1 - x) (1 - psi), in half the passes over psi.
        return (1.0 - x) + (2.0 * x - 1.0) * psi + FLOOR

    def nll(self, x, psi):
        return _cross_entropy(psi, ops.stop_gradient(x))

    def kl_from_prior(self, psi, prior=None):
        if prior is None:
            return _minus_log(1.0 - psi)
        entropy = _cross_entropy(prior, prior)
        return _cross_entropy(psi, ops.stop_gradient(prior)) - entropy

    def readout(self, logits):
        return ops.sigmoid(logits)

    def logits(self, psi):
        psi = ops.clip(psi, 0.01, 0.99)
        return ops.log(psi / (1.0 - psi))


@keras.saving.register_keras_serializable("nem_tf")
class Gaussian(Likelihood):
    """Grey pixels: psi is the mean of a Gaussian. The prior is the mean 0.

    The paper says sigma^2 = 0.25. The program behind its numbers took sigma = 0.25 in
    the E-step and sigma = 1 in the loss, and so does this class.

    Args:
        variance: sigma^2 of the E-step, in squared intensity; 0.0625 as the original.

    Raises:
        ValueError: if `variance` is not positive.
    """

    name = "gaussian"

    def __init__(self, variance=0.0625):
        if not variance > 0:
            raise ValueError(
                f"variance: expected a positive number, received {variance}"
            )
        self.variance = float(variance)

    def prob(self, x, psi):
        density = 1.0 / math.sqrt(2.0 * math.pi * self.variance)
        exponent = -ops.square(x - psi) / (2.0 * self.variance)
        return density * ops.exp(exponent) + FLOOR

    def nll(self, x, psi):
        return ops.square(x - psi) / 2.0

    def log_fit(self, x, psi):
        distance = ops.sum(ops.square(x - psi), axis=-1, keepdims=True)
        return -distance / (2.0 * self.variance)

    def kl_from_prior(self, psi, prior=None):
        return ops.square(psi if prior is None else psi - prior) / 2.0

    def readout(self, logits):
        return logits

    def logits(self, psi):
        return psi

    def get_config(self):
        return {"variance": self.variance}


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
}


def get(identifier):
    """The likelihood that a name, a serialized dict or an object stands for.

    Args:
        identifier: `"bernoulli"`, `"gaussian"`, a dict that `serialize` made, or a
            `Likelihood`.

    Raises:
        ValueError: if it is none of these.
    """
    if isinstance(identifier, Likelihood):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in LIKELIHOODS:
        return LIKELIHOODS[identifier]()
    choices = ", ".join(f'"{name}"' for name in LIKELIHOODS)
    raise ValueError(
        f"likelihood: expected {choices} or a Likelihood, received {identifier!r}"
    )


def serialize(likelihood):
    """The dict from which `get` makes the same likelihood."""
    return keras.saving.serialize_keras_object(likelihood)


# Gradients are written out: what a graph derives from a clipped logarithm takes about
# three times as many passes over memory.


def _cross_entropy(psi, x):
    """-x log psi - (1 - x) log(1 - psi), with psi clipped as the original clips it."""

    @ops.custom_gradient
    def cross_entropy(psi):
        p = ops.clip(psi, FLOOR, 1.0 - FLOOR)

        def backward(dy):
            slope = dy * ((p - x) / (p * (1.0 - p)))
            return ops.where(ops.equal(p, psi), slope, 0.0)

        return -x * ops.log(p) - (1.0 - x) * ops.log(1.0 - p), backward

    return cross_entropy(psi)


@ops.custom_gradient
def _minus_log(p):
    """-log p of a probability, clipped from below."""
    clipped = ops.clip(p, FLOOR, 1.0)

    def backward(dy):
        return ops.where(ops.equal(clipped, p), -dy / clipped, 0.0)

    return -ops.log(clipped), backward
