"""Clips to learn from: made on the fly, read from files, or at hand as arrays."""

from nem_tf.data.arrays import from_arrays
from nem_tf.data.digits import Digits, MNISTNotFound
from nem_tf.data.digits import load as load_digits
from nem_tf.data.hdf5 import recorded
from nem_tf.data.mnist import flying_mnist
from nem_tf.data.own import OwnClips, from_folder
from nem_tf.data.pipeline import batches
from nem_tf.data.shapes import SHAPES, flying_shapes, static_shapes
from nem_tf.data.sprites import flying_sprites

__all__ = [
    "SHAPES",
    "Digits",
    "MNISTNotFound",
    "OwnClips",
    "batches",
    "flying_mnist",
    "flying_shapes",
    "flying_sprites",
    "from_arrays",
    "from_folder",
    "load_digits",
    "recorded",
    "static_shapes",
]
