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
