"""EM iterations as cells of `keras.layers.RNN`: the E-step, and two kinds of M-step."""

from nem_tf.cells.e_step import EStep
from nem_tf.cells.em_cell import EMCell
from nem_tf.cells.nem_cell import NEMCell
from nem_tf.cells.parts import ThetaEncoder, ThetaRecurrence
from nem_tf.cells.rnn_em_cell import RNNEMCell

__all__ = [
    "EMCell",
    "EStep",
    "NEMCell",
    "RNNEMCell",
    "ThetaEncoder",
    "ThetaRecurrence",
]
