"""Coloured sprites that fly over a background, made on the fly.

Unlike the paper's objects these are opaque and lie in depth: object n + 1 is nearer
than object n.
"""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nem_tf.data import arguments, backdrops, keys, painting, pipeline, scenes
from nem_tf.data import noise as noises
from nem_tf.data.silhouettes import ANGLES, SILHOUETTES

EDGES = ("smooth", "hard")
MOST_OBJECTS = 8
SIDES = (16, 128)  # of a frame, pixels
SMALLEST = 3.0  # diameter of a sprite, pixels
PATTERNS = (painting.HALVES, painting.CORE)  # of sprites with two colours


class _Draws(NamedTuple):
    """What a clip is made of: integers uniform in [0, 2^32); shapes without B."""

    scene: tf.Tensor  # (2,): how many sprites, edges
    sprites: tf.Tensor  # (N, 5): silhouette, diameter, turn, pattern, two-tone
    flights: tf.Tensor  # (N, 4): position and velocity, see `scenes.launch`
    colours: tf.Tensor  # (N, 2, candidates, C)
    ends: tf.Tensor  # (2, C): the colours that a background mixes
    mixture: tf.Tensor  # (5,), see `backdrops.mixture`
    points: tf.Tensor  # (POINTS,)


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
    differ from all that the background has by at least 1/4, as a root mean square over
    channels.

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
        are n where object n covers at least half of a pixel and none nearer does;
        covered pixels are not 0. They have a background. N of masks is the most objects
        that there may be; masks of those that a clip lacks are 0.

    Raises:
        ValueError: if an argument is out of range, or sprites do not fit.
    """
    arguments.check_split(split)
    size = _check_size(size)
    least, most = _check_range(
        "objects", objects, 1, MOST_OBJECTS, Integral, "use e.g. (2, 4)"
    )
    channels = _check_channels(channels)
    backgrounds = _check_choice("background", background, backdrops.BACKGROUNDS)
    edges = _check_choice("edges", edges, EDGES)
    arguments.check_noise_kind(noise_kind, noises.KINDS)
    remedy = "0 is never, 1 is always"
    two_tone = arguments.check_probability("two_tone", two_tone, remedy)
    radii = _check_silhouettes(silhouettes)
    diameters = _check_diameters(diameters, size)
    speed = _check_speed(speed, size, diameters[1])
    clips = arguments.check_clips(clips, split)
    frames = 1 if speed == 0 else arguments.check_steps(steps) + 1
    seed = arguments.check_seed(seed)
    side = math.ceil(diameters[1]) * painting.CELLS  # of a bitmap, cells
    frame_shape = (*size, channels)
    shapes = _Draws(
        scene=(2,),
        sprites=(most, 5),
        flights=(most, 4),
        colours=(most, 2, backdrops.CANDIDATES, channels),
        ends=(2, channels),
        mixture=(5,),
        points=(backdrops.POINTS,),
    )

    def draw(index):
        key = keys.clip_keys(seed, split, keys.SCENE, index)
        return _Draws(*_split(key, shapes))

    def behind(draws):
        """One clip: the two colours of its background (2, C), and it (H, W, C)."""
        ends = backdrops.two_colours(draws.ends)
        share = backdrops.mixture(draws.mixture, draws.points, backgrounds, size)
        return ends, backdrops.mixed(ends, share)

    def sprites(draws):
        """One clip: cover and tone of its sprites, (N, h, h); 0 of those it lacks."""
        kinds, width, turns, pattern, toned = tf.unstack(draws.sprites, axis=1)
        width = diameters[0] + keys.uniform(width) * (diameters[1] - diameters[0])
        pattern = tf.gather(PATTERNS, pattern % len(PATTERNS))
        toned = keys.uniform(toned) < two_tone
        pattern = tf.where(toned, pattern, painting.ONE_COLOUR)
        drawn = painting.bitmaps(
            radii, kinds % len(radii), width, turns % ANGLES, pattern, side
        )
        count = least + draws.scene[0] % (most - least + 1)
        there = tf.cast(tf.range(most, dtype=tf.int64) < count, tf.float32)
        return [bitmap * there[:, None, None] for bitmap in drawn]

    def flights(draws, cover):
        """One clip: where the corner of each bitmap is, int32 (N, F, 2)."""
        first, extent = painting.bounds(cover)  # (N, 2), cells
        free = painting.STEP * tf.constant(size, tf.int64) - painting.CELL * extent
        top_left, velocity = scenes.launch(draws.flights, free, speed)
        path = scenes.fly(top_left[None], velocity[None], free[None], frames)[0]
        return path - tf.cast(painting.CELL * first, tf.int32)[:, None]

    def render(draws):
        cover, tone = sprites(draws)
        path = flights(draws, cover)
        ends, background = behind(draws)
        colours = backdrops.sprite_colours(draws.colours, ends)  # (N, 2, C)
        hard = tf.gather(
            [kind == "hard" for kind in edges], draws.scene[1] % len(edges)
        )
        clean, covers = painting.paint(cover, tone, colours, path, background, hard)
        made = clean, painting.nearest(covers)
        return (*made, tf.transpose(covers, (1, 0, 2, 3))) if masks else made

    kinds = [
        tf.TensorSpec((frames, *frame_shape), tf.float32),
        tf.TensorSpec((frames, *size), tf.int32),
        tf.TensorSpec((frames, most, *size), tf.float32),
    ]

    # Both make one clip after another, so that each stays in the cache.

    def make_clips(index):
        signature = tuple(kinds if masks else kinds[:2])
        return tf.map_fn(render, draw(index), fn_output_signature=signature)

    def make_background(index):
        signature = tf.TensorSpec(frame_shape, tf.float32)
        return tf.map_fn(
            lambda draws: behind(draws)[1], draw(index), fn_output_signature=signature
        )

    return pipeline.batches(
        make_clips,
        split=split,
        components=components,
        frame_shape=frame_shape,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        noise=noise,
        noise_kind=noise_kind,
        clips=clips,
        skip=skip,
        epochs=epochs,
        part=part,
        background=make_background,
    )


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
    return round(speed * painting.STEP)


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
