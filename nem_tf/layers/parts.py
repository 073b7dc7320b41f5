"""What an `RNNEMCell` asks of its encoder and recurrence beyond `keras.layers.Layer`.

A decoder, and an encoder that sees an image and nothing else, may be any layers.
"""

import keras


class ThetaEncoder(keras.layers.Layer):
    """Base class of an encoder that is shown theta, too: where to look, for instance.

    Subclasses define `call` and `compute_output_shape`.

    Call arguments:
        images: what the components see, shape `(N, H, W, C)`; one image is one clip and
            component.
        theta: before the step, shape `(N, M)`.

    Returns:
        features, shape `(N, F)`.
    """

    def call(self, images, theta):
        raise NotImplementedError


class ThetaRecurrence(keras.layers.Layer):
    """Base class of a recurrence: what theta becomes when features arrive.

    Subclasses define `call` and set `units`.

    Attributes:
        units: M, the size of theta.
        noisy_units: how many numbers of theta, the first ones, get the cell's
            `theta_noise`: all of them, unless a subclass says less.

    Call arguments:
        features: what the encoder found, shape `(N, F)`.
        theta: before the step, shape `(N, M)`.

    Returns:
        what the decoder reads, shape `(N, M)`, and the theta that is carried on,
        shape `(N, M)`.
    """

    units: int

    @property
    def noisy_units(self):
        return self.units

    def call(self, features, theta):
        raise NotImplementedError

    def compute_output_shape(self, features_shape, theta_shape=None):
        shape = (features_shape[0], self.units)
        return shape, shape
