"""What all pictures share: colours, and arrays that belong together.

Component k has one colour in every picture. A clip is drawn pixel by pixel, each pixel
enlarged to a whole number of screen pixels, so that nothing is blurred.
"""

import colorsys

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nem_tf import axes

PALETTE = (  # mixtures of the first three are near grey, so certainty shows as colour
    (0.16, 0.42, 0.92),  # blue
    (0.96, 0.48, 0.08),  # orange
    (0.15, 0.62, 0.40),  # green
    (0.84, 0.20, 0.55),  # magenta
    (0.95, 0.82, 0.15),  # yellow
    (0.45, 0.25, 0.72),  # violet
    (0.35, 0.78, 0.93),  # sky
    (0.62, 0.30, 0.12),  # brown
)
INK = (0.20, 0.20, 0.20)  # of text and of the frames around images
DPI = 100  # screen pixels per inch of a figure
CELL = 80  # screen pixels, the least width of an image in `overview`


def component_colours(components):
    """Colours (K, 3) in [0, 1]: the palette, then hues a golden angle apart."""
    extra = [
        colorsys.hsv_to_rgb(0.618034 * k % 1.0, 0.55, 0.75)
        for k in range(len(PALETTE), components)
    ]
    return np.array([*PALETTE, *extra])[:components]


def soft_assignment(gamma):
    """The components' colours, mixed by gamma: (..., K, H, W, 1) -> (..., H, W, 3).

    A pixel that one component is sure of has that component's colour; a pixel that
    belongs to all of them alike has the mean of their colours. Values in [0, 1].
    """
    gamma = np.asarray(gamma, np.float32)
    colours = component_colours(gamma.shape[axes.COMPONENTS])  # (K, 3)
    mixed = (gamma * colours[:, None, None, :]).sum(axes.COMPONENTS)  # (..., H, W, 3)
    return np.clip(mixed, 0.0, 1.0)


def image_of(figure):
    """The figure as pixels, uint8 (H, W, 3), for instance for TensorBoard."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def checked(x, psi, gamma, noisy=None, groups=None):
    """The arrays of a clip that were given, by name.

    Raises:
        ValueError: if they do not match.
    """
    x, psi, gamma = np.asarray(x), np.asarray(psi), np.asarray(gamma)
    if x.ndim != 4 or 0 in x.shape or x.shape[-1] not in (1, 3):
        raise ValueError(
            f"x: expected shape (T, H, W, 1) or (T, H, W, 3), received {x.shape}"
        )
    length, height, width, _ = x.shape
    axes.check_components(psi, like=x)
    axes.check_shape("gamma", gamma, (length, psi.shape[1], height, width, 1))
    arrays = {"x": x, "psi": psi, "gamma": gamma}
    if noisy is not None:
        arrays["noisy"] = np.asarray(noisy)
        axes.check_shape("noisy", arrays["noisy"], x.shape)
    if groups is not None:
        arrays["groups"] = np.asarray(groups)
        axes.check_shape("groups", arrays["groups"], x.shape[:3])
    return arrays


def framed(image, colour, scale, border, gap):
    """Enlarge (H, W, 1 or 3) and put a coloured border and a white gap around it.

    Returns:
        uint8, (H * scale + 2 * (border + gap), W * scale + 2 * (border + gap), 3).
    """
    height, width, _ = image.shape
    image = np.broadcast_to(image, (height, width, 3))
    image = image.repeat(scale, axis=0).repeat(scale, axis=1)
    rim = border + gap
    cell = np.ones((height * scale + 2 * rim, width * scale + 2 * rim, 3))
    cell[gap:-gap, gap:-gap] = colour
    cell[rim:-rim, rim:-rim] = np.clip(image, 0.0, 1.0)
    return (cell * 255).round().astype(np.uint8)
