"""A clip as a looping GIF."""

import math

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from nem_tf.plots.drawing import (
    INK,
    checked,
    component_colours,
    framed,
    soft_assignment,
)

PANEL = 160  # screen pixels, the least width of an image in `animation`
LONGEST = 65_535  # hundredths of a second: a GIF has 16 bits for a page's delay


def animation(path, x, psi, gamma, *, noisy=None, scale=None, fps=5, captions=True):
    """Write a looping GIF: input, soft assignment, and predictions, side by side.

    The panels are the input that was predicted, the noisy frame that the network saw
    (if given), the soft assignment, the predictions of all components together (the
    largest at each pixel, as in Figure 5), and each component's own.

    Args:
        path: the file to write, ending in .gif.
        x, psi, gamma, noisy: see `nem_tf.plots`; with one more axis in front, N, each
            clip has a row of its own.
        scale: screen pixels per pixel; by default panels are at least 160 wide.
        fps: steps per second, above 0. Viewers of GIFs take a delay below 0.02 s for
            0.1 s: of a faster clip every n-th step is shown, so that the GIF lasts as
            long. No page of a GIF stays longer than 655.35 s.
        captions: whether to write names above the panels and the step below.

    Raises:
        ValueError: if shapes do not belong together, or `fps` is no rate.
    """
    check_fps(fps)
    clips = {"x": x, "psi": psi, "gamma": gamma, "noisy": noisy}
    clips = {name: np.asarray(a) for name, a in clips.items() if a is not None}
    if clips["x"].ndim == 4:
        clips = {name: a[None] for name, a in clips.items()}
    shown = [
        _panels(**checked(**{name: a[clip] for name, a in clips.items()}))
        for clip in range(len(clips["x"]))
    ]
    length, _, width = clips["x"].shape[1:4]
    scale = scale or -(-PANEL // width)
    canvases = []
    shown_steps = steps(length, fps)
    for step in shown_steps:
        canvas = _stack(shown, step, scale)  # (rows, columns, 3)
        if captions:
            names = [name for name, _, _ in shown[0]]
            canvas = _caption(canvas, names, f"step {step + 1} of {length}")
        canvases.append(Image.fromarray(canvas))
    palette = _palette(canvases, colours=[colour for _, colour, _ in shown[0]])
    pages = [c.quantize(palette=palette, dither=Image.Dither.NONE) for c in canvases]
    save(path, pages, [*shown_steps, length], fps)


def check_fps(fps):
    """Raise ValueError if `fps` is no rate."""
    if not 0 < fps < math.inf:  # nor NaN
        raise ValueError(f"fps: expected a number above 0, received {fps}; try 5")


def steps(length, fps):
    """The steps of a clip that a GIF shows: each n-th, so that viewers keep up."""
    return range(0, length, max(1, math.ceil(fps / 50)))


def save(path, pages, steps, fps):
    """Write pages as a looping GIF.

    Args:
        path: the file.
        pages: images of Pillow with palettes.
        steps: when each begins, and the last one ends, steps from 0 on.
        fps: steps per second, above 0; no page stays longer than 655.35 s.
    """
    fps = max(fps, 100 / LONGEST)
    times = [round(100 * step / fps) for step in steps]
    times[-1] += 80  # hundredths of a second, a rest before it starts again
    # Pillow writes equal pages as one that stays as long, which may be too long.
    new = [t == 0 or page != pages[t - 1] for t, page in enumerate(pages)]
    pages = [page for page, is_new in zip(pages, new, strict=True) if is_new]
    times = [time for time, is_new in zip(times, [*new, True], strict=True) if is_new]
    delays = np.diff(times).clip(max=LONGEST)
    pages[0].save(
        path,
        save_all=True,
        append_images=pages[1:],
        duration=(10 * delays).tolist(),  # milliseconds
        loop=0,  # for ever
        optimize=False,
    )


def _panels(x, psi, gamma, noisy=None):
    """The panels: name, colour of the rim, images (T, H, W, 1 or 3)."""
    colours = component_colours(psi.shape[1])
    panels = [("input", INK, x)]
    if noisy is not None:
        panels.append(("noisy input", INK, noisy))
    panels.append(("soft assignment", INK, soft_assignment(gamma)))
    panels.append(("all predictions", INK, psi.max(axis=1)))
    for k, colour in enumerate(colours):
        panels.append((f"component {k + 1}", colour, psi[:, k]))
    return panels


def _stack(shown, step, scale):
    """One step of every clip: clips are rows, panels are columns."""
    rows = []
    for panels in shown:
        cells = [framed(a[step], colour, scale, 3, 4) for _, colour, a in panels]
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)


def _caption(canvas, names, footer):
    """Write a name above each column of uint8 (H, W, 3) and `footer` below the rows."""
    size = min(15, canvas.shape[1] // len(names) // 9)  # fits the longest name
    margin = size + 10
    canvas = np.pad(canvas, ((margin, margin), (0, 0), (0, 0)), constant_values=255)
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
    ink = tuple(round(255 * part) for part in INK)
    for column, name in enumerate(names):
        middle = (column + 0.5) * image.width / len(names)
        draw.text((middle, margin / 2 + 2), name, fill=ink, font=font, anchor="mm")
    below = image.height - margin / 2 - 2
    draw.text((6, below), footer, fill=ink, font=font, anchor="lm")
    return np.asarray(image)


def _palette(canvases, colours):
    """One palette for all steps, with white and the given `colours` exactly in it.

    It keeps the file small and the colours still.
    """
    sample = np.concatenate([np.asarray(canvas)[::2, ::2] for canvas in canvases[::4]])
    common = Image.fromarray(sample).quantize(128, Image.Quantize.MEDIANCUT)
    common = np.array(common.getpalette()).reshape(-1, 3)  # (<= 256, 3)
    exact = np.unique([(1.0, 1.0, 1.0), *map(tuple, colours)], axis=0)[:128]
    exact = (255 * exact).round().astype(int)
    # Pillow looks colours up coarsely: near an exact colour there may be no other.
    apart = np.abs(common[:, None] - exact).max(axis=-1).min(axis=-1) > 8
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([exact, common[apart][:128]]).ravel().tolist())
    return palette
