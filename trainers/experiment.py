"""What the three experiments share: settings, clips, model, and training in stages."""

import functools
import re

from trainers import options


class Experiment:
    """One of the paper's experiments under given settings.

    Subclasses set the class attributes and define `generated` and `parts`. TensorFlow
    is imported by methods only, after the flags have been read.

    Args:
        config: the settings.

    Raises:
        ValueError, OSError: if the data that the settings ask for cannot be had.
    """

    name: str  # of the module and of the folder under runs/
    Config: type[options.Config]
    presets: dict[str, dict]
    likelihood: str
    paper: str  # what the paper reports, for the closing lines
    source = "generated"  # where the data come from, for config.json and pictures

    def __init__(self, config):
        self.config = config
        self.shares = 1  # of a batch, one per device
        self._datasets = {}  # by what was asked for
        if config.data is not None:
            self.source = str(config.data.absolute())

    @property
    def title(self):
        """The experiment and the source of its data, for pictures."""
        return f"{self.name.replace('_', ' ')} ({self.source})"

    def generated(self, split, stage, **settings):
        """Clips made on the fly; `settings` are common to all data sets."""
        raise NotImplementedError

    object_size = (8, 12)  # (h, w), about an object's, pixels

    def e_step(self):
        """The E-step, or its likelihood."""
        return self.likelihood

    def parts(self):
        """The keyword arguments of the `RNNEMCell`."""
        from nem_tf import networks

        config = self.config
        return networks.build(
            self.name if config.network == "paper" else config.network,
            units=config.units or None,
            features=config.features or None,
            size=config.size,
            e_step=self.e_step(),
            object_size=self.object_size,
        )

    def cell(self):
        """The EM cell, with fresh weights."""
        from nem_tf import RNNEMCell

        return RNNEMCell(
            **self.parts(), reads=self.config.reads, **self.of_every_cell()
        )

    def of_every_cell(self):
        """The keyword arguments that any `EMCell` takes from the settings."""
        names = ("components", "floor", "keep_floor", "start", "theta_noise")
        return {name: getattr(self.config, name) for name in names}

    def loss(self):
        """Eq. 5 with the experiment's pixel distribution and weight."""
        from nem_tf import NEMLoss

        return NEMLoss(self.likelihood, self.config.inter_weight)

    def stage_name(self, stage):
        """What a stage is called in the progress bar."""
        return self.name.replace("_", " ")

    def clips(self, split, stage=-1, **settings):
        """The dataset of a split, made on the fly or read from `--data`.

        Asked for again, it is the same one: to make one takes half a second.

        Args:
            split: "train", "validation" or "test".
            stage: index of the training stage.
            settings: keyword arguments of `nem_tf.data` that replace the config's.
        """
        config = self.config
        batch_size = config.batch_size
        if split != "train" and "clips" in settings:
            batch_size = even_batch(settings["clips"], batch_size, self.shares)
        settings = {
            "components": config.components,
            "steps": config.steps,
            "batch_size": batch_size,
            "seed": config.seed,
            "noise": config.noise,
            **settings,
        }
        key = (split, range(config.stage_count)[stage], *sorted(settings.items()))
        if key not in self._datasets:
            if config.data is not None:
                made = _recorded(config.data, split, settings)
            else:
                made = self.generated(split, stage, **settings)
            self._datasets[key] = made
        return self._datasets[key]

    def model(self):
        """A compiled `NeuralEM` with fresh weights."""
        import keras

        from nem_tf import NeuralEM

        config = self.config
        nem = NeuralEM(self.cell(), objects=config.objects, unroll=config.unroll)
        adam = keras.optimizers.Adam(config.learning_rates[0], epsilon=1e-8)
        compiled = {"on": True, "off": False}.get(config.compile, "auto")
        nem.compile(adam, loss=self.loss(), jit_compile=compiled)
        return nem

    def train(self, run):
        """Train each stage from the best weights of the stage before it."""
        from trainers import loop

        with run.devices.scope():
            nem = self.model()
            nem.lanes = run.devices.lanes
        self.shares = run.devices.count
        rates = self.config.per_stage("learning_rates")
        epochs = self.config.per_stage("epochs")
        for stage, (rate, most) in enumerate(zip(rates, epochs, strict=True)):
            if stage < run.at.stage:
                continue  # trained before the run was resumed
            loop.fit(
                run,
                nem,
                functools.partial(self.clips, stage=stage, part=run.devices.part),
                learning_rate=rate,
                epochs=most,
                name=self.stage_name(stage),
            )


def _recorded(path, split, settings):
    """The clips in a file; too few are a matter of the split's setting."""
    from nem_tf import data

    try:
        return data.recorded(path, split, **settings)
    except ValueError as error:
        problem = re.sub("^clips:", f"{split}_size:", str(error))
        raise ValueError(problem) from None


def even_batch(clips, most, shares=1):
    """A batch size of at most `most` that divides `clips`; `most` if all are small.

    Batches of one size are compiled once, and the lanes of a CPU can share them.

    Args:
        clips: how many there are.
        most: the batch size for training.
        shares: how many devices share a batch.
    """
    sizes = [n for n in range(most // 2, most + 1) if n and clips % n == 0]
    sizes = [n for n in sizes if n % shares == 0]
    return max(sizes, key=lambda n: (n % 8 == 0, n % 2 == 0, n), default=most)
