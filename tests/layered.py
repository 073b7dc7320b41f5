"""A tiny model of layers, and clips of two objects before a slope."""

import numpy as np

from nem_tf import NEMLoss, NeuralEM
from nem_tf.cells import WindowCell

H, W, C, K, T = 16, 20, 3, 3, 11


def model():
    """A compiled model with fresh weights."""
    sizes = {"units": 8, "features": 16, "grid": 5, "object_size": 6}
    nem = NeuralEM(
        WindowCell((H, W, C), "gaussian", components=K, background="still", **sizes)
    )
    nem.compile("adam", loss=NEMLoss())
    return nem


def scene(size=(H, W), steps=T):
    """Two discs that cross an even slope, one to the right and one to the left.

    Args:
        size: (h, w), pixels.
        steps: how many frames.

    Returns:
        float32 frames (T, h, w, 3), the background (h, w, 3), and int labels (T, h, w).
    """
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    slope = 0.2 + 0.25 * rows / height + 0.16 * columns / width
    background = (slope[..., None] * [1.0, 0.5, 0.2]).astype("float32")
    frames = np.repeat(background[None], steps, 0)
    labels = np.zeros(frames.shape[:3], int)
    for t in range(steps):
        for label, (y, x, colour) in enumerate(
            (
                (0.26, 0.15 + t / 16, (0.1, 0.9, 0.9)),
                (0.74, 0.85 - t / 16, (0.9, 0.9, 0.1)),
            ),
            1,
        ):
            far = (rows - y * height) ** 2 + (columns - x * width) ** 2
            disc = far < (0.19 * height) ** 2
            frames[t][disc] = colour
            labels[t][disc] = label
    return frames, background, labels
