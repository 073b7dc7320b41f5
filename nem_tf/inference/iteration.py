"""One frame through a cell, outside of training."""


def iterate(cell, x, state):
    """gamma of a frame, as `NeuralEM.call` has it, and the new state.

    Args:
        cell: of a `NeuralEM`.
        x: frames, shape `(B, H, W, C)`, pixels in [0, 1].
        state: list of tensors, as the cell has it.

    Returns:
        gamma `(B, K, H, W, 1)` and the list of the new state.
    """
    gamma, new = cell.iterate(x, x, list(state))
    if cell.begins:  # then its gamma is not what was predicted alone
        gamma = cell.assign_next(x, state)
    return gamma, new
