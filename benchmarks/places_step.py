"""A training step of our networks, `networks.places` and `networks.tracking`.

    python -m benchmarks.places_step [--rounds 7]

Batch 32, T = 20, the settings of `--recipe ours`, metrics included: flying shapes with
K = 3, and flying MNIST with K = 2, on scikit-learn's digits. The draft has
`MatchedFilters` and `TrackedFilters` as one would write them at first: a convolution,
moments, a softmax, and the gradient that TensorFlow derives. Beside them the paper's
network on the same clips. Every contestant has a process of its own, and they run in
turns.
"""

import functools
import math
import sys
from unittest import mock

import keras
import tensorflow as tf

from benchmarks import arguments
from benchmarks.turns import in_turns, print_ratios
from nem_tf.networks.tracking import ANYWHERE, FAINT, TrackedFilters
from trainers.training.machine import machine


def main(given=None):
    given = arguments.parse(__doc__, given, rounds=7)
    sizes = {"steps": 2, "batch_size": 2} if given.tiny else {}
    print(machine())
    for trainer in ("flying_shapes", "flying_mnist"):
        step = functools.partial(functools.partial, prepare, trainer, sizes)
        contestants = {"first draft": step(drafted=True), "ours": step()}
        if not given.tiny:  # each takes seconds to compile
            contestants["ours, one lane"] = step(lanes=1)
            contestants["the paper's network"] = step(network="paper")
        seconds = in_turns(
            {f"{trainer}, {name}": each for name, each in contestants.items()},
            given.rounds,
            apart=not given.tiny,
        )
        print()
        print_ratios(seconds, f"{trainer}, first draft")
    return 0


def prepare(trainer, sizes, network=None, drafted=False, lanes=None):
    """The step of a trainer's `ours`, as a function that returns the loss.

    Args:
        trainer: "flying_shapes" or "flying_mnist".
        sizes: settings in the place of those of the recipe.
        network: None for that of `ours`, or "paper" for the paper's.
        drafted: whether the filters are written as one would at first.
        lanes: of a batch, on default threads; None for what the trainers do.
    """
    from trainers.training import devices

    chosen = {"network": network} if network else {}
    experiment = _experiment(trainer, {**sizes, **chosen})
    batch_lanes = devices.lanes_of(experiment.config.clips.batch_size)
    if lanes is None:
        devices.share_cores(batch_lanes)
    keras.utils.set_random_seed(0)
    if drafted:
        with mock.patch("nem_tf.networks.tracking.TrackedFilters", DraftedTracking):
            parts = experiment.network()
        if trainer == "flying_shapes":
            find, *rest = parts["encoder"].layers
            parts["encoder"] = keras.Sequential([DraftedFilters(find), *rest])
        experiment.network = lambda: parts
    nem = experiment.model()
    nem.lanes = batch_lanes if lanes is None else lanes
    batch = next(iter(experiment.clips("train")))
    return lambda: nem.train_on_batch(batch, return_dict=True)["loss"]


def _experiment(trainer, settings):
    from trainers import flying_mnist, flying_shapes

    if trainer == "flying_shapes":
        kind = flying_shapes.FlyingShapes
        return kind(kind.configured(recipe="ours", **settings))
    kind = flying_mnist.FlyingMNIST
    digits = {"stages": (500,), "epochs": (30,), "digits": "sklearn-digits"}
    return kind(kind.configured(recipe="ours", **settings, **digits))


class DraftedFilters(keras.layers.Layer):
    """What `MatchedFilters` computes, with its weights, in the ops of a first draft."""

    def __init__(self, find, **kwargs):
        super().__init__(**kwargs)
        self.find = find

    def build(self, images_shape):
        self.find.build(images_shape)
        self.built = True

    def call(self, images):
        found, _ = _look(self.find, _with_margin(self.find, images))
        return _flat(found)

    def compute_output_shape(self, images_shape):
        return self.find.compute_output_shape(images_shape)


class DraftedTracking(TrackedFilters):
    """`TrackedFilters` in the ops of a first draft."""

    def call(self, images, theta):
        images = _with_margin(self, images)
        found, seen = _look(self, images)
        down, across = self.places
        p, q = theta[:, -down - across : -across], theta[:, -across:]
        expected = p[:, :, None] * q[:, None] + ANYWHERE
        trust = self.trust.value
        place = trust[0] * tf.math.log(seen + FAINT)
        place = _flat([place + trust[1] * tf.math.log(expected)])
        place = tf.reshape(tf.nn.softmax(place), (-1, down, across))
        one = (1, 1, 1, 1)
        windows = tf.image.extract_patches(
            images, (1, *self.size, 1), one, one, "VALID"
        )  # (N, X, Y, h w C)
        glimpse = tf.einsum("nxy,nxyw->nw", place, windows)
        rows, columns = tf.reduce_sum(place, 2), tf.reduce_sum(place, 1)
        return _flat([*found, glimpse, rows, columns])


def _with_margin(find, images):
    around = (find.margin, find.margin)
    return tf.pad(images, ((0, 0), around, around, (0, 0)))


def _look(find, images):
    """What `MatchedFilters` returns, in parts, and the share of each place."""
    r = tf.nn.conv2d(images, find.kernel.value, 1, "VALID")  # (N, X, Y, F)
    mean, variance = tf.nn.moments(r, (1, 2), keepdims=True)
    u = (r - mean) / tf.sqrt(variance + 1e-3)
    p = tf.nn.softmax(_flat([find.scale.value * u]))
    p = tf.reshape(p, (-1, *r.shape[1:]))
    rows, columns = (
        find.filters * tf.reduce_sum(p, 1),
        find.filters * tf.reduce_sum(p, 2),
    )
    return [rows, columns, tf.math.log(variance + 1e-3)], tf.reduce_sum(p, 3)


def _flat(parts):
    """(N, ...) each, side by side: (N, F)."""
    return tf.concat([tf.reshape(x, (-1, math.prod(x.shape[1:]))) for x in parts], 1)


if __name__ == "__main__":
    sys.exit(main())
