"""RNN-EM: the M-step is a recurrent network."""

import keras

from nem_tf import axes
from nem_tf.cells.em_cell import EMCell
from nem_tf.layers.parts import ThetaEncoder, ThetaRecurrence

READS = ("error", "pixels")  # what the encoder sees of a frame


@keras.saving.register_keras_serializable("nem_tf")
class RNNEMCell(EMCell):
    """EM iteration whose M-step is learned without restrictions (Sec. 2.3, Figure 2).

        theta' = recurrence(encoder(evidence), theta)
        psi'   = readout(decoder(theta'))

    The K components share all weights. `nem_tf.networks` has the paper's parts:

        RNNEMCell(**networks.flying_shapes(), components=3)

    Args:
        encoder: layer `(N, H, W, C) -> (N, F)`; a `ThetaEncoder` is shown theta, too.
        recurrence: a `ThetaRecurrence`, `(N, F), (N, M) -> (N, M), (N, M)`: what the
            decoder reads, and the theta that is carried on.
        decoder: layer `(N, M) -> (N, H, W, C)`, before the readout (sigmoid for
            Bernoulli pixels, identity for Gaussian ones).
        frame_shape: (H, W, C).
        e_step: an `EStep`, or the name of its likelihood.
        components: K, where a call does not bring its own; the weights fit any K.
        reads: the evidence: `"error"`, the paper's gamma * (x - psi), or `"pixels"`,
            gamma * x: then the encoder has the component's own pixels before it, from
            which a place can be read whatever was predicted.
        floor: added to P(x | psi) where components share pixels; 0 in the paper, 0.02
            keeps components from dying in training. See `EMCell`.
        keep_floor: whether the floor is there outside training.
        start: `"random"`, the original's random share of every pixel, or `"sides"`: one
            side of the frame each.
        theta_noise: in training, standard deviation of noise on what the decoder reads;
            0 in the paper.
        foreground, background: with them the prior is a background image, see `EMCell`.
        object_pixels: about how many pixels an object has; components to spare then
            stay empty, see `EMCell`. 0, the paper's, is uniform mixing weights.
        kwargs: of `keras.layers.Layer`: name, dtype, trainable.

    Call arguments, states and returns are those of `EMCell`.

    Raises:
        ValueError: if the recurrence is no `ThetaRecurrence`, `reads` is none of the
            above, or the decoder draws another frame; and as `EMCell`.
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
        floor=0.0,
        keep_floor=False,
        start="random",
        theta_noise=0.0,
        foreground=None,
        background="auto",
        object_pixels=0.0,
        **kwargs,
    ):
        if not isinstance(recurrence, ThetaRecurrence):
            raise ValueError(
                f"recurrence: expected a ThetaRecurrence, received {recurrence!r}; "
                "derive its class from nem_tf.cells.ThetaRecurrence"
            )
        if reads not in READS:
            raise ValueError(
                f"reads: expected {' or '.join(READS)}, received {reads!r}"
            )
        super().__init__(
            frame_shape,
            recurrence.units,
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
        self.encoder = encoder
        self.recurrence = recurrence
        self.decoder = decoder
        self.reads = reads
        self.noisy_units = recurrence.noisy_units

    def build(self, packed_shape=None):
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
        also = (theta,) if isinstance(self.encoder, ThetaEncoder) else ()
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
