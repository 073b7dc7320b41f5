"""Pictures of clips, soft assignments and predictions, and curves of scores.

Arrays are those of one clip, step t being about frame t + 1 of the data:

    x      (T, H, W, C)     clean[1:], in [0, 1]; C is 1 (grey) or 3 (red, green, blue)
    noisy  (T, H, W, C)     what the network saw at step t: frame t with noise
    psi    (T, K, H, W, C)  predictions of x, one per component
    gamma  (T, K, H, W, 1)  assignment of the pixels of x
    groups (T, H, W)        labels of x, 0 for background and overlap

Figures use no global state of Matplotlib and need no display.
"""

from nem_tf.plots.animation import animation
from nem_tf.plots.curves import curves, per_step, quartiles
from nem_tf.plots.drawing import component_colours, image_of, soft_assignment
from nem_tf.plots.groupings import groupings
from nem_tf.plots.heat_maps import heat_maps
from nem_tf.plots.overview import overview

__all__ = [
    "animation",
    "component_colours",
    "curves",
    "groupings",
    "heat_maps",
    "image_of",
    "overview",
    "per_step",
    "quartiles",
    "soft_assignment",
]
