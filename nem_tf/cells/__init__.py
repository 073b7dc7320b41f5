"""EM iterations as cells of `keras.layers.RNN`: the E-step, and two kinds of M-step."""

from nem_tf.cells.e_step import EStep
from nem_tf.cells.em_cell import EMCell
from nem_tf.cells.nem_cell import NEMCell
from nem_tf.cells.rnn_em_cell import RNNEMCell
from nem_tf.cells.window_cell import WindowCell
from nem_tf.layers.parts import ThetaEncoder, ThetaRecurrence

CELLS: dict[str, type[EMCell]] = {
    "rnn-em": RNNEMCell,
    "n-em": NEMCell,
    "windows": WindowCell,
}


def get(name):
    """The kind of cell that a key of `CELLS` stands for.

    Raises:
        ValueError: if it is none.
    """
    if name not in CELLS:
        raise ValueError(f"model: expected {' or '.join(CELLS)}, received {name!r}")
    return CELLS[name]


__all__ = [
    "CELLS",
    "EMCell",
    "EStep",
    "NEMCell",
    "RNNEMCell",
    "ThetaEncoder",
    "ThetaRecurrence",
    "WindowCell",
    "get",
]
