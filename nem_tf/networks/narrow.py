"""A network of ours for shapes: a theta that has room for one object, not for two."""

from nem_tf.networks.paper import fully_connected


def narrow(units=16, features=1024, **shared):
    """A small theta between wide layers.

    Nothing in Eq. 5 forbids a component to draw several objects, or a random share of
    the pixels; a theta of 16 numbers cannot hold that much. On static shapes it groups
    better than the paper's 250 (RESULTS.md), together with an inter-cluster weight of
    2, the loss at all steps and gamma as a constant.

    Args:
        units: M, the size of theta.
        features: width of the layers before and after it.
        shared: see `fully_connected`.
    """
    return fully_connected(units, features, normalize=True, **shared)
