"""N-EM: the M-step is a gradient step."""

import keras
from keras import ops

from nem_tf import axes
from nem_tf.cells.em_cell import EMCell


@keras.saving.register_keras_serializable("nem_tf")
class NEMCell(EMCell):
    """EM iteration whose M-step is one step of gradient ascent on Q (Eq. 4).

        theta' = theta + eta * s'(theta) * W^T (gamma * (x - psi))
        psi'   = readout(W s(theta'))

    s is the sigmoid, W (H*W*C, M) is shared by the step and the prediction, as the
    derivative of psi demands, and the step size eta is learned with W. For Bernoulli
    pixels with a sigmoid, gamma * (x - psi) is the exact derivative of Q with respect
    to the logits; for Gaussian ones it is so up to sigma^2, which eta absorbs.

    Args:
        units: M, the size of theta; 250 in Sec. 4.1.
        frame_shape: (H, W, C).
        e_step: an `EStep`, or the name of its likelihood.
        components: K, where a call does not bring its own; the weights fit any K.
        learning_rate: eta before training.
        floor, keep_floor, start, theta_noise, foreground, background, object_pixels:
            see `EMCell`, as for call arguments, states and errors.
        kwargs: of `keras.layers.Layer`: name, dtype, trainable.
    """

    def __init__(
        self,
        units=250,
        frame_shape=(28, 28, 1),
        e_step="bernoulli",
        components=3,
        learning_rate=1.0,
        floor=0.0,
        keep_floor=False,
        start="random",
        theta_noise=0.0,
        foreground=None,
        background="auto",
        object_pixels=0.0,
        **kwargs,
    ):
        super().__init__(
            frame_shape,
            units,
            e_step,
            components,
            floor,
            keep_floor,
            start,
            theta_noise,
            foreground,
            background,
            object_pixels,
            **kwargs,
        )
        self.learning_rate = learning_rate

    def build(self, packed_shape=None):
        height, width, channels = self.frame_shape
        self.eta = self.add_weight(
            name="eta",
            shape=(),
            initializer=keras.initializers.Constant(self.learning_rate),
        )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(height * width * channels, self.units),
            initializer="glorot_uniform",
        )
        self.built = True

    def m_step(self, evidence, theta, seed=None):
        error = ops.reshape(evidence, (-1, self.kernel.shape[0]))  # (B*K, H*W*C)
        kernel, eta = (ops.cast(w, error.dtype) for w in (self.kernel, self.eta))
        theta = axes.fold_components(theta)  # (B*K, M)
        squashed = ops.sigmoid(theta)
        slope = squashed * (1.0 - squashed)
        gradient = slope * ops.matmul(error, kernel)  # (B*K, M)
        theta = theta + eta * gradient
        read = self.with_noise(theta, seed)
        logits = ops.matmul(ops.sigmoid(read), ops.transpose(kernel))
        psi = self.likelihood.readout(logits)  # (B*K, H*W*C)
        psi = ops.reshape(psi, (-1, *self.frame_shape))  # (B*K, H, W, C)
        return (
            axes.unfold_components(theta, like=evidence),
            axes.unfold_components(psi, like=evidence),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "learning_rate": self.learning_rate,
        }
