"""The model: the EM iterations over a clip, trained by next-step prediction."""

import keras
from keras import ops

from nem_tf import axes, pixels, preset
from nem_tf.clip_model import ClipModel
from nem_tf.inference.segment import segment
from nem_tf.inference.stream import Steps, Stream
from nem_tf.layers.prepared import prepared
from nem_tf.losses import NEMLoss
from nem_tf.scores.metrics import AdjustedRandIndex, DistinctComponents, Purity
from nem_tf.scores.prediction import next_step, next_step_name
from nem_tf.scores.tables import contingency_table


@keras.saving.register_keras_serializable("nem_tf")
class NeuralEM(ClipModel):
    """Neural Expectation Maximization over clips (Figure 1, Figure 2).

    One frame is one EM iteration; `keras.layers.RNN` runs the cell over the frames.
    Trained by `fit` on datasets of `nem_tf.data` with a `losses.NEMLoss`:

        nem = NeuralEM(RNNEMCell(**networks.flying_shapes(), components=3))
        nem.compile("adam", loss=NEMLoss())
        nem.fit(nem_tf.data.flying_shapes("train"))

    `fit` and `evaluate` report, beside the loss, its terms `intra` and `inter`,
    `next_step_bound` or `next_step_error` (see `scores.next_step`), and, if the clips
    have labels `groups` `(B, T+1, H, W)`, `ari`, `distinct_components` and `purity`,
    each a mean over the steps that the loss is taken at and where a pixel is labelled
    (NaN if none is).
    Nothing is learned from the labels. Metrics given to `compile` for `psi` get the
    frames `(B, T, 1, H, W, C)` as their truth, those for `gamma` the labels
    `(B, T, H, W)`, at the same steps. The loss is Eq. 5, each clip times its
    `sample_weight`, plus what layers add, such as regularizers (`nem.losses`).

    Args:
        cell: an `RNNEMCell`, `NEMCell` or `WindowCell`.
        objects: how many labels the metrics expect; larger ones count as well, see
            `scores.contingency_table`.
        unroll: whether the graph that is trained has one copy of the cell per step
            instead of a loop: several times slower to start, a little faster to run.

    Attributes:
        lanes: how many equal shares of a batch are computed side by side, 1 unless set
            before the first call. On a CPU one lane per core is faster than all cores
            on one operation after another. It changes sums in the last digit only. A
            batch that does not divide is computed as one.

    Call arguments:
        inputs: dict with `clean` `(B, T+1, H, W, C)`, pixels in [0, 1]; `noisy`
            `(B, T, H, W, C)`, what the network sees at steps 0..T-1; and `pi`
            `(B, K, H, W, 1)`, the random start, which also says how many components to
            use: K may differ from call to call. For a layered cell (one with a
            `foreground`, see `EMCell`) also `background` `(B, H, W, C)`. Numbers of any
            type.

    Returns:
        dict of `psi` `(B, T, K, H, W, C)` and `gamma` `(B, T, K, H, W, 1)`; step t is
        about frame t+1: psi predicts it from frames 0..t, gamma then assigns its
        pixels. A layered cell adds `background`, as it was given, and a cell whose
        weights pi of Eq. 1 are not uniform adds them as `mixing`
        `(B, T, K, H, W, 1)`; those of `WindowCell` do not sum to 1. In training, if the
        compiled loss is of the last step alone, all three are of that step, T = 1.

    Raises:
        ValueError: if the shapes do not fit each other and the cell, or if a pixel is
            outside [0, 1] by more than `pixels.ROUNDING`; `fit` then leaves the weights
            as they are. (What XLA compiles cannot look: there it is seen in arrays and
            in a `tf.data.Dataset`.)
    """

    def __init__(self, cell, objects=8, unroll=False, **kwargs):
        # Inputs keep their float32: autocast would round grey pixels under bfloat16.
        super().__init__(**{"autocast": False, **kwargs})
        self.cell = cell
        self.objects = objects
        self.unroll = unroll
        self.lanes = 1
        self.rnn = keras.layers.RNN(cell, return_sequences=True)
        height, width, channels = cell.frame_shape
        self.rnn.build((None, None, 2 * height, width, channels))
        self.rnn.built = True
        self.built = True
        self.stream_steps = Steps(cell)
        self._terms = _Means()
        self._bound = keras.metrics.Mean(name=next_step_name(cell))
        self._grouping = [
            AdjustedRandIndex(objects),
            DistinctComponents(objects),
            Purity(objects),
        ]

    def build(self, input_shape=None):
        """Nothing is left to do: the cell knows its frames' shape."""

    def call(self, inputs, training=None):
        self.rnn.unroll = bool(self.unroll and training)
        loss = self.loss  # None if the model is not compiled
        only_last = training and isinstance(loss, NEMLoss) and loss.only_last
        self.rnn.return_sequences = not only_last
        clips = self._checked(inputs["clean"], inputs["noisy"], inputs["pi"])
        layered = self._background(inputs, clips[0])
        with prepared(self.cell):
            lanes = self._lanes(*clips, *layered.values())
            lanes = [self._run(training, *lane) for lane in lanes]
        return {
            "psi": ops.concatenate([psi for psi, *_ in lanes]),
            "gamma": ops.concatenate([gamma for _, gamma, *_ in lanes]),
            **layered,
            **self._mixing(lanes),
        }

    def _mixing(self, lanes):
        """A dict of the `mixing` weights; empty if they are all the same."""
        weights = [pi for _, _, *pi in lanes]
        return {"mixing": ops.concatenate(sum(weights, []))} if weights[0] else {}

    def _run(self, training, clean, noisy, pi, *background):
        """psi, gamma and, if they are not uniform, pi of some clips."""
        packed = axes.pack_frames(clean[:, :-1], noisy)  # (B, T, 2H, W, C)
        layered = {"background": background[0]} if background else {}
        state = self.cell.get_initial_state(pi=pi, training=training, **layered)
        found = self.rnn(packed, initial_state=state, training=training)
        x = clean[:, 1:]
        if len(found.shape) == 2:  # the last step's
            found, x = found[:, None], x[:, -1:]
        psi, more = self.cell.predicted(found, ops.shape(pi)[1])
        gamma = self.cell.assign(x, psi, *more)
        # psi (B, T, K, H, W, C), gamma and pi (B, T, K, H, W, 1)
        return psi, gamma, *more[:1]

    def _background(self, inputs, clean):
        """A dict of the `background` of clips, (B, H, W, C); empty if it is black."""
        if not self.cell.layered:
            return {}
        if "background" not in inputs:
            raise ValueError(
                "background: expected one for each clip, (B, H, W, C), received none; "
                "nem_tf.data.from_folder and from_arrays give it"
            )
        background = inputs["background"]
        frame = self.cell.frame_shape
        axes.check_shape("background", background, (clean.shape[0], *frame))
        return {"background": pixels.intensities("background", background)}

    def _lanes(self, *arrays):
        """Equal shares of a batch's arrays; one share if B does not divide."""
        lanes = self.lanes if (arrays[0].shape[0] or 1) % self.lanes == 0 else 1
        if lanes == 1:
            return [arrays]
        return list(zip(*(ops.split(x, lanes) for x in arrays), strict=True))

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """`keras.Model.compile` with a `NEMLoss`, which takes the cell's likelihood.

        The optimizer's variables are made at once: a file that the model is saved in
        then has all that loading it looks for.

        Raises:
            ValueError: if the loss has another likelihood than the cell.
        """
        if isinstance(loss, NEMLoss):
            loss = loss.of_cell(self.cell.likelihood)
            self._terms.be_of(loss.weights)
        super().compile(optimizer, loss, *args, **kwargs)
        if self._compile_loss is not None:
            # `compute_loss` takes its place. Unbuilt, Keras would ask a data set for a
            # batch to build it with, which costs that an epoch.
            self._compile_loss.built = True
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self):
        """Keras's, with the means of the loss's terms before what is about psi."""
        metrics = super().metrics
        place = next(i for i, metric in enumerate(metrics) if metric is self._bound)
        return [*metrics[:place], *self._terms.means, *metrics[place:]]

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def export(self, filepath, *args, input_signature=None, **kwargs):
        """`keras.Model.export`, of the call for any B, T and K.

        `python -m export.saved_model` makes more: streams, warm-up and documents.
        """
        if input_signature is None:
            frames = (None, None, *self.cell.frame_shape)
            pi = (None, None, *self.cell.frame_shape[:2], 1)
            shapes = {"clean": frames, "noisy": frames, "pi": pi}
            if self.cell.layered:
                shapes["background"] = (None, *self.cell.frame_shape)
            specs = {
                name: keras.InputSpec(dtype="float32", shape=shape, name=name)
                for name, shape in shapes.items()
            }
            input_signature = [specs]
        super().export(filepath, *args, input_signature=input_signature, **kwargs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Eq. 5 as the compiled `NEMLoss` computes it, and what layers add to it.

        Args:
            x: what the model was called with.
            y: not used.
            y_pred: what it returned.
            sample_weight: of each clip, shape `(B,)`; None for 1.
            training: not used.

        Returns:
            a scalar, in nats per clip.
        """
        lanes = self._outputs_by_lane(*self._looked_at(x, y_pred), y_pred)
        weights = [None] * len(lanes)
        if sample_weight is not None:
            weights = ops.split(ops.reshape(sample_weight, (-1,)), len(lanes))
        pairs = zip(lanes, weights, strict=True)
        loss = sum(self.loss(*lane, weight) for lane, weight in pairs) / len(lanes)
        # Keras divides by the replicas what is summed over them.
        return loss + sum(map(self._aggregate_additional_loss, self.losses))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels, (x, psi, gamma) = x.get("groups"), self._looked_at(x, y_pred)
        for lane in self._outputs_by_lane(x, psi, gamma, y_pred):
            terms = self.loss.per_clip(*lane)
            for mean in self._terms.means:
                mean.update_state(terms[mean.name])
        found = {"psi": psi}
        if "mixing" in y_pred:
            found["mixing"] = self.loss.at_steps(y_pred["mixing"])
        self._bound.update_state(next_step(self.cell, x, found))
        if labels is not None:
            groups = self.loss.at_steps(labels[:, 1:])
            table = contingency_table(groups, gamma, self.objects)
            for metric in self._grouping:
                metric.update_table(table)
        else:
            groups = ops.zeros(ops.shape(x)[:-1], "int32")
        if self._compile_metrics is not None:  # those that `compile` was given
            truth = {"psi": ops.expand_dims(x, axes.COMPONENTS), "gamma": groups}
            outputs = {"psi": psi, "gamma": gamma}
            self._compile_metrics.update_state(truth, outputs, sample_weight)
        result = self.get_metrics_result()
        if labels is not None:
            return result
        of_labels = {metric.name for metric in self._grouping}
        return {
            name: value
            for name, value in result.items()
            if name not in of_labels and not name.startswith("gamma_")
        }

    def _looked_at(self, inputs, outputs):
        """x, psi and gamma of the steps that the loss is taken at."""
        if not isinstance(self.loss, NEMLoss):
            raise ValueError(
                f"loss: expected a NEMLoss, received {self.loss!r}; use nem_tf.NEMLoss"
            )
        clips = inputs["clean"][:, 1:], outputs["psi"], outputs["gamma"]
        x, psi, gamma = map(self.loss.at_steps, clips)
        return ops.clip(ops.cast(x, "float32"), 0.0, 1.0), psi, gamma

    def _outputs_by_lane(self, x, psi, gamma, outputs):
        """What the loss takes, for each lane: x and a dict of outputs."""
        outputs = {**outputs, "psi": psi, "gamma": gamma}
        lanes = self._lanes(x, *outputs.values())
        return [(x, dict(zip(outputs, lane, strict=True))) for x, *lane in lanes]

    def segment(self, frames, components=None, seed=0, starts=1, background=None):
        """Group the pixels of one's own clip or clips, without noise.

        A still image takes some iterations to come apart: repeat it along T.

        Args:
            frames: NumPy array (T, H, W), (T, H, W, C), (B, T, H, W) or
                (B, T, H, W, C), pixels in [0, 1], H x W x C as the model was made.
            components: K; by default the cell's. "auto", where the number of objects is
                not known: 8, or the cell's if that is larger, of which those that are
                used remain, numbered anew (`inference.only_used`). Of several clips K
                is that of the one that uses most; others have empty ones at the end.
            seed: of the random start, an integer of at least 0 or one per clip; clip b
                of a single seed starts from seed + b.
            starts: random starts of each clip, of which the likeliest is returned: see
                `inference.likeliest`. Four take four times as long; RESULTS.md says
                what they gain.
            background: of a layered cell, what is behind the objects, (H, W, C) or
                (B, H, W, C) in [0, 1]; None estimates it for each clip, from a camera
                that stands still (`reading.background`).

        Returns:
            `Segmentation`. Frame t is assigned by what frames 0..t-1 predicted for it.
            The first frame, which nothing predicted, shows the random start; to a
            layered cell it is shown once more, before the others, and predicts itself.

        Raises:
            ValueError: if the frames have another shape, no step, or pixels that are
                not in [0, 1], if `starts` is below 1, if a weight is not finite, if
                there is a background for a cell without layers, if `components` is
                "auto" but the cell's spare ones do not stay empty, or if the result
                does not fit the memory.
        """
        return segment(self, frames, components, seed, starts, background)

    def stream(self, components=None, seed=0, background=None, starts=1):
        """Group the frames of a live video one by one, as they come.

        Args:
            components: K; by default the cell's. "auto" where the number of objects is
                not known.
            seed: of the random start, an integer from 0 to 2**31 - 1.
            background: of a layered cell, (H, W, C) in [0, 1]; None estimates it from
                the last frames, again and again.
            starts: random starts that run side by side; each frame's result is that of
                the likeliest so far, see `inference.Stream`.

        Returns:
            `Stream`: call it with frames of shape (H, W) or (H, W, C).
        """
        return Stream(self, components, seed, background, starts)

    @classmethod
    def from_preset(cls, name):
        """A trained model, compiled with the loss that it was trained with.

        Args:
            name: `"static_shapes"`, `"flying_shapes"`, `"flying_mnist"` or another one
                of `nem_tf.preset.names()`, which ship inside the package; or a folder
                that `save_to_preset` wrote.

        Raises:
            ValueError: if there is no such preset, or it cannot be read.
        """
        return preset.load(name)

    def save_to_preset(self, folder, card=None, training=None):
        """Write weights (float16), configuration and a model card into a folder.

        Args:
            folder: a new or empty folder, or that of a preset, which is replaced.
            card: text in Markdown for those who will use the model: data, settings,
                seeds, scores, limits.
            training: dict with the `experiment` and its `settings`, as config.json of a
                run has them; `trainers.evaluate` then knows what to score it on.

        Raises:
            ValueError: if the model is not compiled with a `NEMLoss`, a weight is not
                finite or too large for float16, or the folder holds something else.
            OSError: if the folder cannot be written.
        """
        preset.save(self, folder, card, training)

    def get_config(self):
        return {
            **super().get_config(),
            "cell": keras.saving.serialize_keras_object(self.cell),
            "objects": self.objects,
            "unroll": self.unroll,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        cell = keras.saving.deserialize_keras_object(config["cell"], custom_objects)
        return cls(**{**config, "cell": cell})

    def _checked(self, clean, noisy, pi):
        """The inputs as float32, if they belong together."""
        frame = self.cell.frame_shape
        axes.check_shape("clean", clean, (None, None, *frame))
        batch, length = clean.shape[:2]
        steps = None if length is None else length - 1
        if steps is not None and steps < 1:
            raise ValueError(
                f"clean: expected at least 2 frames (T+1), received {length}"
            )
        axes.check_shape("noisy", noisy, (batch, steps, *frame))
        axes.check_shape("pi", pi, (batch, None, *frame[:2], 1))
        clean = pixels.intensities("clean", clean)
        noisy = pixels.intensities("noisy", noisy)
        return clean, noisy, ops.cast(pi, "float32")


class _Means:
    """A mean for each term of the compiled loss; Keras would track those of any loss.

    Attributes:
        means: list of `keras.metrics.Mean`.
    """

    def __init__(self):
        self.means = []

    def be_of(self, names):
        if [mean.name for mean in self.means] != list(names):
            self.means = [keras.metrics.Mean(name=name) for name in names]
