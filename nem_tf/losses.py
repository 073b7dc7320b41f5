"""The training objective: predict your own pixels, and nothing elsewhere."""

import keras
from keras import ops

from nem_tf import axes, likelihoods

PIXELS = (-3, -2, -1)  # H, W, C
NOISE = 0.1  # of `log_likelihood`, beside a probability or a density


def intra_cluster(x, psi, gamma, likelihood):
    """-sum_ik gamma_ik log P(x_i | psi_ik): the first term of Eq. 5.

    Args:
        x: pixels `(..., H, W, C)` in [0, 1].
        psi: predicted parameters `(..., K, H, W, C)`.
        gamma: soft assignment `(..., K, H, W, 1)`.
        likelihood: a `likelihoods.Likelihood`.

    Returns:
        `(...)`, nats per frame, summed over K, H, W and C.
    """
    x = ops.expand_dims(x, axes.COMPONENTS)  # (..., 1, H, W, C)
    terms = gamma * likelihood.nll(x, psi)  # (..., K, H, W, C)
    return ops.sum(terms, axis=(axes.COMPONENTS, *PIXELS))


def inter_cluster(psi, gamma, likelihood):
    """sum_ik (1 - gamma_ik) KL(prior || P(. | psi_ik)): the second term of Eq. 5.

    The paper prints a minus sign in front of it; the original adds it, as its text says
    ("a second term which penalizes the KL divergence"). Arguments, shapes and units are
    those of `intra_cluster`.
    """
    terms = (1.0 - gamma) * likelihood.kl_from_prior(psi)  # (..., K, H, W, C)
    return ops.sum(terms, axis=(axes.COMPONENTS, *PIXELS))


def next_step_bound(x, psi, likelihood):
    """-log P(x_i | max_k psi_ik), summed over pixels: the measure of Figure 5.

    An upper bound on the prediction error, since it does not use gamma, which knows the
    next frame. Shapes as in `intra_cluster`; `(...)`, nats per frame.
    """
    strongest = ops.max(psi, axis=axes.COMPONENTS)  # (..., H, W, C)
    return ops.sum(likelihood.nll(x, strongest), axis=PIXELS)


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


@keras.saving.register_keras_serializable("nem_tf")
class NEMLoss(keras.losses.Loss):
    """Eq. 5 over a clip: intra-cluster plus weighted inter-cluster loss.

    Summed over T, K, H, W and C, averaged over B: nats per clip.

    Args:
        likelihood: `"bernoulli"`, `"gaussian"`, or a `likelihoods.Likelihood`.
        inter_weight: weight of the inter-cluster term, at least 0; the original has 0.2
            for flying MNIST and 1 elsewhere.
        steps: `"all"` sums the loss of every step, `"last"` takes the last one only, as
            the original does for static images.

    Call arguments:
        x: the frames to predict, x[1..T], shape `(B, T, H, W, C)`.
        outputs: what `NeuralEM` returned, a dict of `psi` `(B, T, K, H, W, C)` and
            `gamma` `(B, T, K, H, W, 1)`.

    Raises:
        ValueError: if an argument is none of the above.
    """

    def __init__(
        self, likelihood="bernoulli", inter_weight=1.0, steps="all", name="nem_loss"
    ):
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        if not inter_weight >= 0:
            raise ValueError(
                f"inter_weight: expected at least 0, received {inter_weight}"
            )
        if steps not in ("all", "last"):
            raise ValueError(f'steps: expected "all" or "last", received {steps!r}')
        self.likelihood = likelihoods.get(likelihood)
        self.inter_weight = float(inter_weight)
        self.steps = steps

    def terms(self, x, outputs):
        """Intra- and inter-cluster loss of each clip, unweighted: `(B,)` and `(B,)`."""
        psi = ops.cast(outputs["psi"], "float32")
        gamma = outputs["gamma"]
        if self.steps == "last":
            x, psi, gamma = x[:, -1:], psi[:, -1:], gamma[:, -1:]
        intra = intra_cluster(x, psi, gamma, self.likelihood)  # (B, T)
        inter = inter_cluster(psi, gamma, self.likelihood)  # (B, T)
        return ops.sum(intra, axis=axes.STEPS), ops.sum(inter, axis=axes.STEPS)

    def call(self, y_true, y_pred):
        intra, inter = self.terms(y_true, y_pred)
        return intra + self.inter_weight * inter  # (B,)

    def get_config(self):
        return {
            "name": self.name,
            "likelihood": likelihoods.serialize(self.likelihood),
            "inter_weight": self.inter_weight,
            "steps": self.steps,
        }
