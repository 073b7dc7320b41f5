"""Static shapes (Section 4.1) and flying shapes (Section 4.2), made on the fly."""

import numpy as np
import tensorflow as tf

from nem_tf.data import arguments, keys, pipeline, scenes


def _triangle():
    rows = [(5, 6), (4, 7), (3, 8), (2, 9), (1, 10), (0, 11), (0, 11)]
    hole = {3: (5, 6), 4: (4, 7)}
    bitmap = np.zeros((7, 12), np.uint8)
    for row, (first, last) in enumerate(rows):
        bitmap[row, first : last + 1] = 1
    for row, (first, last) in hole.items():
        bitmap[row, first : last + 1] = 0
    return bitmap


SQUARE = np.pad(np.zeros((3, 3), np.uint8), 2, constant_values=1)  # (7, 7)
UP = _triangle()  # (7, 12)
SHAPES = {"square": SQUARE, "up": UP, "down": UP[::-1].copy()}
"""The paper's three shapes, as read off its published figure."""


def flying_shapes(
    split="train",
    *,
    objects=3,
    components=3,
    steps=20,
    batch_size=64,
    seed=0,
    noise=0.2,
    size=(28, 28),
    bitmaps=SHAPES,
    speed=1,
    masks=False,
    clips=None,
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Binary clips of outlined shapes that fly, bounce and pass through each other.

    Args:
        split: "train", "validation" or "test"; each has its own clips.
        objects: shapes in a clip.
        components: K, for the random start `pi`.
        steps: T; a clip has T + 1 frames.
        batch_size: B; the last batch of validation and test may be smaller, that of
            train is dropped.
        seed: integer; another seed gives another data set.
        noise: probability of a bit flip.
        size: (H, W) in pixels, or one integer.
        bitmaps: mapping from a name to a 2-D array of 0 and 1; kinds are drawn from
            it with replacement.
        speed: velocity is uniform in {-speed, ..., speed} pixels per frame and axis.
        masks: whether batches also have the mask of each object, the pixels that others
            cover included.
        clips: clips in the split; None is the paper's 50 000, 10 000, 10 000.
        skip: examples already seen; the data set goes on after them.
        epochs: passes over the clips; None is endless.
        part: (i, n), the i-th of n equal parts of every batch, for one of n hosts.

    Returns:
        tf.data.Dataset of the batches described in `pipeline.batches`, with C = 1.

    Raises:
        ValueError: if an argument is out of range, or a shape does not fit.
    """
    arguments.check_split(split)
    size = arguments.check_size(size)
    objects = arguments.check_objects(objects)
    if not bitmaps:
        raise ValueError(
            "bitmaps: expected at least one bitmap, received none; use SHAPES"
        )
    bitmaps = {name: _check_bitmap(name, bitmap) for name, bitmap in bitmaps.items()}
    extents = {name: bitmap.shape for name, bitmap in bitmaps.items()}
    speed = arguments.check_speed(speed, size, extents)
    clips = arguments.check_clips(clips, split)
    frames = 1 if speed == 0 else arguments.check_steps(steps) + 1
    seed = arguments.check_seed(seed)

    def make_clips(index):
        key = keys.clip_keys(seed, split, keys.SCENE, index)
        draws = keys.integers(key, (objects, 5))  # (B, N, 5)
        kinds = draws[..., 0] % len(bitmaps)  # (B, N)
        free = tf.gather(_free(bitmaps, size), kinds)  # (B, N, 2)
        top_left, velocity = scenes.launch(draws[..., 1:], free, speed)
        return shape_clip(
            kinds,
            top_left,
            velocity,
            frames=frames,
            size=size,
            bitmaps=bitmaps,
            masks=masks,
        )

    return pipeline.batches(
        make_clips,
        split=split,
        components=components,
        frame_shape=(*size, 1),
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        noise=noise,
        noise_kind="bitflip",
        clips=clips,
        skip=skip,
        epochs=epochs,
        part=part,
    )


def static_shapes(
    split="train",
    *,
    objects=3,
    components=3,
    steps=15,
    batch_size=64,
    seed=0,
    noise=0.1,
    size=(28, 28),
    bitmaps=SHAPES,
    masks=False,
    clips=None,
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Binary images of outlined shapes: one frame repeated, with fresh noise per step.

    Arguments, returns and errors are those of `flying_shapes`.
    """
    return flying_shapes(
        split,
        objects=objects,
        components=components,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        noise=noise,
        size=size,
        bitmaps=bitmaps,
        speed=0,
        masks=masks,
        clips=clips,
        skip=skip,
        epochs=epochs,
        part=part,
    )


def shape_clip(
    kinds,
    top_left,
    velocity,
    *,
    frames,
    size=(28, 28),
    bitmaps=SHAPES,
    masks=False,
):
    """Render shapes with the given starts: pixels compose by OR.

    Args:
        kinds: integers (B, N), positions in `bitmaps`.
        top_left: integers (B, N, 2), row and column in the first frame.
        velocity: integers (B, N, 2), pixels per frame.
        frames: F.
        size: (H, W).
        bitmaps: mapping from a name to a 2-D array of 0 and 1.
        masks: whether to return them too.

    Returns:
        clean, float32 (B, F, H, W, 1), 0 or 1; groups, int32 (B, F, H, W), the
        object in draw order, 1..N, where it alone covers the pixel, else 0; and, if
        asked for, masks, float32 (B, F, N, H, W), 1 where object n is.
    """
    patches = tf.gather(_patches(bitmaps), kinds)  # (B, N, h, w)
    free = tf.gather(_free(bitmaps, size), kinds)  # (B, N, 2)
    path = scenes.fly(
        tf.cast(top_left, tf.int64), tf.cast(velocity, tf.int64), free, frames
    )  # (B, N, F, 2)
    objects = patches.shape[1]
    marked = patches * scenes.marks(objects)[:, None, None]  # (B, N, h, w)
    marked = scenes.paint(marked, path, size)  # (B, F, H, W)
    clean = tf.minimum(marked, 1)[..., None]  # (B, F, H, W, 1)
    groups = scenes.labels(marked, objects)
    if not masks:
        return clean, groups
    layers = scenes.place(patches, path, size)  # (B, N, F, H, W)
    return clean, groups, tf.transpose(layers, (0, 2, 1, 3, 4))


def _patches(bitmaps):
    """All bitmaps in the top-left corner of equal boxes, float32 (kinds, h, w)."""
    extents = np.array([bitmap.shape for bitmap in bitmaps.values()])
    patches = np.zeros((len(bitmaps), *extents.max(axis=0)), np.float32)
    for patch, bitmap in zip(patches, bitmaps.values(), strict=True):
        patch[: bitmap.shape[0], : bitmap.shape[1]] = bitmap
    return patches


def _free(bitmaps, size):
    """Largest legal top-left of each kind, int64 (kinds, 2)."""
    extents = np.array([bitmap.shape for bitmap in bitmaps.values()], np.int64)
    return np.array(size, np.int64) - extents


def _check_bitmap(name, bitmap):
    """Return `bitmap` as an array, or raise ValueError unless it is made of 0 and 1."""
    bitmap = np.asarray(bitmap)
    if bitmap.ndim != 2 or not np.isin(bitmap, (0, 1)).all() or not bitmap.any():
        raise ValueError(
            f"bitmaps: expected {name!r} to be a 2-D array of 0 and 1 with some 1, "
            f"received {bitmap.dtype} {bitmap.shape}; draw it in zeros and ones"
        )
    return bitmap
