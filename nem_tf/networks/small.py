"""Networks for a first look: they learn in minutes on a CPU."""

from nem_tf.networks.paper import flying_mnist, fully_connected
from nem_tf.networks.shared import as_e_step


def small(units=None, features=None, *, e_step="bernoulli", **shared):
    """The paper's networks, made smaller: dense for binary pixels, else convolutional.

    Args:
        units: by default 250 of binary pixels, as in Sec. 4.1, and 100 of others.
        features: by default none of binary pixels, and 256 of others.
        e_step: its likelihood says whether pixels are binary.
        shared: see `fully_connected`.
    """
    e_step = as_e_step(e_step)
    if e_step.likelihood.binary:
        return fully_connected(
            units or 250, features, e_step=e_step, normalize=True, **shared
        )
    sizes = {"units": units or 100, "features": features or 256, "filters": (16, 32)}
    return flying_mnist(**sizes, e_step=e_step, **shared)
