"""Curves: scores against steps, minutes, or numbers of objects.

Figures use no global state of Matplotlib and need no display.
"""

import itertools
import textwrap
import warnings

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from nem_tf import axes
from nem_tf.plots.drawing import DPI, PALETTE, component_colours

_HALF_A_LINE = 55  # letters that fit into a legend's half of the width


def per_step(scores, title, *, label="AMI"):
    """A score at every step: its mean, and the quartiles over clips (Figure 6).

    Args:
        scores: shape (N, T), one row per clip, at most 1; NaN is not counted.
        title: a line on top.
        label: what the score is called.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if `scores` does not have two axes.
    """
    scores = np.asarray(scores)
    axes.check_shape("scores", scores, (None, None))
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        lower, upper = np.nanpercentile(scores, [25, 75], axis=0)  # (T,) each
        mean = np.nanmean(scores, axis=0)  # which warn where nothing is a number
    return quartiles(mean, lower, upper, title, label=label)


def quartiles(mean, lower, upper, title, *, label="AMI"):
    """`per_step` of a mean and its quartiles, shape (T,) each."""
    mean, lower, upper = (np.asarray(curve) for curve in (mean, lower, upper))
    steps = np.arange(1, len(mean) + 1)
    figure, plot = _empty(title)
    blue, of_what = PALETTE[0], "quartiles over clips"
    plot.fill_between(steps, lower, upper, color=blue, alpha=0.2, lw=0, label=of_what)
    plot.plot(steps, mean, color=blue, lw=2, marker=_dots(steps), ms=4, label="mean")
    _write_last(plot, steps, mean, blue)
    plot.set(xlabel="step", ylabel=label, ylim=(min(0.0, lower.min()), 1.02))
    plot.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    plot.legend(loc="lower right", frameon=False)
    return figure


def curves(
    series, title, *, x_label, y_label, lines=None, limits=(0.0, 1.02), log_x=False
):
    """Several curves in one figure, each with its name and its last value.

    Of more than four curves and levels the legend is below the plot, where it covers
    none of them; it then has the last values, too, which would cover each other.

    Args:
        series: dict from a name to (x, y), or (x, y, lower, upper) for a band around
            the curve, each of one axis.
        title: a line on top.
        x_label, y_label: names of the axes, with units.
        lines: dict from a name to a level, drawn dashed and named in the legend.
        limits: of y; None for what the curves need.
        log_x: whether x is drawn by its logarithm.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, plot = _empty(title)
    lines = lines or {}
    names = len(series) + len(lines)
    crowded = names > 4
    colours = component_colours(len(series))
    for (name, (x, y, *band)), colour in zip(series.items(), colours, strict=True):
        label = f"{name}: {_number(y[-1])}" if crowded else name
        plot.plot(x, y, color=colour, lw=2, marker=_dots(x), ms=4, label=label)
        if band:
            plot.fill_between(x, *band, color=colour, alpha=0.2, lw=0)
        if not crowded:
            _write_last(plot, x, y, colour)
    plot.set(xlabel=x_label, ylabel=y_label)
    if limits:
        plot.set_ylim(*limits)
    if log_x:
        plot.set_xscale("log")
        plot.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        plot.xaxis.set_major_formatter("{x:g}")
        plot.xaxis.set_minor_formatter(NullFormatter())
    elif all(np.all(np.asarray(x) % 1 == 0) for x, *_ in series.values()):
        plot.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    dashes = itertools.cycle(["--", ":", "-.", (0, (8, 3))])
    for (name, level), dash in zip(lines.items(), dashes, strict=False):
        plot.axhline(level, color="0.4", ls=dash, lw=1, label=name)
    if not crowded:
        plot.legend(loc="best", frameon=False, fontsize=9)
    else:
        labels = plot.get_legend_handles_labels()[1]
        columns = 2 if max(map(len, labels)) <= _HALF_A_LINE else 1
        figure.set_figheight(figure.get_figheight() + 0.2 * names / columns)
        figure.legend(
            loc="outside lower left", ncols=columns, frameon=False, fontsize=8
        )
    return figure


def _empty(title):
    figure = Figure(figsize=(7.0, 4.0), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.add_subplot()
    plot.set_title("\n".join(textwrap.wrap(title, 70)), loc="left", fontsize=12)
    plot.spines[["top", "right"]].set_visible(False)
    plot.grid(axis="y", alpha=0.3)
    return figure, plot


def _dots(x):
    return "o" if len(x) <= 30 else ""


def _number(value):
    """Scores with three decimals; what is larger, nats for example, with one."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _write_last(plot, x, y, colour):
    plot.annotate(
        _number(y[-1]),
        (x[-1], y[-1]),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=colour,
    )
