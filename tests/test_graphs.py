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
    names = [text.get_text() for text in plot.get_legend().get_texts()]
    assert names == ["one", "two", "the paper"]
    assert len(plot.collections) == 1
    words = [text.get_text() for text in plot.texts]
    assert words == ["0.833", "0.625"]
    assert plots.image_of(figure).ndim == 3


def test_many_names_stand_below_the_curves():
    x = np.arange(1, 6)
    series = {f"curve {i}": (x, x / i) for i in range(1, 4)}
    levels = {"the paper": 0.8, "another paper": 0.9}
    figure = plots.curves(series, "", x_label="", y_label="", lines=levels)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    with_last = ["curve 1: 5.000", "curve 2: 2.500", "curve 3: 1.667"]
    assert names == [*with_last, *levels]
    assert not figure.axes[0].texts
    figure.canvas.draw()
    assert legend.get_window_extent().y1 < figure.axes[0].get_window_extent().y0
    long = {f"{'a long name ' * 5}{i}": (x, x / i) for i in range(1, 6)}
    figure = plots.curves(long, "", x_label="", y_label="")
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1
    figure = plots.curves(series, "", x_label="", y_label="", lines=levels)
    dashed = figure.axes[0].lines[-2:]
    assert dashed[0].get_linestyle() != dashed[1].get_linestyle()
