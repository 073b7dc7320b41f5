"""Pictures of clips, soft assignments and predictions.

Component k has one colour in every picture. A clip is drawn pixel by pixel, each pixel
enlarged to a whole number of screen pixels, so that nothing is blurred.

Arrays are those of one clip, step t being about frame t + 1 of the data:

    frames (T, H, W, C)     clean[1:], in [0, 1]; C is 1 (grey) or 3 (red, green, blue)
    noisy  (T, H, W, C)     what the network saw at step t: frame t with noise
    psi    (T, K, H, W, C)  predictions of `frames`, one per component
    gamma  (T, K, H, W, 1)  assignment of the pixels of `frames`
    groups (T, H, W)        labels of `frames`, 0 for background and overlap

Figures use no global state of Matplotlib and need no display.
"""

import colorsys
import math
import textwrap

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont

from nem_tf import axes
from nem_tf.matching import order_of_objects

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
PANEL = 160  # screen pixels, the least width of an image in `animation`
LONGEST = 65_535  # hundredths of a second: a GIF has 16 bits for a page's delay


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


def overview(
    frames,
    psi,
    gamma,
    *,
    title,
    noisy=None,
    steps=None,
    groups=None,
    max_columns=20,
):
    """One clip at a glance, in the layout of Figures 4 and 7.

    The top row is the soft assignment; then each component's next-step prediction, in
    a frame of its colour; then the input that was predicted; and, if given, the noisy
    frames that the network saw and the true groups. One column per step.

    Args:
        frames, psi, gamma, noisy, groups: see the module.
        title: a line on top; say where the clip comes from.
        steps: which steps to show, counted from 1; by default all of them, or if they
            are more than `max_columns` every second, third, ..., up to the last.
        max_columns: see `steps`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not belong together, or `steps` are not in the clip.
    """
    arrays = _check(frames, psi, gamma, noisy, groups)
    length, components = psi.shape[:2]
    if steps is None:
        columns = np.arange(length, 0, -length // max_columns)[::-1]
    else:
        columns = np.asarray(steps, int)
    if not columns.size or columns.min() < 1 or columns.max() > length:
        raise ValueError(f"steps: expected some of 1 to {length}, received {steps}")
    chosen = {name: array[columns - 1] for name, array in arrays.items()}
    rows = _rows(**chosen)

    scale = -(-CELL // frames.shape[2])
    strips = []
    for _, colour, images in rows:
        cells = [_framed(image, colour, scale, border=2, gap=2) for image in images]
        strips.append(np.concatenate(cells, axis=1))
    picture = np.concatenate(strips)  # (rows * cell height, columns * cell width, 3)

    left, right, below = 190, 14, 10  # screen pixels around the picture
    width = max(left + picture.shape[1] + right, 560)
    lines = textwrap.wrap(title, width // 9)
    above = 40 + 20 * len(lines)
    height = above + picture.shape[0] + below
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    box = (left, below, picture.shape[1], picture.shape[0])
    panel = figure.add_axes(tuple(np.divide(box, (width, height) * 2)))
    panel.imshow(picture, interpolation="nearest", aspect="auto")
    panel.set_axis_off()
    cell_height, cell_width = strips[0].shape[0], picture.shape[1] / len(columns)
    for row, (label, colour, _) in enumerate(rows):
        y = (row + 0.5) * cell_height
        panel.text(-14, y, label, ha="right", va="center", fontsize=10, color=INK)
        if colour is not INK:  # the key: a bar of the component's colour
            corner, size = (-8, row * cell_height + 2), (7, cell_height - 4)
            panel.add_patch(Rectangle(corner, *size, color=colour, lw=0, clip_on=False))
    for column, step in enumerate(columns):
        x = (column + 0.5) * cell_width
        panel.text(x, -5, str(step), ha="center", va="bottom", fontsize=10, color=INK)
    panel.text(-14, -5, "step", ha="right", va="bottom", fontsize=10, color=INK)
    top = 1 - 10 / height
    figure.text(14 / width, top, "\n".join(lines), va="top", fontsize=12, color=INK)
    return figure


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
            cell = _framed(picture, INK, scale, border=2, gap=2)
            panel.imshow(cell, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            for side in panel.spines.values():
                side.set_visible(False)
            if name == rows[-1][0]:
                panel.set_xlabel(f"({'abcdefghijklmnopqrstuvwxyz'[column % 26]})")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
    return figure


def animation(
    path, frames, psi, gamma, *, noisy=None, scale=None, fps=5, captions=True
):
    """Write a looping GIF: input, soft assignment, and predictions, side by side.

    The panels are the input that was predicted, the noisy frame that the network saw
    (if given), the soft assignment, the predictions of all components together (the
    largest at each pixel, as in Figure 5), and each component's own.

    Args:
        path: the file to write, ending in .gif.
        frames, psi, gamma, noisy: see the module; with one more axis in front, N, each
            clip has a row of its own.
        scale: screen pixels per pixel; by default panels are at least 160 wide.
        fps: steps per second, above 0. Viewers of GIFs take a delay below 0.02 s for
            0.1 s: of a faster clip every n-th step is shown, so that the GIF lasts as
            long. No page of a GIF stays longer than 655.35 s.
        captions: whether to write names above the panels and the step below.

    Raises:
        ValueError: if shapes do not belong together, or `fps` is no rate.
    """
    if not 0 < fps < math.inf:  # nor NaN
        raise ValueError(f"fps: expected a number above 0, received {fps}; try 5")
    fps = max(fps, 100 / LONGEST)
    clips = {"frames": frames, "psi": psi, "gamma": gamma, "noisy": noisy}
    clips = {name: np.asarray(x) for name, x in clips.items() if x is not None}
    if clips["frames"].ndim == 4:
        clips = {name: x[None] for name, x in clips.items()}
    shown = [
        _panels(**_check(**{name: x[clip] for name, x in clips.items()}))
        for clip in range(len(clips["frames"]))
    ]
    length, _, width = clips["frames"].shape[1:4]
    scale = scale or -(-PANEL // width)
    canvases = []
    shown_steps = range(0, length, max(1, math.ceil(fps / 50)))
    for step in shown_steps:
        canvas = _stack(shown, step, scale)  # (rows, columns, 3)
        if captions:
            names = [name for name, _, _ in shown[0]]
            canvas = _caption(canvas, names, f"step {step + 1} of {length}")
        canvases.append(Image.fromarray(canvas))
    palette = _palette(canvases, colours=[colour for _, colour, _ in shown[0]])
    pages = [c.quantize(palette=palette, dither=Image.Dither.NONE) for c in canvases]
    times = [round(100 * step / fps) for step in (*shown_steps, length)]
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


def image_of(figure):
    """The figure as pixels, uint8 (H, W, 3), for instance for TensorBoard."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _check(frames, psi, gamma, noisy=None, groups=None):
    """The arrays that were given, by name, or a ValueError if they do not match."""
    frames, psi, gamma = np.asarray(frames), np.asarray(psi), np.asarray(gamma)
    if frames.ndim != 4 or 0 in frames.shape or frames.shape[-1] not in (1, 3):
        raise ValueError(
            f"frames: expected shape (T, H, W, 1) or (T, H, W, 3), received "
            f"{frames.shape}"
        )
    length, height, width, _ = frames.shape
    axes.check_components(psi, like=frames)
    axes.check_shape("gamma", gamma, (length, psi.shape[1], height, width, 1))
    arrays = {"frames": frames, "psi": psi, "gamma": gamma}
    if noisy is not None:
        arrays["noisy"] = np.asarray(noisy)
        axes.check_shape("noisy", arrays["noisy"], frames.shape)
    if groups is not None:
        arrays["groups"] = np.asarray(groups)
        axes.check_shape("groups", arrays["groups"], frames.shape[:3])
    return arrays


def _rows(frames, psi, gamma, noisy=None, groups=None):
    """The rows of `overview`: label, colour of the frame, images (T, H, W, 1 or 3)."""
    colours = component_colours(psi.shape[1])
    rows = [("soft assignment γ", INK, soft_assignment(gamma))]
    for k, colour in enumerate(colours):
        rows.append((f"prediction of\ncomponent {k + 1}", colour, psi[:, k]))
    rows.append(("input x", INK, frames))
    if noisy is not None:
        rows.append(("noisy input seen\n(one frame earlier)", INK, noisy))
    if groups is not None:
        rows.append(("true groups\n(black: not scored)", INK, _group_colours(groups)))
    return rows


def _panels(frames, psi, gamma, noisy=None):
    """The panels of `animation`, in the form of `_rows`."""
    colours = component_colours(psi.shape[1])
    panels = [("input", INK, frames)]
    if noisy is not None:
        panels.append(("noisy input", INK, noisy))
    panels.append(("soft assignment", INK, soft_assignment(gamma)))
    panels.append(("all predictions", INK, psi.max(axis=1)))
    for k, colour in enumerate(colours):
        panels.append((f"component {k + 1}", colour, psi[:, k]))
    return panels


def _group_colours(groups):
    """Labels (T, H, W) as colours (T, H, W, 3): greys on black, not the components'."""
    objects = max(int(groups.max()), 1)
    level = 0.35 + 0.65 * groups / objects
    return np.where(groups > 0, level, 0.0)[..., None].repeat(3, axis=-1)


def _framed(image, colour, scale, border, gap):
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


def _stack(shown, step, scale):
    """One step of every clip: clips are rows, panels are columns."""
    rows = []
    for panels in shown:
        cells = [_framed(x[step], colour, scale, 3, 4) for _, colour, x in panels]
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
