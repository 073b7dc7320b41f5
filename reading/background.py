"""The background of a clip whose camera stands still: what is behind the objects.

    background = estimate(frames)  # (H, W, C) in [0, 1]

The median over time is wrong wherever an object stays for half of the clip. But the
edges of an object that moves stay nowhere for long. So the differences between
neighbours are taken from most frames, as Weiss does ("Deriving intrinsic images from
image sequences", ICCV 2001), and the image is the one whose differences and pixels
agree best with the frames, both without outliers. Where an object covers a pixel in
all frames, it is filled in smoothly. A clip that shows one colour in most pixels has
that colour as its background.
"""

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

from reading.base import spread
from reading.kinds import KINDS

PLAIN = 0.4  # of the pixels; a clip with so many of one colour has a plain background
AT_REST = 0.8  # of the pixels that never change; they have to have that colour, too
ALIKE = 10 / 255  # of that colour: no channel is farther from it, but for noise
FLICKER = 0.06  # the most noise of a plain background
DIFFERENT = 0.12  # least distance of a pixel from what is behind it, see `distance`
SMOOTH = (0.25, 0.5, 0.25)  # weights of neighbours along rows and columns
RIM = 0.3  # of the distance of a pixel beside it; one that has less is a rim
FRAMES = 40  # looked at, evenly spaced
LARGE = 96  # pixels; frames with a longer side are looked at in blocks
SOME = 0.15  # of the pixels; noise on black leaves a quarter grey in two frames
ROUNDS = 5  # in which outliers lose their weight
SETTLED = 4 / 255  # a round that changes less is the last one
AGREE = 0.06  # distance at which a pixel counts 1/e^2, where there is little noise
PULL = 0.003  # of pixels, beside the differences
PIECE = 3e7  # numbers of large frames at a time
QUARTILE = 0.3186  # the lower one of |N(0, 1)|
UNEVEN = 2  # times its noise: the least distance of a pixel that flickers much
PAIRS = 64  # at least, of a frame and the next one, that tell the noise of a pixel
SAMPLE = 16384  # pixels at most, drawn at random, that tell a colour or the noise


def estimate(frames, kind="auto"):
    """What is behind the objects of one clip.

    Args:
        frames: (T, H, W, C), uint8, or floats in [0, 1].
        kind: "plain", one colour; "still", one image; "auto": see `kind_of`. Moving
            cameras are neither.

    Returns:
        float32 (H, W, C) in [0, 1].

    Raises:
        ValueError: if `kind` is none of these, or the shape is another one.
    """
    if kind not in KINDS:
        raise ValueError(
            f"kind: expected {', '.join(KINDS)}, received {kind!r}; name one of them"
        )
    if np.ndim(frames) != 4 or 0 in np.shape(frames):
        raise ValueError(
            f"frames: expected shape (T, H, W, C), none of them 0, received "
            f"{np.shape(frames)}; give the frames of one clip"
        )
    x, size = small(frames), np.shape(frames)[1:]
    if kind == "plain" or (kind == "auto" and is_plain(x)):
        return np.broadcast_to(plain(x)[0], size).copy()
    image = still(x)
    near = distance(x, image) <= _scale(x) * 1.5  # (T, h, w)
    return _seen(frames, near, image)


def kind_of(clips):
    """Whether most of some clips have a plain background.

    Args:
        clips: list of frames, see `estimate`.

    Returns:
        "plain" or "still".
    """
    votes = [is_plain(small(frames)) for frames in clips]
    return "plain" if 2 * sum(votes) > len(votes) else "still"


def small(frames):
    """At most `FRAMES` frames, evenly spaced, of at most `LARGE` pixels a side.

    Args:
        frames: (T, H, W, C), uint8, or floats in [0, 1].

    Returns:
        float32 (F, h, w, C), means of square blocks.
    """
    side = _block(frames)
    return np.stack([_blocks(unit(frames[t]), side) for t in _places(frames)])


def unit(frames):
    """Frames of integers or floats as float32 in [0, 1]."""
    frames = np.asarray(frames)
    if frames.dtype.kind in "ui":
        return frames.astype("float32") / np.iinfo(frames.dtype).max
    return frames.astype("float32")


def is_plain(x):
    """Whether frames have one colour behind their objects.

    At least two fifths of all pixels have it, and four fifths of those that never
    change; and there is little noise, since else the camera may move.

    Args:
        x: float32 (T, H, W, C) in [0, 1].
    """
    colour, share = plain(x)
    if share < PLAIN:
        return False
    if len(x) == 1:
        return True
    flicker = noise(x)
    if flicker > FLICKER:
        return False
    rest = np.ptp(x, axis=0).max(axis=-1) <= 2 * ALIKE + 4 * flicker  # (H, W)
    away = np.abs(np.median(x, axis=0) - colour).max(axis=-1)
    near = away <= ALIKE + flicker / 2
    return bool(near[rest].sum() >= AT_REST * rest.sum())


def plain(x):
    """The most frequent colour, float32 (C,), and the share of the pixels that have it.

    Both are those of a sample of the pixels.

    Args:
        x: float32 (T, H, W, C) in [0, 1].
    """
    flat = _sample(x.reshape(1, -1, x.shape[-1]))[0]
    coarse = np.minimum((flat * 16).astype(np.int64), 15)
    cell = coarse @ (16 ** np.arange(x.shape[-1]))
    centre = np.median(flat[cell == np.bincount(cell).argmax()], axis=0)
    bound = ALIKE + 2 * min(noise(x), FLICKER)
    for _ in range(2):  # since a cell of the coarse grid may cut the colour in two
        near = np.abs(flat - centre).max(axis=-1) <= bound
        centre = np.median(flat[near], axis=0) if near.any() else centre
    return centre.astype("float32"), float(near.mean())


def _sample(x):
    """Some of P in (T, P, C), drawn at random, `SAMPLE` over all T; always the same."""
    some = max(1, SAMPLE // len(x))
    if x.shape[1] <= some:
        return x
    return x[:, np.random.default_rng(0).integers(x.shape[1], size=some)]


def distance(x, background):
    """How far pixels are from what is behind them: Euclidean, over the channels."""
    away = x - background
    return np.sqrt(np.einsum("...c,...c->...", away, away))


def is_object(x, background, least):
    """Whether pixels are rather an object's, boolean (..., H, W).

    The difference is that of weighted means over 3 x 3 pixels, in which there is a
    third of the noise. A pixel that is less than a third as far from the background as
    one beside it is the rim of an object that covers less than a third of it.

    Args:
        x: (..., H, W, C) in [0, 1].
        background: of a shape that broadcasts.
        least: distance of the means from which on a pixel is an object's, a number or
            (H, W).
    """
    away = np.asarray(x, "float32") - background
    far = distance(away, 0.0)
    beside = ndimage.maximum_filter(far, (*(1,) * (far.ndim - 2), 3, 3))
    for axis in (-3, -2):
        away = ndimage.correlate1d(away, SMOOTH, axis, mode="nearest")
    return (distance(away, 0.0) > least) & (far > RIM * beside)


def noise(x, step=1):
    """Standard deviation of what changes in every pixel from frame to frame.

    From the lower quartile of the changes, since objects move in some pixels; and from
    pixels that are neither black nor white, where noise is cut off, if there are some.

    Args:
        x: (T, H, W, C).
        step: 1, or 2 if x is of pairs of a frame and the next one: what is between two
            pairs does not count.
    """
    if len(x) < 2:
        return 0.0
    x = _sample(x.reshape(len(x), -1, x.shape[-1]))
    before, after = x[:-1:step], x[1::step]
    change = np.abs(after - before)
    grey = (before > 0) & (before < 1) & (after > 0) & (after < 1)
    if grey.sum() > SOME * grey.size:
        change = change[grey]
    return float(np.quantile(change, 0.25)) / QUARTILE / np.sqrt(2)


def least_distance(flicker, channels):
    """From where on a pixel differs from its background, with that much noise."""
    return max(DIFFERENT, 4 * flicker * np.sqrt(channels))


def distances(pairs, least):
    """From where on each pixel differs from its background.

    Twice its own noise where that is more than elsewhere: of a lamp, a screen, leaves
    or a dark corner. It is the noise of the same place in all clips, in the median of
    3 x 3 pixels; less where black or white cuts it off. Fewer than 64 pairs do not
    tell.

    Args:
        pairs: some frames, each with the next one, (N, 2, H, W, C), uint8, or floats in
            [0, 1].
        least: distance where it flickers no more than usual.

    Returns:
        float32 (H, W), at least `least`; or `least` itself if no pixel needs more.
    """
    pairs = np.asarray(pairs)
    if len(pairs) < PAIRS:
        return least
    quartiles = []
    for row in range(pairs.shape[2]):  # since float copies are large
        before, after = unit(pairs[:, 0, row]), unit(pairs[:, 1, row])  # (N, W, C)
        quartiles.append(np.quantile(np.abs(after - before), 0.25, axis=(0, 2)))
    noises = ndimage.median_filter(np.stack(quartiles), 3, mode="nearest")
    noises = noises / QUARTILE / np.sqrt(2)  # as `noise`
    found = UNEVEN * noises * np.sqrt(pairs.shape[-1])
    if not (found > least).any():
        return least
    return np.maximum(found, least).astype("float32")


def still(x):
    """The image behind moving objects, float32 (H, W, C) in [0, 1].

        sum_e w_e |(D I)_e - g_e|^2 + 0.003 sum_p v_p |I_p - m_p|^2  is least

    D are the differences between neighbours. At first g and m are medians over time;
    then, round by round, means of the frames that agree with I, and the weights w and v
    are how many agree.

    Args:
        x: float32 (T, H, W, C) in [0, 1].
    """
    shape = x.shape[1:]
    pixels = x.reshape(len(x), -1, shape[-1])  # (T, P, C)
    steps = np.concatenate(
        [np.diff(x, axis=axis).reshape(len(x), -1, shape[-1]) for axis in (1, 2)], 1
    )  # (T, E, C)
    scale = _scale(x)
    differences = _differences(*shape[:2])  # (E, P)
    image, slopes = np.median(pixels, axis=0), np.median(steps, axis=0)
    target, v = image, _agreeing(pixels, image, scale)[1]
    g, w = slopes, _agreeing(steps, slopes, scale)[1]
    for _ in range(ROUNDS):
        before = image
        weighted = differences.T.multiply(w**2 + 1e-3).tocsr()  # (P, E)
        matrix = weighted @ differences + sparse.diags(PULL * v + 1e-7)
        solve = linalg.splu(
            matrix.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        ).solve
        image = solve(weighted @ g + (PULL * v)[:, None] * target).astype("float32")
        if np.abs(image - before).max() < SETTLED:
            break
        target, v = _agreeing(pixels, image, scale)
        g, w = _agreeing(steps, differences @ image, scale)
    return np.clip(image, 0.0, 1.0).reshape(shape)


def _scale(x):
    """Distance of pixels that are alike."""
    return max(AGREE, 3 * noise(x) * np.sqrt(x.shape[-1]))


def _agreeing(values, image, scale):
    """The mean of the values that agree with an image, and how many do.

    Args:
        values: (T, P, C).
        image: (P, C).
        scale: distance at which a value counts 1/e^2.

    Returns:
        float32 (P, C), and weights (P,) in [0, 1].
    """
    counts = np.exp(-2 * (distance(values, image) / scale) ** 2)  # (T, P)
    total = counts.sum(axis=0)
    mean = np.einsum("tp,tpc->pc", counts, values) / (total[:, None] + 1e-9)
    off = distance(mean, image) / scale
    return mean, total / len(values) * np.exp(-2 * off**2)


def _differences(height, width):
    """Differences between neighbours of an image, a sparse matrix (E, P)."""
    place = np.arange(height * width).reshape(height, width)
    begin = np.concatenate([place[:-1].ravel(), place[:, :-1].ravel()])
    end = np.concatenate([place[1:].ravel(), place[:, 1:].ravel()])
    edge, one = np.arange(len(begin)), np.ones(len(begin), "float32")
    entries = np.concatenate([one, -one])
    at = np.concatenate([edge, edge]), np.concatenate([end, begin])
    return sparse.csr_matrix((entries, at), shape=(len(begin), place.size))


def _seen(frames, near, image):
    """The mean of the frames where they show the background, else the image.

    In blocks it is the median, since something small may be in one.

    Args:
        frames: (T, H, W, C).
        near: whether pixels or blocks of `small(frames)` show it, (F, h, w).
        image: (h, w, C).

    Returns:
        float32 (H, W, C).
    """
    places, side = _places(frames), _block(frames)
    height, width, channels = np.shape(frames)[1:]
    near, found = _enlarged(near, side, 1), _enlarged(image, side, 0)
    near, found = near[:, :height, :width, None], found[:height, :width].copy()
    middle = _mean if side == 1 else _median
    rows = max(1, int(PIECE / (len(places) * width * channels)))
    for row in range(0, height, rows):
        part = slice(row, row + rows)
        known = near[:, part].any(axis=0)
        shown = middle(unit(frames[places, part]), near[:, part])
        found[part] = np.where(known, shown, found[part])
    return found


def _mean(x, near):
    """Of the frames where `near`: (T, H, W, C), (T, H, W, 1) -> (H, W, C)."""
    count = np.maximum(near.sum(axis=0), 1)
    return np.einsum("thwc,thw->hwc", x, near[..., 0].astype("float32")) / count


def _median(x, near):
    """Of the frames where `near`, the lower one of two."""
    x = np.sort(np.where(near, x, np.inf), axis=0)
    middle = np.maximum(near.sum(axis=0) - 1, 0) // 2  # (H, W, 1)
    return np.take_along_axis(x, middle[None], axis=0)[0]


def _places(frames):
    """Which frames are looked at."""
    return spread(len(frames), FRAMES)


def _block(frames):
    """Side of the blocks that are looked at, pixels."""
    return -(-max(np.shape(frames)[1:3]) // LARGE)


def _blocks(image, side):
    """Means of square blocks, those at the end of what is there: (h, w, C)."""
    if side == 1:
        return image
    for axis in (0, 1):
        starts = np.arange(0, image.shape[axis], side)
        sizes = np.diff(np.append(starts, image.shape[axis]))
        total = np.add.reduceat(image, starts, axis=axis)
        image = total / np.expand_dims(sizes, [a for a in range(3) if a != axis])
    return image.astype("float32")


def _enlarged(array, side, axis):
    """Each number of two axes as a block."""
    if side == 1:
        return array
    return array.repeat(side, axis=axis).repeat(side, axis=axis + 1)
