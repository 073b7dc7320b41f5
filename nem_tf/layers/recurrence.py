"""How theta moves on: the paper's sigmoid recurrence, and a gated one."""

import keras
from keras import ops

from nem_tf.layers.dense import prepare_product, product
from nem_tf.layers.normalization import LayerNorm
from nem_tf.layers.parts import ThetaRecurrence
from nem_tf.layers.prepared import Prepared


@keras.saving.register_keras_serializable("nem_tf")
class Recurrence(Prepared, ThetaRecurrence):
    """The sigmoid recurrence on theta.

        z = W [features, theta] + b
        theta' = sigmoid(z)                    is carried on
        output = sigmoid(layer_norm(z))        is what the decoder reads

    Args:
        units: M, the size of theta.
        normalize: whether the output has the layer norm; without it, output = theta'.

    Call arguments:
        features: shape `(N, F)`.
        theta: shape `(N, M)`.

    Returns:
        output `(N, M)` and theta' `(N, M)`, both in (0, 1).
    """

    def __init__(self, units, normalize=True, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.normalize = normalize
        self.norm = LayerNorm(dtype=self.dtype_policy) if normalize else None

    def build(self, features_shape, theta_shape=None):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features_shape[-1] + self.units, self.units),
            initializer="glorot_uniform",
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        if self.norm is not None:
            self.norm.build((None, self.units))
        self.built = True

    def prepare(self):
        features = self.kernel.shape[0] - self.units
        rows = ops.split(self.kernel, [features])  # of features, of theta
        return [prepare_product(part, self.compute_dtype) for part in rows]

    def call(self, features, theta):
        of_features, of_theta = self.ready
        z = product(features, *of_features) + product(theta, *of_theta)
        z = z + self.bias  # (N, M)
        state = ops.sigmoid(z)
        output = state if self.norm is None else ops.sigmoid(self.norm(z))
        return output, state

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "normalize": self.normalize,
        }


@keras.saving.register_keras_serializable("nem_tf")
class GatedRecurrence(ThetaRecurrence):
    """A gated recurrent unit on theta: `keras.layers.GRUCell` as a cell's recurrence.

    Its gates keep what a component knows over many steps, such as a velocity, which the
    sigmoid recurrence has to learn to copy.

    Args:
        units: M, the size of theta.

    Call arguments:
        features: shape `(N, F)`.
        theta: shape `(N, M)`.

    Returns:
        theta' `(N, M)`, in (-1, 1), once to be read and once to be carried on.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.cell = keras.layers.GRUCell(units, dtype=self.dtype_policy)

    def build(self, features_shape, theta_shape=None):
        self.cell.build(features_shape)
        self.built = True

    def call(self, features, theta):
        theta, _ = self.cell(features, [theta])
        return theta, theta

    def get_config(self):
        return {**super().get_config(), "units": self.units}
