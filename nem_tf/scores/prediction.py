"""How well the next frame is predicted."""

from keras import ops

from nem_tf import axes


def next_step_bound(x, psi, likelihood):
    """-log P(x_i | max_k psi_ik), summed over pixels: the measure of Figure 5.

    An upper bound on the prediction error, since it does not use gamma, which knows the
    next frame. Shapes as in `losses.intra_cluster`; `(...)`, nats per frame.
    """
    strongest = ops.max(psi, axis=axes.COMPONENTS)  # (..., H, W, C)
    return ops.sum(likelihood.nll(x, strongest), axis=axes.PIXELS)


def next_step_error(x, psi, likelihood, mixing=None):
    """-log sum_k pi_k P(x_i | psi_ik) / P(x_i | x_i), summed over pixels.

    How unlikely the next frame was under the mixture of Eq. 1, with the variance of the
    E-step: 0 if all components foretold it exactly. Unlike `next_step_bound` it does
    without a black background.

    Args:
        x: pixels `(..., H, W, C)` in [0, 1].
        psi: what was predicted of them, `(..., K, H, W, C)`.
        likelihood: a `likelihoods.Likelihood`.
        mixing: the weights pi up to their sum, `(..., K, H, W, 1)`; None: all equal.

    Returns:
        `(...)`, nats per frame.
    """
    log_p = likelihood.log_fit(ops.expand_dims(x, axes.COMPONENTS), psi)
    weights = ops.ones_like(log_p) if mixing is None else ops.cast(mixing, log_p.dtype)
    weights = weights / ops.sum(weights, axis=axes.COMPONENTS, keepdims=True)
    log_p = ops.logsumexp(log_p + ops.log(weights), axis=axes.COMPONENTS)
    return -ops.sum(log_p, axis=axes.PIXELS)


def next_step_name(cell):
    """What `next_step` is of a cell: "next_step_bound" or "next_step_error"."""
    return "next_step_error" if cell.layered else "next_step_bound"


def next_step(cell, x, outputs):
    """`next_step_bound`, the paper's, or of a layered cell `next_step_error`.

    Args:
        cell: an `EMCell`.
        x: the next frames, `(B, T, H, W, C)`.
        outputs: `psi` and perhaps `mixing` of `NeuralEM`, at the same steps.
    """
    psi, pi = ops.cast(outputs["psi"], "float32"), outputs.get("mixing")
    if not cell.layered:
        return next_step_bound(x, cell.drawn(psi, pi), cell.likelihood)
    return next_step_error(x, psi, cell.likelihood, pi)
