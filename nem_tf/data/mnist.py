"""Flying MNIST (Section 4.3): digits that fly, bounce and cover each other."""

import tensorflow as tf

from nem_tf.data import arguments, keys, patches, pipeline, scenes
from nem_tf.data import digits as sources

COMPOSITIONS = {  # layers (B, N, F, H, W) -> (B, F, H, W)
    "maximum": lambda layers: tf.reduce_max(layers, axis=1),
    "sum": lambda layers: tf.minimum(tf.reduce_sum(layers, axis=1), 1.0),
}


def flying_mnist(
    split="train",
    *,
    digits="auto",
    pool=None,
    objects=2,
    components=2,
    steps=20,
    batch_size=64,
    seed=0,
    noise=0.2,
    size=(24, 24),
    speed=1,
    static=False,
    composition="maximum",
    threshold=0.5,
    digit_size=patches.DIGIT_SIZE,
    box=0,
    masks=False,
    clips=None,
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Grey clips of digits, with masked uniform noise.

    Digit size, motion and composition are not in the paper. Our reading: digits are
    cropped and halved as in `patches.prepare`, start and move as the shapes do, each
    in its own box, and compose by maximum. A digit covers the pixels where it is at
    least half as bright as can be. RESULTS.md has scores under other readings.

    Args:
        split: "train", "validation" or "test"; each has its own clips.
        digits: "auto", "mnist", "sklearn-digits", or a `Digits` object.
        pool: number of digits in this stage, see `patches.pool`; None is all.
        objects: digits in a clip, drawn from the pool with replacement.
        components: K, for the random start `pi`.
        steps: T; a clip has T + 1 frames.
        batch_size: B; the last batch of validation and test may be smaller, that of
            train is dropped.
        seed: integer; another seed gives another data set.
        noise: probability that a pixel is replaced by a draw from Uniform(0, 1).
        size: (H, W) in pixels, or one integer.
        speed: velocity is uniform in {-speed, ..., speed} pixels per frame and axis.
        static: True repeats the first frame.
        composition: of pixels where digits meet: "maximum", or "sum", at most 1.
        threshold: a digit covers the pixels where it is at least so bright, in (0, 1].
        digit_size: side of the largest digit, 1 to 20 pixels; the others are made
            smaller in the same proportion.
        box: side of a square with the digit in its middle, which moves and bounces in
            its place, pixels; 14 is MNIST's image, halved. 0: each digit's own box.
        masks: whether batches also have the mask of each digit, the pixels that others
            cover included.
        clips: clips in the split; None is the paper's 50 000, 10 000, 10 000.
        skip: examples already seen; the data set goes on after them.
        epochs: passes over the clips; None is endless.
        part: (i, n), the i-th of n equal parts of every batch, for one of n hosts.

    Returns:
        tf.data.Dataset of the batches described in `pipeline.batches`, with C = 1.

    Raises:
        ValueError: if an argument is out of range, or digits do not fit.
        MNISTNotFound: if digits is "mnist" and it is out of reach.
    """
    arguments.check_split(split)
    size = arguments.check_size(size)
    objects = arguments.check_objects(objects)
    if pool is not None:
        pool = arguments.check_integer("pool", pool, least=1, remedy="None is all")
    digit_size = arguments.check_digit_size(digit_size, patches.INK)
    box = arguments.check_box(box, digit_size)
    largest = {"digits": (box or digit_size,) * 2}
    speed = arguments.check_speed(0 if static else speed, size, largest)
    clips = arguments.check_clips(clips, split)
    frames = 1 if speed == 0 else arguments.check_steps(steps) + 1
    seed = arguments.check_seed(seed)
    threshold = arguments.check_threshold(threshold)
    _check_composition(composition)
    source = digits if isinstance(digits, sources.Digits) else sources.load(digits)
    chosen = patches.pool(source, split, pool, digit_size)
    if box:
        chosen = patches.in_boxes(chosen, box)
    with tf.device("CPU"):  # tf.data works there
        pixels, extents = tf.constant(chosen.pixels), tf.constant(chosen.extents)

    def make_clips(index):
        key = keys.clip_keys(seed, split, keys.SCENE, index)
        draws = keys.integers(key, (objects, 5))  # (B, N, 5)
        which = draws[..., 0] % len(chosen.pixels)  # (B, N)
        extent = tf.gather(extents, which)  # (B, N, 2)
        free = tf.constant(size, tf.int64) - extent
        top_left, velocity = scenes.launch(draws[..., 1:], free, speed)
        return digit_clip(
            tf.gather(pixels, which),
            extent,
            top_left,
            velocity,
            frames=frames,
            size=size,
            composition=composition,
            threshold=threshold,
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
        noise_kind="masked-uniform",
        clips=clips,
        skip=skip,
        epochs=epochs,
        part=part,
    )


def _check_composition(composition):
    if composition not in COMPOSITIONS:
        raise ValueError(
            f"composition: expected {' or '.join(COMPOSITIONS)}, received "
            f"{composition!r}; name one of them"
        )


def digit_clip(
    pixels,
    extents,
    top_left,
    velocity,
    *,
    frames,
    size=(24, 24),
    composition="maximum",
    threshold=0.5,
    masks=False,
):
    """Render digits with the given starts.

    Args:
        pixels: float32 (B, N, h, w) in [0, 1], digits in their top-left corners.
        extents: integers (B, N, 2), height and width of each digit, pixels.
        top_left: integers (B, N, 2), row and column in the first frame.
        velocity: integers (B, N, 2), pixels per frame.
        frames: F.
        size: (H, W).
        composition, threshold: see `flying_mnist`.
        masks: whether to return them too.

    Returns:
        clean, float32 (B, F, H, W, 1) in [0, 1]; groups, int32 (B, F, H, W), the
        object in draw order, 1..N, where it alone is at least the threshold, else 0;
        and, if asked for, masks, float32 (B, F, N, H, W), 1 where digit n is.
    """
    top_left, velocity = tf.cast(top_left, tf.int64), tf.cast(velocity, tf.int64)
    free = tf.constant(size, tf.int64) - tf.cast(extents, tf.int64)
    path = scenes.fly(top_left, velocity, free, frames)  # (B, N, F, 2)
    layers = scenes.place(pixels, path, size)  # (B, N, F, H, W)
    clean = COMPOSITIONS[composition](layers)[..., None]  # (B, F, H, W, 1)
    covers = tf.cast(layers >= threshold, tf.float32)  # (B, N, F, H, W)
    each = tf.unstack(covers, axis=1)
    marks = tf.unstack(scenes.marks(len(each)))
    marked = tf.add_n([mark * mask for mark, mask in zip(marks, each, strict=True)])
    groups = scenes.labels(marked, len(each))
    if not masks:
        return clean, groups
    return clean, groups, tf.transpose(covers, (0, 2, 1, 3, 4))
