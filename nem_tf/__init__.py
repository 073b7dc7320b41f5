"""Neural Expectation Maximization (Greff, van Steenkiste, Schmidhuber, 2017) in Keras.

A model is trained on clips, and then groups the pixels of others:

    from nem_tf import NeuralEM, NEMLoss, RNNEMCell, data, networks

    nem = NeuralEM(RNNEMCell(**networks.flying_shapes(), components=3))
    nem.compile("adam", loss=NEMLoss())
    nem.fit(data.flying_shapes("train", objects=3, components=3))
    found = nem.segment(frames)
"""

from importlib import metadata

from nem_tf import (
    axes,
    cells,
    data,
    inference,
    layers,
    likelihoods,
    losses,
    networks,
    plots,
    preset,
    scores,
)
from nem_tf.cells import EStep, NEMCell, RNNEMCell
from nem_tf.inference import Segmentation, Stream
from nem_tf.losses import NEMLoss
from nem_tf.model import NeuralEM
from nem_tf.scores import AdjustedRandIndex, adjusted_mutual_information

__version__ = metadata.version("nem-tf")

__all__ = [
    "AdjustedRandIndex",
    "EStep",
    "NEMCell",
    "NEMLoss",
    "NeuralEM",
    "RNNEMCell",
    "Segmentation",
    "Stream",
    "adjusted_mutual_information",
    "axes",
    "cells",
    "data",
    "inference",
    "layers",
    "likelihoods",
    "losses",
    "networks",
    "plots",
    "preset",
    "scores",
]
