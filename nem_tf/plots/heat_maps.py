"""Heat maps: scores against two numbers, as those of objects and of components.

Figures use no global state of Matplotlib and need no display.
"""

import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nem_tf import axes
from nem_tf.plots.drawing import DPI, INK, PALETTE

_CELL = (0.42, 0.36)  # width and height, inches; "0.97" fits at `_SIZE` points
_SIZE = 9
_BESIDE = 0.45  # inches of a panel beside its cells: names of rows, and a gap
_ABOVE_AND_BELOW = 1.2  # inches, for titles and names of columns
_LEAST_WIDTH = 5.6  # inches, as of an overview
_LINE = 0.2  # inches, the height of a line of the title
_LETTERS = 11  # of the title, an inch
_DARK = 0.55  # from here on to 1, what is written on a cell is white
_BLUES = LinearSegmentedColormap.from_list("blues", [(1.0, 1.0, 1.0), PALETTE[0]])


def heat_maps(
    tables, title, *, rows, columns, row_label, column_label, marked=None, limits=None
):
    """One heat map a score, side by side, with the numbers in their cells.

    The larger, the darker. What is no number is a grey cell with a dash.

    Args:
        tables: dict from a score's name, which stands above its map, to its values,
            shape (R, N), R rows and N columns.
        title: a line on top.
        rows, columns: what stands beside each row, R of them, and below each column, N.
        row_label, column_label: names of the two axes.
        marked: row and column, from 0, of a cell that gets a frame; None for none.
        limits: dict from a score's name to the values that are white and darkest; by
            default the least and the largest in its table.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is no table, or one has another shape.
    """
    shape = len(rows), len(columns)
    if not tables or 0 in shape:
        raise ValueError(
            f"tables: expected at least one, of at least one cell, received "
            f"{len(tables)} of shape {shape}"
        )
    tables = {name: np.asarray(table, float) for name, table in tables.items()}
    for name, table in tables.items():
        axes.check_shape(name, table, shape)
    width = max(len(tables) * (len(columns) * _CELL[0] + _BESIDE), _LEAST_WIDTH)
    lines = textwrap.wrap(title, int(width * _LETTERS))
    height = len(rows) * _CELL[1] + _ABOVE_AND_BELOW + _LINE * len(lines)
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(lines), x=0.05 / width, ha="left", fontsize=12)
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for panel, (name, table) in zip(panels, tables.items(), strict=True):
        _draw(panel, table, (limits or {}).get(name))
        panel.set_title(name, fontsize=11)
        panel.set_xticks(range(len(columns)), columns)
        panel.set_yticks(range(len(rows)), rows)
        panel.set_xlabel(column_label)
        if marked is not None:
            corner = (marked[1] - 0.5, marked[0] - 0.5)
            panel.add_patch(
                Rectangle(corner, 1, 1, fill=False, ec=PALETTE[1], lw=2.5, zorder=3)
            )
    panels[0].set_ylabel(row_label)
    return figure


def _draw(panel, table, limits):
    """The cells of one table, and their numbers."""
    known = table[np.isfinite(table)]
    least, most = limits or (known.min(initial=np.inf), known.max(initial=-np.inf))
    level = (
        np.zeros_like(table) if not most > least else (table - least) / (most - least)
    )
    level = np.clip(level, 0.0, 1.0)
    panel.set_facecolor("0.93")  # seen where there is no number
    panel.imshow(
        np.ma.masked_invalid(np.where(np.isfinite(table), level, np.nan)),
        cmap=_BLUES,
        vmin=0.0,
        vmax=1.0,
        aspect="auto",
        interpolation="nearest",
    )
    panel.tick_params(length=0)
    panel.set_xticks(np.arange(table.shape[1] + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(table.shape[0] + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="white", lw=1)
    panel.tick_params(which="minor", length=0)
    for side in panel.spines.values():
        side.set_visible(False)
    for (row, column), value in np.ndenumerate(table):
        dark = np.isfinite(value) and level[row, column] >= _DARK
        panel.text(
            column,
            row,
            _number(value),
            ha="center",
            va="center",
            fontsize=_SIZE,
            color="white" if dark else INK,
        )


def _number(value):
    """Two decimals below 10, one below 100, as fits into a cell."""
    if not np.isfinite(value):
        return "–"
    size = abs(value)
    return f"{value:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"
