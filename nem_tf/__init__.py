"""Neural Expectation Maximization (Greff, van Steenkiste, Schmidhuber, 2017) in Keras.

from nem_tf import NeuralEM, NEMLoss, RNNEMCell, data, networks

nem = NeuralEM(RNNEMCell(**networks.flying_shapes(), components=3))
nem.compile("adam", loss=NEMLoss("bernoulli"))
nem.fit(data.flying_shapes("train", objects=3, components=3))
found = nem.segment(frames)
"""

from importlib import metadata

from nem_tf import (
    axes,
    data,
    graphs,
    likelihoods,
    losses,
    metrics,
    networks,
    plots,
    preset,
)
from nem_tf.e_step import EStep
from nem_tf.losses import NEMLoss
from nem_tf.metrics import AdjustedRandIndex
from nem_tf.model import NeuralEM, Segmentation
from nem_tf.mutual_information import adjusted_mutual_information
from nem_tf.nem_cell import NEMCell
from nem_tf.rnn_em_cell import RNNEMCell

__version__ = metadata.version("nem-tf")

__all__ = [
    "AdjustedRandIndex",
    "EStep",
    "NEMCell",
    "NEMLoss",
    "NeuralEM",
    "RNNEMCell",
    "Segmentation",
    "adjusted_mutual_information",
    "axes",
    "data",
    "graphs",
    "likelihoods",
    "losses",
    "metrics",
    "networks",
    "plots",
    "preset",
]
