"""Which components are used: K need not be the number of objects."""

import numpy as np
from keras import ops

from nem_tf.cells.em_cell import FROM_BLACK

AUTO = "auto"  # K, where the number of objects is not known
MOST = 8  # K then, or the cell's own if that is larger
SHARE = 0.25  # of an object's pixels; a component that wins as many is in the frame
OFTEN = 0.25  # of the frames after the first; a component is used if it is in as many
FIRST = 5  # frames that do not count: components come apart in them


def most(cell):
    """K of `components="auto"`.

    Raises:
        ValueError: if the cell's spare components do not stay empty.
    """
    if not cell.spares:
        raise ValueError(
            "components: expected a number, since this model's components share all "
            f"pixels evenly, received {AUTO!r}; give K, or set nem.cell.object_pixels "
            "to about the pixels of an object (trainers: --object-pixels)"
        )
    return max(MOST, cell.components)


def count(cell, components):
    """K that a call asks for: a number, "auto", or the cell's if None.

    Raises:
        ValueError: if it is no number or below 1, or see `most`.
    """
    return cell.check_components(most(cell) if components == AUTO else components)


def present(cell, segments, x, components):
    """The components that win a quarter of an object's pixels of a frame.

    An object has the cell's `usual_pixels`; where nothing says how many, a K-th of
    those of the frame that are not background. Background is left aside: of a layered
    cell what its segments say, else pixels less than 0.25 away from black.

    Args:
        cell: an `EMCell`, or what has its `layered` and `usual_pixels`.
        segments: integers (..., H, W), as the cell numbers them.
        x: the frames, (..., H, W, C).
        components: K.

    Returns:
        boolean tensor (..., K).
    """
    if cell.layered:
        on = segments > 0
    else:
        on = ops.sum(ops.square(x), -1) > FROM_BLACK**2
    numbers = ops.arange(components, dtype="int32") + int(cell.layered)
    mine = ops.equal(ops.expand_dims(segments, -3), numbers[:, None, None])
    won = ops.logical_and(mine, ops.expand_dims(on, -3))  # (..., K, H, W)
    won = ops.sum(ops.cast(won, "float32"), (-2, -1))  # (..., K)
    usual = cell.usual_pixels or ops.sum(won, -1, keepdims=True) / components
    return won >= ops.maximum(SHARE * usual, 1.0)


def used_components(cell, segments, x, components):
    """The components of a clip that are used.

    Those that are `present` in at least a quarter of the frames after the first five;
    of fewer than ten frames after the first half.

    Args:
        cell, components: see `present`.
        segments: integers (..., T, H, W).
        x: the frames, (..., T, H, W, C).

    Returns:
        NumPy booleans (..., K); their sum is how many are used.
    """
    late = _late(segments)
    segments, x = segments[..., late, :, :], x[..., late, :, :, :]
    there = ops.convert_to_numpy(present(cell, segments, x, components))
    return there.mean(-2) >= OFTEN  # over the frames


def objects_seen(groups):
    """How many labels above 0 are in as many frames, (..., T, H, W) -> int (...)."""
    groups = np.asarray(groups)
    late = groups[..., _late(groups), :, :]
    labels = np.unique(late[late > 0])
    often = [(late == n).any((-2, -1)).mean(-1) >= OFTEN for n in labels]
    return np.sum(often, 0, dtype=int) if often else np.zeros(late.shape[:-3], int)


def _late(segments):
    """The frames that count, of (..., T, H, W)."""
    return slice(min(FIRST, np.shape(segments)[-3] // 2), None)


def only_used(cell, frames, found, background=None):
    """What was found, without the components to spare.

    Components keep their order and are numbered anew; their gamma is divided by its
    sum. K becomes that of the clip that uses most, at least 1; in clips that use fewer
    the last ones are empty: gamma is 0, psi the background.

    Args:
        cell: an `EMCell`.
        frames: (B, T, H, W, C).
        found: a `Segmentation` of them.
        background: of a layered cell, (B, H, W, C).
    """
    components = found.gamma.shape[2]
    background = None if background is None else background[:, None]
    kept = used_components(cell, found.segments, frames, components)  # (B, K)
    none = ~kept.any(1)
    kept[none] = np.eye(components, dtype=bool)[_largest(found.gamma[none])]
    count = int(kept.sum(1).max())
    order = np.argsort(~kept, axis=1, kind="stable")[:, :count]  # those used first
    there = np.take_along_axis(kept, order, 1)[:, None, :, None, None, None]
    order = order[:, None, :, None, None, None]
    gamma = np.take_along_axis(np.asarray(found.gamma), order, 2) * there
    total = gamma.sum(2, keepdims=True)
    even = there / there.sum(2, keepdims=True)
    whole = total > np.finfo("float32").tiny
    gamma = np.where(whole, gamma / np.where(whole, total, 1.0), even)
    gamma = gamma.astype("float32")
    behind = 0.0 if background is None else background[:, None]
    psi = np.where(there, np.take_along_axis(np.asarray(found.psi), order, 2), behind)
    segments = cell.segments(frames, gamma, background)
    return found._replace(segments=segments, gamma=gamma, psi=psi.astype("float32"))


def _largest(gamma):
    """The component that has most of each clip, (B, T, K, H, W, 1) -> (B,)."""
    return gamma.sum((1, 3, 4, 5)).argmax(1)
