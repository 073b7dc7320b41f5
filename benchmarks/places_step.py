"""A training step of our networks, `networks.places` and `networks.tracking`.

    python -m benchmarks.places_step [--rounds 7]

Batch 32, T = 20, the settings of `--preset ours`, metrics included: flying shapes with
K = 3, and flying MNIST with K = 2, on scikit-learn's digits. Beside them the paper's
network on the same clips, and for flying shapes a draft that has `MatchedFilters` as
one would write them at first: a convolution, moments, a softmax, and the gradient that
TensorFlow derives. Every contestant has a process of its own, and they run in turns.
"""

import functools
import math
import sys

import keras
import tensorflow as tf

from benchmarks import arguments
from benchmarks.turns import in_turns, print_ratios
from trainers.machine import machine


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=7)
    sizes = {"steps": 2, "batch_size": 2} if given.tiny else {}
    print(machine())
    for trainer in ("flying_shapes", "flying_mnist"):
        step = functools.partial(functools.partial, prepare, trainer, sizes)
        drafts = {"first draft": step(drafted=True)}
        contestants = drafts if trainer == "flying_shapes" else {}
        contestants["ours"] = step()
        if not given.tiny:  # each takes seconds to compile
            contestants["ours, one lane"] = step(lanes=1)
            contestants["the paper's network"] = step(network="paper")
        seconds = in_turns(
            {f"{trainer}, {name}": each for name, each in contestants.items()},
            given.rounds,
            apart=not given.tiny,
        )
        print()
        print_ratios(seconds, f"{trainer}, {next(iter(contestants))}")
    return 0


def prepare(trainer, sizes, network=None, drafted=False, lanes=None):
    """The step of a trainer's `ours`, as a function that returns the loss.

    Args:
        trainer: "flying_shapes" or "flying_mnist".
        sizes: settings in the place of those of the preset.
        network: None for that of `ours`, or "paper" for the paper's.
        drafted: whether `MatchedFilters` is written as one would at first.
        lanes: of a batch, on default threads; None for what the trainers do.
    """
    from trainers import devices

    chosen = {"network": network} if network else {}
    experiment = _experiment(trainer, {**sizes, **chosen})
    batch_lanes = devices.lanes_of(experiment.config.batch_size)
    if lanes is None:
        devices.share_cores(batch_lanes)
    keras.utils.set_random_seed(0)
    if drafted:
        parts = experiment.parts()
        find, *rest = parts["encoder"].layers
        parts["encoder"] = keras.Sequential([DraftedFilters(find), *rest])
        experiment.parts = lambda: parts
    nem = experiment.model()
    nem.lanes = batch_lanes if lanes is None else lanes
    batch = next(iter(experiment.clips("train")))
    return lambda: nem.train_on_batch(batch, return_dict=True)["loss"]


def _experiment(trainer, settings):
    from trainers import flying_mnist, flying_shapes

    if trainer == "flying_shapes":
        ours = {**flying_shapes.PRESETS["ours"], **settings}
        return flying_shapes.FlyingShapes(flying_shapes.Config(**ours))
    ours = {**flying_mnist.PRESETS["ours"], **settings}
    ours |= {"stages": (500,), "epochs": (30,), "digits": "sklearn-digits"}
    return flying_mnist.FlyingMNIST(flying_mnist.Config(**ours))


class DraftedFilters(keras.layers.Layer):
    """What `MatchedFilters` computes, with its weights, in the ops of a first draft."""

    def __init__(self, find, **kwargs):
        super().__init__(**kwargs)
        self.find = find

    def build(self, images_shape):
        self.find.build(images_shape)
        self.built = True

    def call(self, images):
        find = self.find
        around = (find.margin, find.margin)
        images = tf.pad(images, ((0, 0), around, around, (0, 0)))
        r = tf.nn.conv2d(images, find.kernel.value, 1, "VALID")  # (N, X, Y, F)
        mean, variance = tf.nn.moments(r, (1, 2), keepdims=True)
        u = (r - mean) / tf.sqrt(variance + 1e-3)
        count = math.prod(r.shape[1:])
        p = tf.nn.softmax(tf.reshape(find.scale.value * u, (-1, count)))
        p = find.filters * tf.reshape(p, (-1, *r.shape[1:]))
        found = [tf.reduce_sum(p, 1), tf.reduce_sum(p, 2), tf.math.log(variance + 1e-3)]
        return tf.concat(
            [tf.reshape(x, (-1, math.prod(x.shape[1:]))) for x in found], 1
        )

    def compute_output_shape(self, images_shape):
        return self.find.compute_output_shape(images_shape)


if __name__ == "__main__":
    sys.exit(main())
