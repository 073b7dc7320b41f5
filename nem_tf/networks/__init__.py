"""Networks: the encoder, recurrence and decoder of an `RNNEMCell`.

Each is a function of the same arguments, and returns the keyword arguments of the cell:

    cell = RNNEMCell(**networks.flying_mnist(), components=2)

    size: H, or (H, W), of a frame, pixels.
    channels: C.
    e_step: an `EStep`, a `likelihoods.Likelihood`, or its name.
    object_size: (h, w), about an object's, pixels; for networks that look for patterns.
    units: M, the size of theta (of `tracking`, without the place).
    features: width of the dense layers before and after the recurrence.

What else a network takes is in its own docstring. `NETWORKS` has them by name.
"""

from collections.abc import Callable

from nem_tf.networks.narrow import narrow
from nem_tf.networks.paper import (
    convolutional,
    flying_mnist,
    flying_shapes,
    fully_connected,
    static_shapes,
)
from nem_tf.networks.places import places
from nem_tf.networks.small import small
from nem_tf.networks.tracking import tracking

NETWORKS: dict[str, Callable[..., dict]] = {
    "static_shapes": static_shapes,
    "flying_shapes": flying_shapes,
    "flying_mnist": flying_mnist,
    "small": small,
    "narrow": narrow,
    "places": places,
    "tracking": tracking,
}


def build(name, *, units=None, features=None, **shared):
    """The network called `name`.

    Args:
        name: a key of `NETWORKS`.
        units, features: None for the network's own.
        shared: the other arguments, as above.

    Returns:
        keyword arguments of `RNNEMCell`: encoder, recurrence, decoder, frame_shape and
        e_step.

    Raises:
        ValueError: if there is no such network, or the frames do not fit it.
    """
    if name not in NETWORKS:
        raise ValueError(
            f"network: expected one of {', '.join(NETWORKS)}, received {name!r}"
        )
    sizes = {"units": units, "features": features}
    sizes = {key: value for key, value in sizes.items() if value is not None}
    return NETWORKS[name](**shared, **sizes)


__all__ = [
    "NETWORKS",
    "build",
    "convolutional",
    "flying_mnist",
    "flying_shapes",
    "fully_connected",
    "narrow",
    "places",
    "small",
    "static_shapes",
    "tracking",
]
