"""A look at people's clips before a training: what is in them, and what follows.

    findings = look(clips)
    chosen = choices(findings)
    print("\\n".join(lines(findings, chosen)))
    draw(clips, findings, "data.png")

Some frames of some clips are compared with what is behind their objects. Connected
pixels that differ from it are a region, and a region is about an object. Nothing here
imports TensorFlow.
"""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from reading import background, base

CLIPS, FRAMES = 64, 8  # that are looked at; frames of each clip
PAIRS = 256  # about, of a frame and the next one, that tell where it flickers
STEPS = 8  # T of the windows that are counted
SPECK = 6  # pixels; a region of less is noise
LITTLE = 0.25  # of an object's side; a smaller region is a flaw of the video, no object
# Pixels that an object is trained at, about.
WIDE = {"windows": 11, "rnn-em": 7, "n-em": 7}
FEW = 3  # objects that differ in their shapes, and that a component each can follow
SIDES = (16, 64)  # of the longer side of a frame that is trained on, pixels
COMPONENTS = (2, 12)
FAINT = 0.2  # of the shorter side: an object's, where no region is seen
SMOOTH, SHIFT = 5, 0.06  # a mean of 5 x 5 pixels that changes so much is no noise
UNSTEADY = 0.5  # of the pixels that do so most of the time: the camera moves
WIDTH = 70  # characters of a line about a file

SHOWN = 8  # clips in the picture
DPI, SIDE = 100, 128  # screen pixels per inch, and about those of a frame's width
COLOURS = (  # of regions, the largest first
    (0.90, 0.16, 0.22),
    (0.16, 0.42, 0.92),
    (0.98, 0.70, 0.10),
    (0.15, 0.66, 0.40),
    (0.80, 0.30, 0.85),
    (0.20, 0.78, 0.90),
)


class Findings(NamedTuple):
    """What is in some clips; pixels are those of the decoded frames.

    where: the path, as text.
    clips, frames: how many there are.
    windows: of `steps` + 1 frames, for training.
    steps: T of these windows, 0 of still images.
    size: (H, W), pixels.
    channels: C, 1 or 3.
    two_valued: whether all pixels are black or white.
    still: whether the clips are single images.
    moving: share of a frame's pixels that differ from what is behind them, [0, 1].
    noise: standard deviation of what flickers, intensity in [0, 1].
    background: "plain" or "still", see `OwnClips.background_kind`.
    steady: whether most pixels show the background, and that stands still.
    foreground: distance from the background, Euclidean over channels, from which on a
        pixel is an object's.
    object_size: side of the box around a typical region, pixels; None if there is none.
    fill: share of such boxes that regions cover, (0, 1].
    objects: regions at a time, the median, and the 95th percentile.
    """

    where: str
    clips: int
    frames: int
    windows: int
    steps: int
    size: tuple[int, int]
    channels: int
    two_valued: bool
    still: bool
    moving: float
    noise: float
    background: str
    steady: bool
    foreground: float
    object_size: float | None
    fill: float
    objects: tuple[int, int]


class Choices(NamedTuple):
    """Settings that fit the clips.

    model: "windows", "rnn-em" or "n-em".
    size: (H, W) of the frames that are trained on, pixels.
    components: K.
    object_size: about an object's side at that size, pixels.
    foreground: as of `Findings`, at that size.
    background: "plain" or "still".
    reasons: dict from each of these names to a few words.
    """

    model: str
    size: tuple[int, int]
    components: int
    object_size: float
    foreground: float
    background: str
    reasons: dict[str, str]


def look(clips, steps=STEPS):
    """What is in some clips, from at most 64 of them and 8 frames of each.

    Args:
        clips: `reading.own.OwnClips`.
        steps: T of the windows that are counted, or the most that the clips have.

    Returns:
        `Findings`.

    Raises:
        VideoError: if no clip is long enough for windows.
    """
    places = base.spread(len(clips), CLIPS)
    samples = [_frames(clips, i) for i in places]  # float32 (F, H, W, C)
    behind = [clips.background(i) / np.float32(255) for i in places]
    noise = float(np.median([background.noise(_pairs(clips, i), 2) for i in places]))
    foreground = float(background.least_distance(noise, clips.channels))
    boxes, shares, covered = [], [], 0
    least = distances(clips, foreground)
    for x, b in zip(samples, behind, strict=True):
        for mask in background.distance(x, b) >= least:
            regions, areas = _regions(mask)
            covered += sum(areas)
            found = ndimage.find_objects(regions)
            boxes.append([math.prod(s.stop - s.start for s in box) for box in found])
            shares.append(mask.mean())
    side = _typical(sum(boxes, []))
    least = 0 if side is None else (LITTLE * side) ** 2
    counts = [sum(area >= least for area in areas) for areas in boxes]
    steps = 0 if clips.still else min(steps, longest(clips))
    return Findings(
        where=clips.where,
        clips=len(clips),
        frames=int(clips.lengths.sum()),
        windows=len(clips.windows("train", max(steps, 1))),
        steps=steps,
        size=tuple(clips.size),
        channels=clips.channels,
        two_valued=all(np.isin(x, (0, 1)).all() for x in samples),
        still=clips.still,
        moving=float(np.mean(shares)),
        noise=noise,
        background=clips.background_kind,
        steady=bool(np.mean(shares) <= UNSTEADY)
        and (clips.background_kind == "plain" or _steady(samples, noise)),
        foreground=foreground,
        object_size=side,
        fill=covered / max(sum(map(sum, boxes)), 1) or 1.0,
        objects=(int(np.median(counts)), math.ceil(np.percentile(counts, 95))),
    )


def choices(findings, model="auto", fixed=False):
    """Settings that fit what was found.

    Args:
        findings: `Findings`.
        model: "windows", "rnn-em", "n-em", or "auto": `WindowCell` begins where colours
            or gaps tell objects apart; a few grey objects that meet differ in their
            shapes alone, which RNN-EM learns.
        fixed: whether frames keep their size, since someone asked for it.

    Returns:
        `Choices`.
    """
    side = findings.object_size
    unseen = side is None
    if unseen:
        side = FAINT * min(findings.size)
    most = findings.objects[1]
    alike = findings.channels == 1 and 2 <= most <= FEW
    if model == "auto":
        model = "rnn-em" if alike and not findings.still else "windows"
    reason = "colours and gaps tell objects apart"
    if model == "rnn-em":
        reason = f"{most} grey objects, which only their shapes tell apart"
    wide = WIDE[model]
    size = findings.size if fixed else _size(findings.size, side, wide)
    scale = max(size) / max(findings.size)
    spare = model == "windows"  # where what is to spare rests
    components = int(np.clip(most + spare, *COMPONENTS))
    # The mean of several pixels flickers less than each.
    foreground = max(background.DIFFERENT, findings.foreground * scale)
    foreground = min(foreground, findings.foreground)
    side = max(2.0, round(side * scale, 1))
    usual = f"{most} regions at a time" + (", and one more" if spare else "")
    reasons = {
        "model": reason,
        "size": _why_size(findings, size, side, wide, fixed, unseen),
        "components": usual
        if components == most + spare
        else f"{most} regions at a time; from {COMPONENTS[0]} to {COMPONENTS[1]}",
        "object_size": "a fifth of the frame, since no region was seen"
        if unseen
        else "side of a typical region, pixels",
        "foreground": "distance from the background, "
        + ("above the noise" if foreground > background.DIFFERENT else "the usual one"),
        "background": "most clips have one colour in most of their pixels"
        if findings.background == "plain"
        else "most clips have no colour in most of their pixels",
    }
    foreground, behind = round(foreground, 3), findings.background
    return Choices(model, size, components, side, foreground, behind, reasons)


def lines(findings, chosen):
    """What was found, and what was chosen why: at most 13 lines of text.

    Args:
        findings: `Findings`.
        chosen: `Choices`, or values of it under these names.

    Returns:
        list of str.
    """
    height, width = findings.size
    where = _short(findings.where, WIDTH)
    kind = "colour" if findings.channels == 3 else "grey"
    kind = "black and white" if findings.two_valued else kind
    noise = f", flicker {findings.noise:.3f}" if findings.noise > 0.0005 else ""
    count = f"{findings.clips} clips, {findings.frames} frames"
    windows = f"{findings.windows} windows of {findings.steps + 1} frames"
    if findings.still:
        count, windows = f"{findings.clips} images", f"{findings.windows}"
    median, most = findings.objects
    side = findings.object_size
    wide = f", about {side:.0f} pixels wide" if side else ""
    plain = findings.background == "plain"
    found = [
        where,
        f"  {count}; {windows} for training",
        f"  {height} x {width} pixels, {kind}{noise}",
        f"  background: {'one colour' if plain else 'an image'}",
        f"  {'objects' if findings.still else 'moving'}: "
        f"{100 * findings.moving:.0f} % of the pixels; "
        f"{median} regions at a time, rarely over {most}{wide}",
    ]
    if not findings.steady:
        found.append(
            "  warning: most of each image differs from what they have in common"
            if findings.still
            else "  warning: most of the background changes; the camera has to stand "
            "still"
        )
    elif side is None:
        found.append("  warning: nothing stands out; lower --foreground if objects do")
    found.append("chosen, and the flag for another choice")
    given = {
        "model": chosen.model,
        "background": chosen.background,
        "size": ",".join(map(str, chosen.size)),
        "components": str(chosen.components),
        "object_size": f"{chosen.object_size:g}",
        "foreground": f"{chosen.foreground:g}",
    }
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')} {value}"
        found.append(f"  {flag:<20}  {chosen.reasons[name]}")
    return found


def distances(clips, least):
    """From where on each pixel of clips is an object's, see `background.distances`.

    Args:
        clips: `reading.own.OwnClips`; the training clips count.
        least: distance where it flickers no more than usual.

    Returns:
        `least`, or float32 (H, W).
    """
    train = clips.split("train")
    places = train[base.spread(len(train), CLIPS)] if len(train) else []
    pairs = []
    for i in places:
        count = int(clips.lengths[i]) - 1
        pairs += [
            clips.frames(i, t, t + 2)
            for t in base.spread(count, math.ceil(PAIRS / len(places)))
        ]
    return background.distances(np.stack(pairs), least) if pairs else least


def draw(clips, findings, path, least=None):
    """Draw up to eight clips: a frame, the background, and the regions, in colours.

    Args:
        clips: `reading.own.OwnClips`.
        findings: `Findings`.
        path: of the picture, a PNG.
        least: distance from the background that regions have, a number or (H, W), see
            `distances`; None is that of the findings.
    """
    least = findings.foreground if least is None else least
    columns = [_column(clips, i, least) for i in base.spread(len(clips), SHOWN)]
    height, width = clips.size
    scale = max(1, round(SIDE / width))
    wide, high, gap = width * scale, height * scale, 6
    left, above, below = 104, 50, 8  # screen pixels
    total = left + max(len(columns) * (wide + gap), 420), above + 3 * (high + gap)
    total = total[0] + below, total[1] + below
    figure = Figure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    for column, (name, *images) in enumerate(columns):
        for row, image in enumerate(images):
            x = left + column * (wide + gap)
            y = total[1] - above - (row + 1) * high - row * gap
            box = np.divide((x, y, wide, high), (*total, *total))
            panel = figure.add_axes(tuple(box))
            panel.imshow(image, interpolation="nearest", aspect="auto")
            panel.set_axis_off()
            if row == 0:
                panel.set_title(_short(name, wide // 7), fontsize=8, pad=3)
            if column == 0:
                word = ("frame", "background", "regions")[row]
                panel.text(
                    -8 / wide,
                    0.5,
                    word,
                    transform=panel.transAxes,
                    ha="right",
                    va="center",
                    fontsize=10,
                )
    text = f"regions differ from the background by {findings.foreground:.2f} or more"
    figure.text(left / total[0], 1 - 8 / total[1], text, va="top", fontsize=10)
    figure.savefig(path, dpi=DPI, format="png")


def _frames(clips, i):
    """Some frames of clip i, float32 (F, H, W, C) in [0, 1]."""
    frames = clips.frames(i)
    return frames[base.spread(len(frames), FRAMES)] / np.float32(255)


def _pairs(clips, i):
    """Some frames of clip i, each with the next one, as those of `_frames`."""
    frames = clips.frames(i)
    if len(frames) > 1:
        first = base.spread(len(frames) - 1, FRAMES)
        frames = frames[np.stack([first, first + 1], axis=1).ravel()]
    return frames / np.float32(255)


def longest(clips):
    """The largest T of the windows of the clip of median length.

    One or two clips are cut in time, so a third of it counts; shorter clips have none.
    """
    parts = 3 if len(clips) < 3 else 1  # one or two clips are cut in time
    return max(1, int(np.median(clips.lengths)) // parts - 1)


def _regions(mask):
    """Connected regions of a mask (H, W), specks left out.

    Returns:
        labels (H, W), the largest region 1, and the areas, in that order.
    """
    labels, _ = ndimage.label(mask)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    order = [label for label in np.argsort(-areas, kind="stable") if areas[label]]
    order = [label for label in order if areas[label] >= SPECK]
    renamed = np.zeros(len(areas), int)
    renamed[order] = np.arange(len(order)) + 1
    return renamed[labels], [int(areas[label]) for label in order]


def _typical(boxes):
    """Side of the box around a region that a quarter of the pixels have at most.

    A box, not the region, since strokes cover little of theirs. A quarter, since
    objects that meet are one region of a larger box.

    Args:
        boxes: list of areas.
    """
    if not boxes:
        return None
    areas = np.sort(boxes)
    total = np.cumsum(areas)
    return float(np.sqrt(areas[np.searchsorted(total, total[-1] / 4)]))


def _steady(samples, noise):
    """Whether most of what is there half of the time stays, in most clips."""
    shares = []
    for x in samples:
        x = ndimage.uniform_filter(x, (0, SMOOTH, SMOOTH, 0))
        far = background.distance(x, np.median(x, axis=0))
        shift = max(SHIFT, noise * math.sqrt(x.shape[-1]) * 2 / SMOOTH)
        shares.append((np.median(far, axis=0) > shift).mean())
    return bool(np.median(shares) <= UNSTEADY)


def _size(size, side, wide):
    """(H, W) at which an object of `side` pixels has about `wide`, never larger."""
    longer = np.clip(max(size) * wide / side, *SIDES)
    scale = min(1.0, longer / max(size))
    if scale == 1.0:
        return size
    return tuple(max(2, 2 * round(n * scale / 2)) for n in size)


def _why_size(findings, size, side, wide, fixed, unseen):
    if fixed:
        return "as it was asked for"
    if size == findings.size:
        return "as they are"
    if max(size) in SIDES and not unseen and abs(side - wide) > 1:
        bound = "most" if max(size) == SIDES[1] else "least"
        return f"the {bound} for the longer side; objects are {side:.0f} pixels wide"
    return f"so that objects are about {wide} pixels wide"


def _column(clips, i, least):
    """Name, a frame, the background and the regions of clip i."""
    x = _frames(clips, i)
    b = clips.background(i) / np.float32(255)
    masks = background.distance(x, b) >= least
    t = int(masks.sum(axis=(1, 2)).argmax())
    labels, areas = _regions(masks[t])
    frame = np.broadcast_to(x[t], (*x.shape[1:3], 3))
    luma = frame.mean(axis=-1, keepdims=True)
    shown = np.where((labels == 0)[..., None], 0.25 + 0.35 * luma, 0.0)
    for label in range(1, len(areas) + 1):
        colour = np.array(COLOURS[(label - 1) % len(COLOURS)])
        tinted = 0.7 * colour + 0.3 * luma
        shown = np.where((labels == label)[..., None], tinted, shown)
    return clips.names[i], frame, np.broadcast_to(b, frame.shape), shown


def _short(name, most):
    """The end of a name."""
    name = str(name)
    return name if len(name) <= most else "…" + name[-(most - 1) :]
