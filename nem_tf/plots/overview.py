"""One clip at a glance."""

import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nem_tf.plots.drawing import (
    CELL,
    DPI,
    INK,
    checked,
    component_colours,
    framed,
    soft_assignment,
)


def overview(
    x,
    psi,
    gamma,
    *,
    title,
    noisy=None,
    steps=None,
    groups=None,
    max_columns=20,
):
    """One clip at a glance, in the layout of Figures 4 and 7.

    The top row is the soft assignment; then each component's next-step prediction, in
    a frame of its colour; then the input that was predicted; and, if given, the noisy
    frames that the network saw and the true groups. One column per step.

    Args:
        x, psi, gamma, noisy, groups: see `nem_tf.plots`.
        title: a line on top; say where the clip comes from.
        steps: which steps to show, counted from 1; by default all of them, or if they
            are more than `max_columns` every second, third, ..., up to the last.
        max_columns: see `steps`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not belong together, or `steps` are not in the clip.
    """
    arrays = checked(x, psi, gamma, noisy, groups)
    length = len(arrays["psi"])
    if steps is None:
        columns = np.arange(length, 0, -length // max_columns)[::-1]
    else:
        columns = np.asarray(steps, int)
    if not columns.size or columns.min() < 1 or columns.max() > length:
        raise ValueError(f"steps: expected some of 1 to {length}, received {steps}")
    chosen = {name: array[columns - 1] for name, array in arrays.items()}
    rows = _rows(**chosen)

    scale = -(-CELL // arrays["x"].shape[2])
    strips = []
    for _, colour, images in rows:
        cells = [framed(image, colour, scale, border=2, gap=2) for image in images]
        strips.append(np.concatenate(cells, axis=1))
    picture = np.concatenate(strips)  # (rows * cell height, columns * cell width, 3)

    left, right, below = 190, 14, 10  # screen pixels around the picture
    width = max(left + picture.shape[1] + right, 560)
    lines = textwrap.wrap(title, width // 9)
    above = 40 + 20 * len(lines)
    height = above + picture.shape[0] + below
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    box = (left, below, picture.shape[1], picture.shape[0])
    panel = figure.add_axes(tuple(np.divide(box, (width, height) * 2)))
    panel.imshow(picture, interpolation="nearest", aspect="auto")
    panel.set_axis_off()
    cell_height, cell_width = strips[0].shape[0], picture.shape[1] / len(columns)
    for row, (label, colour, _) in enumerate(rows):
        y = (row + 0.5) * cell_height
        panel.text(-14, y, label, ha="right", va="center", fontsize=10, color=INK)
        if colour is not INK:  # the key: a bar of the component's colour
            corner, size = (-8, row * cell_height + 2), (7, cell_height - 4)
            panel.add_patch(Rectangle(corner, *size, color=colour, lw=0, clip_on=False))
    for column, step in enumerate(columns):
        middle = (column + 0.5) * cell_width
        panel.text(
            middle, -5, str(step), ha="center", va="bottom", fontsize=10, color=INK
        )
    panel.text(-14, -5, "step", ha="right", va="bottom", fontsize=10, color=INK)
    top = 1 - 10 / height
    figure.text(14 / width, top, "\n".join(lines), va="top", fontsize=12, color=INK)
    return figure


def _rows(x, psi, gamma, noisy=None, groups=None):
    """The rows of `overview`: label, colour of the frame, images (T, H, W, 1 or 3)."""
    colours = component_colours(psi.shape[1])
    rows = [("soft assignment γ", INK, soft_assignment(gamma))]
    for k, colour in enumerate(colours):
        rows.append((f"prediction of\ncomponent {k + 1}", colour, psi[:, k]))
    rows.append(("input x", INK, x))
    if noisy is not None:
        rows.append(("noisy input seen\n(one frame earlier)", INK, noisy))
    if groups is not None:
        rows.append(("true groups\n(black: not scored)", INK, _group_colours(groups)))
    return rows


def _group_colours(groups):
    """Labels (T, H, W) as colours (T, H, W, 3): greys on black, not the components'."""
    objects = max(int(groups.max()), 1)
    level = 0.35 + 0.65 * groups / objects
    return np.where(groups > 0, level, 0.0)[..., None].repeat(3, axis=-1)
