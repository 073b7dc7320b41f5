"""What all experiments share: settings, clips, model, and training in stages."""

import functools
import inspect
import pathlib
import re

from trainers.training import settings


class Experiment:
    """A data set to learn from, under given settings.

    Subclasses set the class attributes and define `make`. TensorFlow is imported by
    methods only, after the flags have been read.

    Args:
        config: its `Settings`.

    Raises:
        ValueError, OSError: if the data that the settings ask for cannot be had.
    """

    name: str  # of the module and of the folder under runs/
    Settings: type[settings.Settings] = settings.Settings
    recipes: dict[str, dict]  # settings by name; "paper" has those of the original
    likelihood: str
    paper_network: str  # the key of `networks.NETWORKS` for `--network paper`
    size: tuple[int, int] = (28, 28)  # (H, W) of the clips, pixels
    object_size: tuple[int, int] = (8, 12)  # (h, w), about an object's, pixels
    paper: str  # what the paper reports, for the closing lines
    channels = 1  # C of the clips
    makes = True  # whether there are clips without `--data`
    source = "generated"  # where the data come from, for config.json and pictures

    def __init__(self, config):
        self.config = config
        self.shares = 1  # of a batch, one per device
        self._datasets = {}  # by what was asked for
        if isinstance(config.clips.data, pathlib.Path):
            self.source = str(config.clips.data.absolute())

    @classmethod
    def configured(cls, **given):
        """The `Settings` of a recipe, with those that are given instead.

        Args:
            given: settings by name; `recipe` is the paper's if it is not among them.

        Raises:
            ValueError: if one is out of range, or they do not fit each other.
        """
        paper = cls.recipes.get("paper", {})
        recipe = cls.recipes.get(given.get("recipe", "paper"), {})
        return cls.Settings.of_recipe({**paper, **recipe}, given)

    @classmethod
    def of_source(cls, source):
        """The settings that say where clips came from, given the `source` of a run."""
        return {}

    @property
    def still(self):
        """Whether the objects do not move."""
        return self.config.clips.still

    @property
    def title(self):
        """The experiment and the source of its data, for pictures."""
        return f"{self.name.replace('_', ' ')} ({self.source})"

    def make(self, split, stage, **arguments):
        """The data set of a split, made on the fly.

        Args:
            split: "train", "validation" or "test".
            stage: index of the training stage.
            arguments: keyword arguments of the function of `nem_tf.data`: those of
                `Clips.made` and `Clips.shared`; `clips`, `skip`, `epochs` and `part`,
                where a split, its beginning or a host's share is asked for; and, for
                scores, `size` and `masks`.
        """
        raise NotImplementedError

    def clips(self, split, stage=-1, **arguments):
        """The data set of a split, made on the fly or read from `--data`.

        Asked for again, it is the same one: to make one takes half a second.

        Args:
            split: "train", "validation" or "test".
            stage: index of the training stage.
            arguments: keyword arguments of `nem_tf.data` that replace the settings'.
        """
        clips = self.config.clips
        asked = {**clips.shared(), **arguments}
        if split != "train" and "clips" in arguments and "batch_size" not in arguments:
            size = even_batch(arguments["clips"], clips.batch_size, self.shares)
            asked["batch_size"] = size
        key = (split, range(clips.stage_count)[stage], *sorted(asked.items()))
        if key not in self._datasets:
            if clips.data is not None:
                made = self.read(split, asked)
            else:
                made = self.make(split, stage, **{**clips.made(stage), **asked})
            self._datasets[key] = made
        return self._datasets[key]

    def read(self, split, asked):
        """The data set of a split, read from where `--data` says.

        Args:
            split: "train", "validation" or "test".
            asked: keyword arguments of `nem_tf.data`.
        """
        return _recorded(self.config.clips.data, split, asked)

    def fingerprint(self):
        """What identifies the clips of `--data`, wherever they are; None without."""
        from nem_tf.data import hdf5

        data = self.config.clips.data
        return None if data is None else hdf5.fingerprint(data)

    def show(self, folder):
        """Show the clips before the training, if there is anything to be shown."""

    def cell_arguments(self):
        """Further arguments of the cell, those that the data decide."""
        return {}

    def e_step(self):
        """The E-step of the data's pixels."""
        from nem_tf import EStep

        differentiable = self.config.cell.gamma_gradient == "on"
        return EStep(self.likelihood, differentiable=differentiable)

    def network(self):
        """The parts of the cell that are networks, as `nem_tf.networks` makes them."""
        from nem_tf import networks

        chosen = self.config.network
        return networks.build(
            self.paper_network if chosen.network == "paper" else chosen.network,
            units=chosen.units or None,
            features=chosen.features or None,
            size=self.size,
            channels=self.channels,
            e_step=self.e_step(),
            object_size=self.object_size,
        )

    def cell(self):
        """The EM cell, with fresh weights.

        Raises:
            ValueError: if there is no such cell or network, or if a setting says what
                the cell does not take.
        """
        from nem_tf import cells

        config, model = self.config, self.config.cell.model
        kind = cells.get(model)
        takes = _arguments_of(kind)
        asked = config.cell.arguments()
        arguments = {name: value for name, value in asked.items() if name in takes}
        _check_unused(config.cell, asked.keys() - takes, model)
        if "encoder" in takes:
            arguments |= self.network()
        else:
            unused = {"network", "features"} - takes
            _check_unused(config.network, sorted(unused), model)
            frame_shape = (*self.size, self.channels)
            arguments |= {"frame_shape": frame_shape, "e_step": self.e_step()}
            of_network = {"units", "features"} - unused
            network = vars(config.network)
            arguments |= {x: network[x] for x in of_network if network[x]}
        own = self.cell_arguments()
        arguments |= {name: own[name] for name in own.keys() & takes}
        return kind(**arguments, components=config.clips.components)

    def model(self):
        """A compiled `NeuralEM` with fresh weights."""
        import keras

        from nem_tf import NeuralEM, losses

        config = self.config
        nem = NeuralEM(
            self.cell(), objects=config.clips.objects, unroll=config.run.unroll
        )
        rate = config.training.learning_rates[0]
        compiled = {"on": True, "off": False}.get(config.run.compile, "auto")
        nem.compile(
            keras.optimizers.Adam(
                rate,
                epsilon=1e-8,
                global_clipnorm=config.training.clip_norm or None,
            ),
            loss=losses.get(config.loss.loss)(**config.loss.arguments()),
            jit_compile=compiled,
        )
        return nem

    def train(self, run):
        """Train each stage from the best weights of the stage before it."""
        from trainers.training import loop

        with run.devices.scope():
            nem = self.model()
            nem.lanes = run.devices.lanes
        self.shares = run.devices.count
        rates = self.config.per_stage("learning_rates")
        epochs = self.config.per_stage("epochs")
        for stage, (rate, most) in enumerate(zip(rates, epochs, strict=True)):
            if stage < run.at.stage:
                continue  # trained before the run was resumed
            name = self.config.clips.stage_name(stage)
            loop.fit(
                run,
                nem,
                functools.partial(self.clips, stage=stage, part=run.devices.part),
                learning_rate=rate,
                epochs=most,
                name=name or self.name.replace("_", " "),
            )


def _arguments_of(kind):
    """The names of the arguments that a class takes, those of its bases included."""
    names = set()
    for one in kind.__mro__:
        if "__init__" in vars(one):
            found = inspect.signature(one.__init__).parameters.values()
            names |= {x.name for x in found}
            if all(x.kind != x.VAR_KEYWORD for x in found):
                break  # what its bases take, it says itself
    return names - set(kind.unused)


def _check_unused(part, names, model):
    """Raise ValueError if settings are not as usual that a cell does not take.

    Args:
        part: `parts.Cell` or `parts.Network`.
        names: of its settings.
        model: what the cell is called.
    """
    usual = type(part)()
    for name in sorted(names):
        if getattr(part, name) != getattr(usual, name):
            raise ValueError(
                f"{name}: expected {getattr(usual, name)} with model {model}, received "
                f"{getattr(part, name)}; leave it out"
            )


def _recorded(path, split, arguments):
    """The clips in a file; too few are a matter of the split's setting."""
    from nem_tf import data

    try:
        return data.recorded(path, split, **arguments)
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
