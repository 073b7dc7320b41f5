"""RNN-EM: the M-step is a recurrent network."""

import keras

from nem_tf import axes
from nem_tf.em_cell import EMCell


@keras.saving.register_keras_serializable("nem_tf")
class RNNEMCell(EMCell):
    """EM iteration whose M-step is learned without restrictions (Sec. 2.3, Figure 2).

        theta' = recurrence(encoder(evidence), theta)
        psi'   = readout(decoder(theta'))

    The K components share all weights. `nem_tf.networks` has the paper's parts:

        RNNEMCell(**networks.flying_shapes(), components=3)

    Args:
        encoder: layer `(N, H, W, C) -> (N, F)`; one whose attribute `reads_theta` is
            true is called with theta, too.
        recurrence: layer `(N, F), (N, M) -> (N, M), (N, M)`: what the decoder reads,
            and the theta that is carried on; with an attribute `units`, M. If it has
            an attribute `hidden`, only so many first numbers get `theta_noise`.
        decoder: layer `(N, M) -> (N, H, W, C)`, before the readout (sigmoid for
            Bernoulli pixels, identity for Gaussian ones).
        frame_shape, e_step, components, floor, keep_floor, start, theta_noise: see
            `EMCell`, as for call arguments, states and errors.
        reads: the evidence: `"error"`, the paper's gamma * (x - psi), or `"pixels"`,
            gamma * x: then the encoder has the component's own pixels before it, from
            which a place can be read whatever was predicted.
    """

    def __init__(
        self,
        encoder,
        recurrence,
        decoder,
        frame_shape,
        e_step,
        components=3,
        reads="error",
        **kwargs,
    ):
        super().__init__(frame_shape, recurrence.units, e_step, components, **kwargs)
        if reads not in ("error", "pixels"):
            raise ValueError(f'reads: expected "error" or "pixels", received {reads!r}')
        self.encoder = encoder
        self.recurrence = recurrence
        self.decoder = decoder
        self.reads = reads
        self.noisy_units = getattr(recurrence, "hidden", self.units)

    def build(self, frames_shape=None):
        pixels_shape, theta_shape = (None, *self.frame_shape), (None, self.units)
        if not self.encoder.built:  # a loaded cell's parts are built already
            self.encoder.build(pixels_shape)
        if not self.recurrence.built:
            features_shape = self.encoder.compute_output_shape(pixels_shape)
            self.recurrence.build(features_shape, theta_shape)
        if not self.decoder.built:
            self.decoder.build(theta_shape)
        decoded_shape = tuple(self.decoder.compute_output_shape(theta_shape))
        if decoded_shape != pixels_shape:
            raise ValueError(
                f"decoder: expected output of shape {pixels_shape}, as frame_shape "
                f"says, received {decoded_shape}"
            )
        self.built = True

    def evidence(self, gamma, noisy, psi):
        if self.reads == "pixels":
            return gamma * noisy
        return super().evidence(gamma, noisy, psi)

    def m_step(self, evidence, theta, seed=None):
        images, theta = axes.fold_components(evidence), axes.fold_components(theta)
        also = (theta,) if getattr(self.encoder, "reads_theta", False) else ()
        features = self.encoder(images, *also)  # (B*K, F)
        read, theta = self.recurrence(features, theta)
        read = self.with_noise(read, seed)
        psi = self.likelihood.readout(self.decoder(read))  # (B*K, H, W, C)
        return (
            axes.unfold_components(theta, like=evidence),
            axes.unfold_components(psi, like=evidence),
        )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "recurrence": serialize(self.recurrence),
            "decoder": serialize(self.decoder),
            "reads": self.reads,
        }
