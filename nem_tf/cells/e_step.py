"""The E-step: which component explains which pixel."""

import keras
from keras import ops

from nem_tf import axes, likelihoods, pixels

TINY = 1e-30  # for pixels at which no component has any weight


@keras.saving.register_keras_serializable("nem_tf")
class EStep(keras.layers.Layer):
    """Posterior probability that component k generated pixel i.

        gamma_ik = P(z_ik = 1 | x_i, psi_i) = pi_ik P(x_i | psi_ik) / sum_k (the same)

    This is Eq. 3 under the mixing weights pi of Eq. 1. Channels of a pixel belong
    together, so their log-probabilities add. (The original adds their probabilities,
    which is the same for the one channel of the paper's data only.)

    Args:
        likelihood: `"bernoulli"`, `"gaussian"`, or a `likelihoods.Likelihood`.
        differentiable: whether gradients flow through gamma. The paper's flying
            experiments stop them (Sec. 2.4), its static experiment does not.

    Call arguments:
        x: pixels, shape `(..., H, W, C)`, intensity in [0, 1].
        psi: predicted pixel parameters, shape `(..., K, H, W, C)`.
        pi: mixing weights, shape `(..., K, H, W, 1)`, summing to 1 over K; uniform,
            1/K, when not given.
        floor: added to every P(x_i | psi_ik), a probability (density), at least 0; see
            `EMCell`.

    Returns:
        gamma, float32, shape `(..., K, H, W, 1)`, dimensionless, summing to 1 over K.

    Raises:
        ValueError: if `psi` is not `x` with one component axis inserted, if `pi` does
            not match `psi`, or if a pixel is outside [0, 1] (where values can be seen:
            not while a graph is traced).
    """

    def __init__(self, likelihood, differentiable=False, **kwargs):
        # Always float32: under bfloat16 the posteriors of close components would tie.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.likelihood = likelihoods.get(likelihood)
        self.differentiable = differentiable
        self.built = True

    def call(self, x, psi, pi=None, floor=0.0):
        axes.check_components(psi, like=x)
        x = pixels.intensities("x", x, in_graph=False)
        x = ops.expand_dims(x, axes.COMPONENTS)  # (..., 1, H, W, C)
        psi = ops.cast(psi, "float32")
        p = self._prob(x, psi, floor)  # (..., K, H, W, 1)
        if pi is not None:
            axes.check_shape("pi", pi, (*psi.shape[:-1], 1))
            p *= ops.maximum(ops.cast(pi, "float32"), TINY)
        gamma = _shares(p)
        return gamma if self.differentiable else ops.stop_gradient(gamma)

    def _prob(self, x, psi, floor):
        """P(x_i | psi_ik) of a pixel, up to a factor that is the same for all k."""
        if psi.shape[-1] == 1:
            p = self.likelihood.prob(x, psi)
            return p + floor if floor else p
        log_p = self.likelihood.log_prob(x, psi)  # (..., K, H, W, C)
        log_p = ops.sum(log_p, axis=-1, keepdims=True)  # (..., K, H, W, 1)
        if floor:
            return ops.exp(log_p) + floor
        largest = ops.max(log_p, axis=axes.COMPONENTS, keepdims=True)
        return ops.exp(log_p - ops.stop_gradient(largest))  # no product is too small

    def compute_output_shape(self, x_shape, psi_shape, pi_shape=None, floor=0.0):
        return (*psi_shape[:-1], 1)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "likelihood": likelihoods.serialize(self.likelihood),
            "differentiable": self.differentiable,
        }


@ops.custom_gradient
def _shares(p):
    """p / sum_k p. The gradient is written out, in half the passes over memory."""
    total = ops.sum(p, axis=axes.COMPONENTS, keepdims=True)
    gamma = p / total

    def backward(d_gamma):
        mean = ops.sum(gamma * d_gamma, axis=axes.COMPONENTS, keepdims=True)
        return (d_gamma - mean) / total

    return gamma, backward
