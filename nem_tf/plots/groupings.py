"""Still images, and how models group them."""

import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nem_tf import axes
from nem_tf.plots.drawing import CELL, DPI, INK, framed, soft_assignment
from nem_tf.scores.matching import order_of_objects


def groupings(images, gammas, title, *, groups=None):
    """Still images and how models group their pixels, in the layout of Figure 3.

    The first row shows the images, the others one model each; a column is an image.
    Where nothing is drawn in the image, the soft assignment is shown faintly.

    Args:
        images: shape (N, H, W, 1), in [0, 1].
        gammas: dict from the name of a model to its soft assignment (N, K, H, W, 1).
        title: a line on top.
        groups: labels (N, H, W), to give components the colours of their objects.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not belong together.
    """
    images = np.asarray(images, np.float32)
    axes.check_shape("images", images, (None, None, None, 1))
    rows = [("input x", images)]
    for name, gamma in gammas.items():
        gamma = np.array(gamma, np.float32)
        axes.check_shape("gamma", gamma, (len(images), None, *images.shape[1:3], 1))
        if groups is not None:
            for image, labels in enumerate(groups):
                order = order_of_objects(labels[None], gamma[image : image + 1])
                gamma[image] = gamma[image, order]
        faint = 0.35 + 0.65 * images
        rows.append((name, 1.0 - faint * (1.0 - soft_assignment(gamma))))
    scale = -(-CELL // images.shape[2])
    figure = Figure(figsize=(1.1 * len(images) + 1.4, 1.15 * len(rows) + 0.6), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    figure.suptitle("\n".join(textwrap.wrap(title, 16 * len(images))), fontsize=11)
    panels = figure.subplots(len(rows), len(images), squeeze=False)
    for (name, pictures), line in zip(rows, panels, strict=True):
        for column, (picture, panel) in enumerate(zip(pictures, line, strict=True)):
            cell = framed(picture, INK, scale, border=2, gap=2)
            panel.imshow(cell, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            for side in panel.spines.values():
                side.set_visible(False)
            if name == rows[-1][0]:
                panel.set_xlabel(f"({'abcdefghijklmnopqrstuvwxyz'[column % 26]})")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
    return figure
