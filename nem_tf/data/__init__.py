"""Clips to learn from: static shapes, flying shapes, flying MNIST, recorded files."""

from nem_tf.data.digits import Digits, MNISTNotFound
from nem_tf.data.digits import load as load_digits
from nem_tf.data.hdf5 import recorded
from nem_tf.data.mnist import flying_mnist
from nem_tf.data.shapes import SHAPES, flying_shapes, static_shapes

__all__ = [
    "SHAPES",
    "Digits",
    "MNISTNotFound",
    "flying_mnist",
    "flying_shapes",
    "load_digits",
    "recorded",
    "static_shapes",
]
