"""Curves: what is drawn, and at which numbers."""

import numpy as np
import pytest

from nem_tf import plots


def test_per_step_has_mean_and_quartiles(rng):
    scores = rng.random((11, 5))
    figure = plots.per_step(scores, "made-up scores")
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(line.get_ydata(), scores.mean(axis=0))
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(band.max(), np.percentile(scores, 75, axis=0).max())
    assert plots.image_of(figure).ndim == 3
    with pytest.raises(ValueError, match="scores: expected shape"):
        plots.per_step(scores[0], "one clip")


def test_curves_have_names_bands_and_levels(rng):
    x = np.arange(1, 6)
    series = {"one": (x, x / 6), "two": (x, x / 8, x / 10, x / 7)}
    figure = plots.curves(
        series, "made up", x_label="step", y_label="share", lines={"the paper": 0.8}
    )
    plot = figure.axes[0]
    assert (plot.get_xlabel(), plot.get_ylabel()) == ("step", "share")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["one: 0.833", "two: 0.625"]
    assert len(plot.collections) == 1
    assert [text.get_text() for text in plot.texts] == ["the paper"]
    assert plots.image_of(figure).ndim == 3


def test_last_values_stand_beside_curves_that_end_apart():
    x = np.arange(1, 6)
    apart = {"one": (x, x / 6), "two": (x, x / 8)}
    figure = plots.curves(apart, "", x_label="", y_label="")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.833", "0.625"]
    near = {"one": (x, x / 6), "two": (x, x / 6.1)}
    figure = plots.curves(near, "", x_label="", y_label="")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert not figure.axes[0].texts and names == ["one: 0.833", "two: 0.820"]


def test_names_stand_below_the_curves():
    x = np.arange(1, 6)
    for name in ("curve", "a long name " * 5):
        series = {f"{name} {i}": (x, x / i) for i in range(1, 6)}
        figure = plots.curves(series, "", x_label="", y_label="")
        figure.canvas.draw()
        legend = figure.legends[0].get_window_extent()
        plot = figure.axes[0].get_tightbbox()
        assert legend.y1 < plot.y0 and legend.x1 <= figure.bbox.x1


def test_levels_have_their_curves_colour_and_texts_that_do_not_touch():
    x = np.arange(1, 6)
    series = {"one": (x, x / 6), "two": (x, x / 8)}
    lines = {"above": (0.82, "two"), "below": 0.81, "far": 0.3}
    figure = plots.curves(series, "", x_label="", y_label="", lines=lines)
    plot = figure.axes[0]
    dashed = {one.get_ydata()[0]: one for one in plot.lines[2:]}
    assert all(one.get_linestyle() == "--" for one in dashed.values())
    assert tuple(dashed[0.82].get_color()) == tuple(plot.lines[1].get_color())
    assert dashed[0.81].get_color() == dashed[0.3].get_color() == "0.4"
    figure.canvas.draw()
    boxes = [one.get_window_extent() for one in plot.texts]
    assert [one.get_text() for one in plot.texts] == ["far", "below", "above"]
    assert all(a.y1 <= b.y0 for a, b in zip(boxes[:-1], boxes[1:], strict=True))
    assert min(one.x0 for one in boxes) > plot.get_window_extent().x1
