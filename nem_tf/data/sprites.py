"""Coloured sprites that fly over a background, made on the fly.

Unlike the paper's objects these are opaque and lie in depth: object n + 1 is nearer
than object n. Positions are multiples of 1/64 pixel. So are the shares of pixels that
a bitmap covers, whose sums are then exact: a clip has the same pixels on any machine
and in a batch of any size.
"""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nem_tf.data import arguments, keys, pipeline, scenes
from nem_tf.data import noise as noises
from nem_tf.data.silhouettes import ANGLES, SILHOUETTES

BACKGROUNDS = ("plain", "gradient", "texture")
EDGES = ("smooth", "hard")
MOST_OBJECTS = 8
SIDES = (16, 128)  # of a frame, pixels
SMALLEST = 3.0  # diameter of a sprite, pixels
MARGIN = 0.25  # from a sprite's colour to the background's, root mean square
CONTRAST = 0.3  # of a background, the most there is in a channel

_STEP = 64  # positions in a pixel
_CELLS = 2  # of a bitmap in a pixel, along an axis
_SAMPLES = 2  # in a cell, along an axis
_CELL = _STEP // _CELLS
_CANDIDATES = 7  # for a colour
_GRIDS = (4, 8, 16)  # points along a side of a texture's layers
_PATTERNS = 2  # two-tone: halves, or a core in another colour


class _Draws(NamedTuple):
    """Where each number of a clip comes from; shapes without B, integers in [0, 2^32).

    objects: kind, diameter, angle, pattern, two-tone or not; position, velocity.
    """

    objects: tf.Tensor  # (N, 9)
    colours: tf.Tensor  # (N, 2, candidates, C)
    background: tf.Tensor  # (2, C)
    scene: tf.Tensor  # (8,)
    texture: tf.Tensor  # (points,)


def flying_sprites(
    split="train",
    *,
    objects=(2, 4),
    components=5,
    steps=20,
    batch_size=64,
    seed=0,
    noise=0.0,
    noise_kind="masked-uniform",
    size=(64, 64),
    channels=3,
    background="any",
    silhouettes=SILHOUETTES,
    diameters=(0.2, 0.4),
    two_tone=0.5,
    edges="smooth",
    speed=2.0,
    masks=False,
    clips=None,
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Clips of opaque coloured sprites that fly, bounce off the walls and cover others.

    A sprite keeps its colours, its turn and, between walls, its velocity. Its colours
    differ from all that the background has by at least `MARGIN`, as a root mean square
    over channels.

    Args:
        split: "train", "validation" or "test"; each has its own clips.
        objects: sprites in a clip, 1 to 8, or (least, most), drawn for each clip.
        components: K, for the random start `pi`.
        steps: T; a clip has T + 1 frames.
        batch_size: B; the last batch of validation and test may be smaller, that of
            train is dropped.
        seed: integer; another seed gives another data set.
        noise: probability that a number of a pixel is noisy.
        noise_kind: "masked-uniform" or "bitflip", see `noise`.
        size: (H, W) in pixels, or one integer; each from 16 to 128.
        channels: C, 3 for RGB, 1 for grey.
        background: "plain", of one colour; "gradient", from one colour to another along
            a line; "texture", clouds or stripes of two colours; or "any", one of these
            for each clip.
        silhouettes: mapping from a name to inner and outer radii, see `silhouettes`;
            drawn with replacement and turned at random.
        diameters: (least, most), a share of the shorter side of the frame.
        two_tone: probability that a sprite has two colours.
        edges: "smooth", a pixel at an edge is a mixture (anti-aliased); "hard"; or
            "any", one of these for each clip.
        speed: velocity is uniform in [-speed, speed] pixels per frame and axis, in
            steps of 1/64; 0 repeats a frame.
        masks: whether batches also have the mask of each sprite, the pixels that others
            cover included.
        clips: clips in the split; None is the paper's 50 000, 10 000, 10 000.
        skip: examples already seen; the data set goes on after them.
        epochs: passes over the clips; None is endless.
        part: (i, n), the i-th of n equal parts of every batch, for one of n hosts.

    Returns:
        tf.data.Dataset of the batches described in `pipeline.batches`, where groups
        are n at pixels at least half of which object n covers, and none nearer. It
        also has

            background (B, H, W, C) float32, in [0, 1]: the frame without sprites

        masks, if asked for, have N of the most objects; those that a clip lacks are 0.

    Raises:
        ValueError: if an argument is out of range, or sprites do not fit.
    """
    arguments.check_split(split)
    size = _check_size(size)
    least, most = _check_range(
        "objects", objects, 1, MOST_OBJECTS, Integral, "use e.g. (2, 4)"
    )
    channels = _check_channels(channels)
    backgrounds = _check_choice("background", background, BACKGROUNDS)
    edges = _check_choice("edges", edges, EDGES)
    arguments.check_noise_kind(noise_kind, noises.KINDS)
    two_tone = _check_probability("two_tone", two_tone)
    radii = _check_silhouettes(silhouettes)
    diameters = _check_diameters(diameters, size)
    speed = _check_speed(speed, size, diameters[1])
    clips = arguments.check_clips(clips, split)
    frames = 1 if speed == 0 else arguments.check_steps(steps) + 1
    seed = arguments.check_seed(seed)
    side = math.ceil(diameters[1]) * _CELLS  # of a bitmap, cells

    def draw(index):
        key = keys.clip_keys(seed, split, keys.SCENE, index)
        points = sum(grid**2 for grid in _GRIDS)
        shapes = (most, 9), (most, 2, _CANDIDATES, channels), (2, channels), (8,)
        return _Draws(*_split(key, (*shapes, (points,))))

    def backdrop(draws):
        """One clip: the two colours of its background, and the background."""
        colours = _background_colours(draws.background)  # (2, C)
        mixture = _mixture(draws.scene, draws.texture, backgrounds, size)  # (H, W)
        return colours, _mixed(colours, mixture)  # (H, W, C)

    def render(draws):
        count = least + draws.scene[0] % (most - least + 1)
        kinds, width, turn, pattern, toned = tf.unstack(draws.objects[:, :5], axis=1)
        width = diameters[0] + _uniform(width) * (diameters[1] - diameters[0])
        pattern = tf.where(_uniform(toned) < two_tone, 1 + pattern % _PATTERNS, 0)
        kinds, turn = kinds % len(radii), turn % ANGLES
        cover, tone = bitmaps(radii, kinds, width, turn, pattern, side)  # (N, h, h)
        present = tf.range(most, dtype=tf.int64) < count
        present = tf.cast(present, tf.float32)[:, None, None]
        cover, tone = cover * present, tone * present
        first, extent = _bounds(cover)  # (N, 2), cells
        free = _STEP * tf.constant(size, tf.int64) - _CELL * extent
        top_left, velocity = scenes.launch(draws.objects[:, 5:], free, speed)
        path = scenes.fly(top_left[None], velocity[None], free[None], frames)[0]
        path -= tf.cast(_CELL * first, tf.int32)[:, None]  # of the bitmap's corner
        colours, behind = backdrop(draws)
        mine = _sprite_colours(draws.colours, colours)  # (N, 2, C)
        hard = tf.gather(
            [kind == "hard" for kind in edges], draws.scene[1] % len(edges)
        )
        clean, covers = paint(cover, tone, mine, path, behind, hard)
        made = clean, _nearest(covers)
        return (*made, tf.transpose(covers, (1, 0, 2, 3))) if masks else made

    spec = [
        tf.TensorSpec((frames, *size, channels), tf.float32),
        tf.TensorSpec((frames, *size), tf.int32),
        tf.TensorSpec((frames, most, *size), tf.float32),
    ]

    def make_clips(index):
        signature = tuple(spec if masks else spec[:2])
        # One after another, so that a clip stays in the cache.
        return tf.map_fn(render, draw(index), fn_output_signature=signature)

    @tf.autograph.experimental.do_not_convert
    def with_background(batch):
        signature = tf.TensorSpec((*size, channels), tf.float32)
        behind = tf.map_fn(
            lambda draws: backdrop(draws)[1],
            draw(batch["index"]),
            fn_output_signature=signature,
        )
        return batch | {"background": behind}

    made = pipeline.batches(
        make_clips,
        split=split,
        components=components,
        frame_shape=(*size, channels),
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        noise=noise,
        noise_kind=noise_kind,
        clips=clips,
        skip=skip,
        epochs=epochs,
        part=part,
    )
    return made.map(
        with_background, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    ).prefetch(tf.data.AUTOTUNE)


def bitmaps(radii, kinds, diameters, turns, patterns, side):
    """Draw each sprite in the middle of a square of cells, `_CELLS` to a pixel.

    Args:
        radii: float32 (kinds, 2, ANGLES), see `silhouettes`.
        kinds: integers (N,), positions in `radii`.
        diameters: float32 (N,), pixels, at most side / _CELLS.
        turns: integers (N,), in [0, ANGLES), counterclockwise.
        patterns: integers (N,), 0 for one colour, 1 for halves, 2 for a core.
        side: h, cells.

    Returns:
        cover and tone, float32 (N, h, h), multiples of 1/4 in [0, 1]: the share of a
        cell that the sprite covers, and that its second colour does.
    """
    distance, angle = _polar(side * _SAMPLES)  # (q, q)
    kinds, turns = tf.cast(kinds, tf.int32), tf.cast(turns, tf.int32)
    angle = (angle - turns[:, None, None]) % ANGLES  # (N, q, q)
    place = angle + ANGLES * 2 * kinds[:, None, None]
    radii = tf.reshape(radii, (-1,))
    inner, outer = tf.gather(radii, place), tf.gather(radii, place + ANGLES)
    distance = distance / (diameters[:, None, None] / 2)  # (N, q, q)
    inside = (distance >= inner) & (distance <= outer)
    pattern = patterns[:, None, None]
    halves = (pattern == 1) & (angle < ANGLES // 2)
    core = (pattern == 2) & (distance <= inner + 0.6 * (outer - inner))
    second = inside & (halves | core)
    both = tf.cast(tf.stack([inside, second], axis=-1), tf.float32)  # (N, q, q, 2)
    both = tf.nn.avg_pool2d(both, _SAMPLES, _SAMPLES, "VALID")  # (N, h, h, 2)
    return both[..., 0], both[..., 1]


def paint(cover, tone, colours, path, background, hard):
    """Lay sprites over a background, the first one farthest.

    Args:
        cover, tone: float32 (N, h, h), see `bitmaps`.
        colours: float32 (N, 2, C), in [0, 1].
        path: int32 (N, F, 2), row and column of a bitmap's corner, 1/64 pixel.
        background: float32 (H, W, C).
        hard: boolean; pixels then belong to one alone.

    Returns:
        clean, float32 (F, H, W, C) in [0, 1]; covers, float32 (N, F, H, W): 1 where
        sprite n covers at least half of a pixel, those before it left aside.
    """
    height, width, channels = background.shape
    count, frames = path.shape[:2]
    layers = _place(cover, tone, path, (height, width))  # (N, F, H, 2, W)
    share, second = layers[..., 0, :], layers[..., 1, :]  # (N, F, H, W)
    covers = share >= 0.5
    sharp = tf.cast(covers, tf.float32)
    toned = tf.cast(covers & (second >= share / 2), tf.float32)
    share, second = tf.cond(hard, lambda: (sharp, toned), lambda: (share, second))
    left = tf.ones(share.shape[1:])  # of each pixel, by those nearer: (F, H, W)
    weights = []
    for mine, other in reversed(
        list(zip(*map(tf.unstack, (share, second)), strict=True))
    ):
        weights += [other * left, mine * left]
        left = left * (1.0 - mine)
    weights = tf.reshape(tf.stack(weights[::-1]), (2 * count, -1))  # (2 N, F*H*W)
    first, other = colours[:, 0], colours[:, 1]
    colours = tf.reshape(tf.stack([first, other - first], 1), (2 * count, channels))
    sprites = tf.matmul(colours, weights, transpose_a=True)  # (C, F*H*W)
    sprites = tf.reshape(sprites, (channels, frames, height, width))
    behind = tf.transpose(background, (2, 0, 1))[:, None]  # (C, 1, H, W)
    clean = tf.clip_by_value(sprites + left * behind, 0.0, 1.0)
    return tf.transpose(clean, (1, 2, 3, 0)), sharp  # (F, H, W, C)


def _place(cover, tone, path, size):
    """The share of each pixel under a sprite and its second colour: (N, F, H, 2, W).

    Two matrix products with the shares of pixels that lie under a row or a column of
    cells. All numbers are multiples of 2^-14, so that float32 adds them exactly.
    """
    count, frames = path.shape[:2]
    side = cover.shape[-1]
    rows = _overlap(path[..., 0], size[0], side)  # (N, F, H, h)
    columns = _overlap(path[..., 1], size[1], side)  # (N, F, W, h)
    rows = tf.reshape(rows, (count, frames * size[0], side))  # (N, F*H, h)
    both = rows @ tf.concat([cover, tone], axis=-1)  # (N, F*H, 2 h)
    both = tf.reshape(both, (count, frames, size[0] * 2, side))  # (N, F, 2 H, h)
    both = tf.matmul(both, columns, transpose_b=True)  # (N, F, 2 H, W)
    return tf.reshape(both, (count, frames, size[0], 2, size[1]))


def _overlap(place, length, side):
    """Share of each pixel under each cell of an axis: (N, F) -> (N, F, length, h)."""
    ahead = _CELL * np.arange(side) - _STEP * np.arange(length)[:, None]
    middle = ahead.astype(np.float32) + (_CELL - _STEP) / 2
    distance = tf.abs(tf.cast(place, tf.float32)[..., None, None] + middle)
    shared = tf.clip_by_value((_CELL + _STEP) / 2 - distance, 0.0, _CELL)
    return shared / _STEP


def _polar(samples):
    """Distance from the middle in pixels, and direction, of samples: two of (q, q)."""
    along = (np.arange(samples) + 0.5 - samples / 2) / (_CELLS * _SAMPLES)
    x, y = along[None], -along[:, None]
    angle = np.floor(np.arctan2(y, x) / (2 * np.pi) * ANGLES).astype(np.int32)
    return np.hypot(x, y).astype(np.float32), angle % ANGLES


def _bounds(cover):
    """Where the cells of a bitmap begin, and how many there are: int64 (N, 2) each."""
    some = cover > 0
    lines = [tf.reduce_any(some, axis=2), tf.reduce_any(some, axis=1)]  # rows, columns
    lines = tf.cast(tf.stack(lines, axis=1), tf.int32)  # (N, 2, h)
    first, after = tf.argmax(lines, axis=2), tf.argmax(lines[..., ::-1], axis=2)
    return first, cover.shape[-1] - first - after


def _nearest(covers):
    """Number of the nearest of the sprites on a pixel: (N, F, H, W) -> (F, H, W)."""
    numbers = tf.range(1, covers.shape[0] + 1, dtype=tf.float32)
    return tf.cast(tf.reduce_max(covers * numbers[:, None, None, None], 0), tf.int32)


def _background_colours(draws):
    """Two colours that differ by `CONTRAST` at most: integers (2, C) -> float32."""
    first, change = tf.unstack(_uniform(draws))
    second = first + CONTRAST * (2.0 * change - 1.0)
    return tf.stack([first, tf.clip_by_value(second, 0.0, 1.0)])


def _sprite_colours(draws, background):
    """The first candidates that are far enough from the background's colours.

    Args:
        draws: integers (N, 2, candidates, C).
        background: float32 (2, C); the background mixes these two.

    Returns:
        float32 (N, 2, C).
    """
    begin, end = tf.unstack(background)
    # A corner of the colour cube is at least 1/2 - CONTRAST/2 away in each channel.
    corner = tf.cast(begin + end < 1.0, tf.float32)  # (C,)
    last = tf.broadcast_to(corner, (*draws.shape[:2], 1, draws.shape[3]))
    candidates = tf.concat([_uniform(draws), last], axis=2)
    line, away = end - begin, candidates - begin
    length = tf.maximum(tf.reduce_sum(line**2), 1e-12)
    along = tf.reduce_sum(away * line, axis=-1, keepdims=True) / length
    away -= tf.clip_by_value(along, 0.0, 1.0) * line
    far = tf.reduce_mean(away**2, axis=-1) >= MARGIN**2  # (N, 2, candidates)
    chosen = tf.argmax(tf.cast(far, tf.int32), axis=2)
    return tf.gather(candidates, chosen, axis=2, batch_dims=2)


def _mixture(draws, texture, kinds, size):
    """How much of its second colour a background has: float32 (H, W), in [0, 1].

    Args:
        draws: integers (8,); the first two are not looked at.
        texture: integers (points,).
        kinds: of `BACKGROUNDS`, one of which is drawn.
        size: (H, W).
    """
    kind, which, *free = tf.unstack(draws[2:])
    turn, phase, period, _ = (_uniform(number) for number in free)
    rows, columns = (np.arange(n, dtype=np.float32) + 0.5 - n / 2 for n in size)
    sine, cosine = tf.sin(2 * np.pi * turn), tf.cos(2 * np.pi * turn)
    along = columns * cosine + rows[:, None] * sine  # (H, W), pixels

    def gradient():
        reach = (size[1] * tf.abs(cosine) + size[0] * tf.abs(sine)) / 2
        return tf.clip_by_value(0.5 + 0.5 * along / reach, 0.0, 1.0)

    def stripes():
        wave = along / (4.0 + 12.0 * period) + phase
        return 0.5 + 0.5 * tf.sin(2 * np.pi * wave)

    def clouds():
        heights = tf.split(_uniform(texture), [grid**2 for grid in _GRIDS])
        weights = [2.0**-i for i in range(len(_GRIDS))]
        mixture = tf.zeros(size)
        for grid, height, weight in zip(_GRIDS, heights, weights, strict=True):
            down, across = (_between(length, grid) for length in size)
            layer = down @ tf.reshape(height, (grid, grid))
            mixture += weight * tf.matmul(layer, across, transpose_b=True)
        mixture = mixture / sum(weights) - 0.5
        return tf.clip_by_value(0.5 + 2.0 * mixture, 0.0, 1.0)

    def textured():
        return tf.cond(which % 2 == 0, clouds, stripes)

    make = {"plain": lambda: tf.zeros(size), "gradient": gradient, "texture": textured}
    makers = [make[name] for name in kinds]
    return tf.switch_case(tf.cast(kind % len(makers), tf.int32), makers)


def _between(length, grid):
    """Weights of grid points, evenly over an axis, at each pixel: (length, grid)."""
    place = (np.arange(length) + 0.5) / length * (grid - 1)
    away = np.abs(place[:, None] - np.arange(grid))
    return np.maximum(0.0, 1.0 - away).astype(np.float32)


def _mixed(colours, mixture):
    """Colours (2, C) mixed pixel by pixel: (H, W) -> (H, W, C)."""
    begin, end = tf.unstack(colours)
    return begin + mixture[..., None] * (end - begin)


def _uniform(draws):
    """Integers uniform in [0, 2^32) -> float32 uniform in [0, 1)."""
    return tf.cast(draws // 2**8, tf.float32) / 2**24


def _split(key, shapes):
    """Integers uniform in [0, 2^32) in several shapes: keys (B, 2) -> (B, *shape)."""
    counts = [math.prod(shape) for shape in shapes]
    draws = tf.split(keys.integers(key, (sum(counts),)), counts, axis=1)
    return [
        tf.reshape(part, (-1, *shape))
        for part, shape in zip(draws, shapes, strict=True)
    ]


def _check_size(size):
    size = arguments.check_size(size)
    if not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise ValueError(
            f"size: expected {SIDES[0]} to {SIDES[1]} pixels a side, received "
            f"{size[0]} x {size[1]}; choose another size"
        )
    return size


def _check_channels(channels):
    if channels not in (1, 3) or isinstance(channels, bool):
        raise ValueError(
            f"channels: expected 3 or 1, received {channels!r}; 3 is RGB, 1 is grey"
        )
    return int(channels)


def _check_choice(name, choice, choices):
    """What is drawn from: `choices` for "any", else the one that is named."""
    if choice == "any":
        return choices
    if choice not in choices:
        raise ValueError(
            f"{name}: expected {', '.join(choices)} or any, received {choice!r}; "
            "name one of them"
        )
    return (choice,)


def _check_probability(name, value):
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(
            f"{name}: expected a probability in [0, 1], received {value!r}; "
            "0 is never, 1 is always"
        )
    return float(value)


def _check_range(name, value, least, most, kind, remedy):
    """Return (low, high) from a pair or one number, or raise ValueError."""
    pair = (value, value) if isinstance(value, kind) else value
    numbers = isinstance(pair, Iterable) and not isinstance(pair, str | Mapping)
    pair = tuple(pair) if numbers else ()
    right = len(pair) == 2 and all(
        isinstance(n, kind) and not isinstance(n, bool) for n in pair
    )
    if not right or not least <= pair[0] <= pair[1] <= most:
        raise ValueError(
            f"{name}: expected a number from {least} to {most}, or the least and the "
            f"most, received {value!r}; {remedy}"
        )
    return pair


def _check_diameters(diameters, size):
    """(least, most) in pixels."""
    low, high = _check_range(
        "diameters", diameters, 0, 1, Real, "0.2 is a fifth of the shorter side"
    )
    low, high = low * min(size), high * min(size)
    if low < SMALLEST:
        raise ValueError(
            f"diameters: expected at least {SMALLEST:g} pixels, received {low:g} of "
            f"{min(size)}; enlarge the sprites or the frame"
        )
    return low, high


def _check_speed(speed, size, diameter):
    """The largest velocity in units of 1/64 pixel."""
    real = isinstance(speed, Real) and not isinstance(speed, bool)
    # Half of the room, so that the move or the mirrored move ends inside the frame.
    most = (min(size) - math.ceil(diameter)) / 2
    if not real or not 0 <= speed <= most:
        raise ValueError(
            f"speed: expected 0 to {most:g} pixels per frame for sprites of "
            f"{diameter:g} pixels to bounce in {size[0]} x {size[1]}, received "
            f"{speed!r}; slow down or enlarge the frame"
        )
    return round(speed * _STEP)


def _check_silhouettes(silhouettes):
    """All radii, float32 (kinds, 2, ANGLES)."""
    if not isinstance(silhouettes, Mapping) or not silhouettes:
        raise ValueError(
            f"silhouettes: expected a mapping from names to radii, received "
            f"{silhouettes!r}; use SILHOUETTES or some of them"
        )
    for name, radii in silhouettes.items():
        array = np.asarray(radii)
        right = array.shape == (2, ANGLES) and array.dtype.kind in "iuf"
        if not right or not 0 <= array.min() <= array.max() <= 1:
            raise ValueError(
                f"silhouettes: expected {name!r} to be radii in [0, 1] of shape (2, "
                f"{ANGLES}), received {array.dtype} {array.shape}; see SILHOUETTES"
            )
    return np.stack([np.asarray(radii, np.float32) for radii in silhouettes.values()])
