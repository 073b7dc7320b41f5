"""Curves: scores against steps, minutes, or numbers of objects.

Figures use no global state of Matplotlib and need no display.
"""

import textwrap
import warnings

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from nem_tf import axes
from nem_tf.plots.drawing import DPI, PALETTE, component_colours

_HALF_A_LINE = 48  # letters that fit into half of the legend's width
_APART = 0.06  # of the height: texts beside the plot that are closer would touch


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
    _write_beside(plot, _number(mean[-1]), mean[-1], blue, steps[-1])
    plot.set(xlabel="step", ylabel=label, ylim=(min(0.0, lower.min()), 1.02))
    plot.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    plot.legend(loc="lower right", frameon=False)
    return figure


def curves(
    series, title, *, x_label, y_label, lines=None, limits=(0.0, 1.02), log_x=False
):
    """Several curves in one figure, each with its name and its last value.

    The legend is below the plot, where it covers nothing. Last values stand beside
    their curves, or in the legend where they would touch each other or a line's text.

    Args:
        series: dict from a name to (x, y), or (x, y, lower, upper) for a band around
            the curve, each of one axis.
        title: a line on top.
        x_label, y_label: names of the axes, with units.
        lines: dict from a text to a level, or to a level and the name of a curve. The
            level is drawn dashed, in grey or in that curve's colour, and the text
            stands at its right end.
        limits: of y; None for what the curves need.
        log_x: whether x is drawn by its logarithm.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, plot = _empty(title)
    colours = dict(zip(series, component_colours(len(series)), strict=True))
    for name, (x, y, *band) in series.items():
        colour = colours[name]
        plot.plot(x, y, color=colour, lw=2, marker=_dots(x), ms=4, label=name)
        if band:
            plot.fill_between(x, *band, color=colour, alpha=0.2, lw=0)
    plot.set(xlabel=x_label, ylabel=y_label)
    if limits:
        plot.set_ylim(*limits)
    _set_x(plot, [x for x, *_ in series.values()], log_x)
    _draw_lines(plot, lines or {}, colours)
    height = np.ptp(plot.get_ylim())
    last = {name: (x[-1], y[-1]) for name, (x, y, *_) in series.items()}
    if lines or _closest(y for _, y in last.values()) < _APART * height:
        for curve, (_, y) in zip(plot.lines, last.values(), strict=False):
            curve.set_label(f"{curve.get_label()}: {_number(y)}")
    else:
        for name, (x, y) in last.items():
            _write_beside(plot, _number(y), y, colours[name], x)
    _write_legend(figure, plot)
    return figure


def _empty(title):
    figure = Figure(figsize=(7.0, 4.0), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.add_subplot()
    plot.set_title("\n".join(textwrap.wrap(title, 70)), loc="left", fontsize=12)
    plot.spines[["top", "right"]].set_visible(False)
    plot.grid(axis="y", alpha=0.3)
    return figure, plot


def _set_x(plot, values, log_x):
    """Ticks at round numbers, and at whole ones where x has only such."""
    if log_x:
        plot.set_xscale("log")
        plot.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        plot.xaxis.set_major_formatter("{x:g}")
        plot.xaxis.set_minor_formatter(NullFormatter())
    elif all(np.all(np.asarray(x) % 1 == 0) for x in values):
        plot.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _draw_lines(plot, lines, colours):
    """Dashed levels with their texts, each a bit higher where it would touch one."""
    apart = _APART * np.ptp(plot.get_ylim())
    below = -np.inf
    levels = {text: np.atleast_1d(np.array(of, object)) for text, of in lines.items()}
    for text, (level, *curve) in sorted(levels.items(), key=lambda one: one[1][0]):
        colour = colours[curve[0]] if curve else "0.4"
        plot.axhline(level, color=colour, ls="--", lw=1)
        below = max(level, below + apart)
        _write_beside(plot, text, below, colour, size=9)


def _write_legend(figure, plot):
    """Below the plot, in two columns where the names are short enough."""
    _, names = plot.get_legend_handles_labels()
    columns = 2 if max(map(len, names)) <= _HALF_A_LINE and len(names) > 1 else 1
    rows = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * rows)
    figure.legend(loc="outside lower left", ncols=columns, frameon=False, fontsize=9)


def _dots(x):
    return "o" if len(x) <= 30 else ""


def _number(value):
    """Scores with three decimals; what is larger, nats for example, with one."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _closest(values):
    return np.diff(sorted(values)).min(initial=np.inf)


def _write_beside(plot, text, y, colour, x=None, size=10):
    """A text right of the point (x, y); without x, right of the plot."""
    plot.annotate(
        text,
        (1.0, y) if x is None else (x, y),
        xycoords=("axes fraction", "data") if x is None else "data",
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontsize=size,
    )
