"""How well a component draws the part of its object that others cover.

Objects compose by OR or maximum: a pixel that several of them cover belongs to each.
AMI leaves such pixels out. Here each object is looked for in the prediction of the one
component that claims most of its visible pixels.
"""

from typing import NamedTuple

import numpy as np

DRAWN = 0.5  # psi from here on counts as drawn; digits cover a pixel from 0.5 on, too


class Drawn(NamedTuple):
    """Pixels drawn and pixels there are, summed over objects; each of shape (...).

    covered: of the object and of others as well.
    visible: of the object alone.
    foreign: of other objects alone.
    union: of the object, or drawn; `whole` of them are both.
    """

    covered_drawn: np.ndarray
    covered: np.ndarray
    visible_drawn: np.ndarray
    visible: np.ndarray
    foreign_drawn: np.ndarray
    foreign: np.ndarray
    whole: np.ndarray
    union: np.ndarray


def drawn(psi, table, masks) -> Drawn:
    """Count the pixels of each object that its component predicts.

    Args:
        psi: predictions, shape (..., K, H, W, C).
        table: `scores.contingency_table` of the same images, shape (..., K, n).
        masks: 1 where object n is, in view or covered, shape (..., n, H, W).

    Returns:
        counts, float64. An object without a visible pixel has no component and is left
        out.
    """
    table, masks = np.asarray(table), np.asarray(masks) > 0
    image = np.asarray(psi).mean(axis=-1) >= DRAWN  # (..., K, H, W)
    owner = table.argmax(axis=-2)[..., None, None]  # (..., n, 1, 1)
    own = np.take_along_axis(image, owner, axis=-3)  # (..., n, H, W)
    covers = masks.sum(axis=-3, keepdims=True)  # (..., 1, H, W)
    seen = (table.sum(axis=-2) > 0)[..., None, None]  # (..., n, 1, 1)
    areas = {
        "covered": masks & (covers > 1),
        "visible": masks & (covers == 1),
        "foreign": ~masks & (covers == 1),
    }
    counts = {}
    for name, area in areas.items():
        counts[f"{name}_drawn"] = _sum(area & own & seen)
        counts[name] = _sum(area & seen)
    whole, union = _sum(masks & own & seen), _sum((masks | own) & seen)
    return Drawn(**counts, whole=whole, union=union)


def _sum(pixels):
    """Over objects and pixels: (..., n, H, W) -> (...)."""
    return pixels.sum(axis=(-3, -2, -1)).astype("float64")
