"""The training objective: predict your own pixels, and nothing elsewhere."""

import keras
from keras import ops

from nem_tf import axes, likelihoods

__all__ = [
    "LOSSES",
    "NEMLoss",
    "get",
    "inter_cluster",
    "intra_cluster",
]

EVERY = (axes.COMPONENTS, *axes.PIXELS)  # what a term is summed over, of a frame


def intra_cluster(x, psi, gamma, likelihood):
    """-sum_ik gamma_ik log P(x_i | psi_ik): the first term of Eq. 5, or -Q of Eq. 2.

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
    return ops.sum(terms, axis=EVERY)


def inter_cluster(psi, gamma, likelihood, prior=None):
    """sum_ik (1 - gamma_ik) KL(prior || P(. | psi_ik)): the second term of Eq. 5.

    The paper prints a minus sign in front of it; the original adds it, as its text says
    ("a second term which penalizes the KL divergence"). Arguments, shapes and units are
    those of `intra_cluster`; `prior` is what to predict elsewhere, `(..., H, W, C)`,
    black if None.
    """
    if prior is None:
        divergence = likelihood.kl_from_prior(psi)
    else:  # (..., 1, H, W, C)
        prior = ops.expand_dims(prior, axes.COMPONENTS)
        divergence = likelihood.kl_from_prior(psi, prior)
    terms = (1.0 - gamma) * divergence  # (..., K, H, W, C)
    return ops.sum(terms, axis=EVERY)


@keras.saving.register_keras_serializable("nem_tf")
class NEMLoss(keras.losses.Loss):
    """Eq. 5 over a clip: intra-cluster plus weighted inter-cluster loss.

    Summed over T, K, H, W and C, averaged over B: nats per clip. A subclass may have
    other terms: it adds them to `terms` and `weights`, and they are trained, reported
    by `fit` and `evaluate`, and scored (docs/extending.md).

    Args:
        likelihood: `"bernoulli"`, `"gaussian"`, or a `likelihoods.Likelihood`; None is
            that of the cell of the model which is compiled with this loss.
        inter_weight: weight of the inter-cluster term, at least 0; the original has 0.2
            for flying MNIST and 1 elsewhere.
        steps: `"all"` sums the loss of every step, `"last"` takes the last one only, as
            the original does for static images.

    Call arguments:
        x: the frames to predict, x[1..T], shape `(B, T, H, W, C)`.
        outputs: what `NeuralEM` returned, a dict of `psi` `(B, T, K, H, W, C)` and
            `gamma` `(B, T, K, H, W, 1)`, and `background` `(B, H, W, C)` if it has one.

    Raises:
        ValueError: if an argument is none of the above, if psi is not of the frames x,
            or if the loss is called before it has a likelihood.
    """

    def __init__(self, likelihood=None, inter_weight=1.0, steps="all", name="nem_loss"):
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        if not inter_weight >= 0:
            raise ValueError(
                f"inter_weight: expected at least 0, received {inter_weight}"
            )
        if steps not in ("all", "last"):
            raise ValueError(f'steps: expected "all" or "last", received {steps!r}')
        self.likelihood = None if likelihood is None else likelihoods.get(likelihood)
        self.inter_weight = float(inter_weight)
        self.steps = steps

    @property
    def weights(self):
        """What each of the `terms` counts, a dict of numbers; its keys name them."""
        return {"intra": 1.0, "inter": self.inter_weight}

    def terms(self, x, psi, gamma, prior=None):
        """The terms of each frame, unweighted.

        Args:
            x: shape `(B, T, H, W, C)`.
            psi: float32, shape `(B, T, K, H, W, C)`.
            gamma: shape `(B, T, K, H, W, 1)`.
            prior: the background, shape `(B, 1, H, W, C)`; None is black.

        Returns:
            dict of the keys of `weights`, each `(B, T)`, nats.
        """
        return {
            "intra": intra_cluster(x, psi, gamma, self.likelihood),
            "inter": inter_cluster(psi, gamma, self.likelihood, prior),
        }

    @property
    def only_last(self):
        """Whether the last step alone counts; a model in training makes no others."""
        return self.steps == "last"

    def at_steps(self, clips):
        """Of arrays `(B, T, ...)` the steps that the loss is taken at."""
        return clips[:, -1:] if self.only_last else clips

    def per_clip(self, x, outputs):
        """The terms of each clip, unweighted, and `loss`, their weighted sum.

        Args:
            x, outputs: see the class.

        Returns:
            dict of `loss` and the keys of `weights`, each `(B,)`, nats per clip.
        """
        if self.likelihood is None:
            raise ValueError(
                "likelihood: expected one to compute the loss with, received None; "
                'name it, as in NEMLoss("bernoulli"), or compile a NeuralEM with it'
            )
        psi = ops.cast(outputs["psi"], "float32")
        x, psi, gamma = map(self.at_steps, (x, psi, outputs["gamma"]))
        axes.check_components(psi, like=x)
        background = outputs.get("background")
        prior = {} if background is None else {"prior": background[:, None]}
        terms = self.terms(x, psi, gamma, **prior)
        terms = {name: ops.sum(term, axis=axes.STEPS) for name, term in terms.items()}
        loss = sum(weight * terms[name] for name, weight in self.weights.items())
        return {"loss": loss, **terms}

    def call(self, y_true, y_pred):
        return self.per_clip(y_true, y_pred)["loss"]  # (B,)

    def of_cell(self, likelihood):
        """This loss, with the likelihood of a cell unless it has one of its own.

        Raises:
            ValueError: if its own is of another kind than the cell's.
        """
        if self.likelihood is None:
            bound = object.__new__(type(self))  # copy.copy would go by the config
            bound.__dict__.update(self.__dict__, likelihood=likelihood)
            return bound
        if type(self.likelihood) is not type(likelihood):
            raise ValueError(
                f"loss: expected the likelihood of the cell, {likelihood.name!r}, "
                f"received {self.likelihood.name!r}; leave it out"
            )
        return self

    def get_config(self):
        known = self.likelihood is not None
        return {
            "name": self.name,
            "likelihood": likelihoods.serialize(self.likelihood) if known else None,
            "inter_weight": self.inter_weight,
            "steps": self.steps,
        }


LOSSES: dict[str, type[NEMLoss]] = {"eq5": NEMLoss}


def get(name):
    """The kind of loss that a key of `LOSSES` stands for.

    Raises:
        ValueError: if it is none.
    """
    if name not in LOSSES:
        raise ValueError(f"loss: expected {' or '.join(LOSSES)}, received {name!r}")
    return LOSSES[name]
