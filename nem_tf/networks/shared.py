"""What every network is told about the frames, in the forms that layers take."""

from nem_tf.cells.e_step import EStep


def frame_shape(size, channels):
    """(H, W, C) of `size`, H or (H, W), and `channels`, C."""
    height, width = (size, size) if isinstance(size, int) else size
    return (height, width, channels)


def as_e_step(e_step):
    """An `EStep`, from one or from what it takes: a likelihood or its name."""
    return e_step if isinstance(e_step, EStep) else EStep(e_step)
