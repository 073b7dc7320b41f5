"""The layers that the networks need and Keras does not have.

Those that read the weights many times per clip prepare them once: `layers.prepared`.
"""

from nem_tf.layers.convolutions import HalvingConv2D, UpsampleConv2D
from nem_tf.layers.dense import Dense, SkipDense
from nem_tf.layers.normalization import InputNormalization, LayerNorm
from nem_tf.layers.recurrence import GatedRecurrence, Recurrence

__all__ = [
    "Dense",
    "GatedRecurrence",
    "HalvingConv2D",
    "InputNormalization",
    "LayerNorm",
    "Recurrence",
    "SkipDense",
    "UpsampleConv2D",
]
