"""From clean clips to batches: the part that every data set shares."""

import itertools

import numpy as np
import tensorflow as tf

from nem_tf.data import arguments, keys
from nem_tf.data import noise as noises

_ENDLESS = tf.int64.max


def batches(
    make_clips,
    *,
    split,
    components,
    frame_shape,
    steps,
    batch_size,
    seed,
    noise,
    noise_kind,
    clips,
    skip,
    epochs,
    part,
    background=None,
    mirror=False,
    in_python=False,
):
    """Number the examples, make their clips, add noise and the random start.

    Examples are counted e = skip, skip + 1, ...; e // clips is the epoch. Train
    visits all clips in another order in each epoch and draws noise and pi anew; the
    clips themselves stay. Validation and test repeat the same order and the same
    numbers. A batch may reach from one epoch into the next, so that `skip` alone
    resumes exactly.

    To iterate again, as `fit(..., epochs=3)` and `.repeat()` do, goes on with the next
    epochs of train: the second time over `epochs=1` is epoch 1. To look at a batch
    beforehand is such a time, too. What has no end (`epochs=None`) begins after `skip`
    each time.

    Args:
        make_clips: function from index, int64 (B,), to a tuple: clean, float32
            (B, F, H, W, C) in [0, 1], and, if there are any, groups, integers
            (B, F, H, W), and masks, float32 (B, F, N, H, W); F is T + 1, or 1 for a
            frame to be repeated.
        frame_shape: (H, W, C).
        noise: probability that a pixel is noisy, in [0, 1].
        noise_kind: a key of `noise.KINDS`.
        background: function from index, int64 (B,), to float32 (B, H, W, C) in [0, 1];
            None if it is unknown.
        mirror: whether train shows a clip also mirrored, from left to right and from
            top to bottom, and backwards: drawn anew in each epoch, each for half of the
            clips.
        in_python: whether `make_clips` or `background` call Python, as
            tf.numpy_function does; then no batch is made ahead, see `nothing_ahead`.
        split, components, steps, batch_size, seed, clips, skip, epochs, part: see
            `shapes.flying_shapes`.

    Returns:
        tf.data.Dataset of dicts:
            noisy (B, T, H, W, C) float32: what the network sees at steps 0..T-1
            clean (B, T+1, H, W, C) float32: step t is scored on frame t+1
            groups (B, T+1, H, W) int32: 0 background or overlap, 1..n objects; only if
                `make_clips` knows them
            pi (B, K, H, W, 1) float32: the random start, sums to 1 over K
            index (B,) int64: which clip
            masks (B, T+1, N, H, W) float32, only if `make_clips` makes them: 1 where
                object n is, in view or covered, else 0
            background (B, H, W, C) float32, only if there is a `background`: the clip
                without its objects

    Raises:
        ValueError: if an argument is out of range.
    """
    arguments.check_split(split)
    integer = arguments.check_integer
    components = integer(
        "components", components, least=1, remedy="K = 1 is a single component"
    )
    steps = arguments.check_steps(steps)
    batch_size = integer("batch_size", batch_size, least=1, remedy="the paper's is 64")
    seed = arguments.check_seed(seed)
    rate = arguments.check_noise(noise)
    skip = integer("skip", skip, least=0, remedy="0 begins at the first example")
    if epochs is not None:
        epochs = integer("epochs", epochs, least=1, remedy="None is endless")
        if split == "train" and epochs * clips < batch_size:
            raise ValueError(
                f"batch_size: expected at most the {epochs * clips} clips of all "
                f"epochs, received {batch_size}; use a smaller one or more epochs"
            )

    which, parts = arguments.check_part(part)
    if batch_size % parts or (split != "train" and clips % parts):
        raise ValueError(
            f"part: expected {batch_size} and {clips} clips to divide by {parts}, the "
            "number of parts; use another batch_size or clips"
        )

    @tf.autograph.experimental.do_not_convert  # half of the time to trace it
    def make_batch(counter):
        index, epoch = keys.visit(counter, clips=clips, seed=seed, split=split)
        made = [_repeat(part, steps + 1) for part in make_clips(index)]
        behind = None if background is None else background(index)
        if mirror and split == "train":
            mirror_keys = keys.clip_keys(seed, split, keys.MIRROR, index, epoch)
            made, behind = _mirrored(mirror_keys, made, behind)
        clean, *labels = made
        noise_keys = keys.clip_keys(seed, split, keys.NOISE, index, epoch)
        pi_keys = keys.clip_keys(seed, split, keys.PI, index, epoch)
        noisy = add_noise(noise_keys, clean[:, :-1], rate, noise_kind)
        batch = {
            "noisy": _with_shape(noisy, steps, *frame_shape),
            "clean": _with_shape(clean, steps + 1, *frame_shape),
            "pi": random_pi(pi_keys, components, frame_shape),
            "index": index,
        }
        if labels:
            batch["groups"] = _with_shape(labels[0], steps + 1, *frame_shape[:2])
        if background is not None:
            batch["background"] = _with_shape(behind, *frame_shape)
        return batch | ({"masks": labels[1]} if labels[1:] else {})

    stop = _ENDLESS if epochs is None else max(epochs * clips, skip)
    examples = tf.data.Dataset.range(skip, stop)
    if epochs is None:
        infinite = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        examples = examples.apply(infinite)
    elif split == "train":
        examples = _in_passes(skip, stop, epochs * clips)
    whole = split == "train" or (stop - skip) % batch_size == 0
    examples = examples.batch(batch_size, drop_remainder=whole)  # B is then known
    if parts > 1:
        examples = examples.map(lambda counter: tf.split(counter, parts)[which])
    if in_python:
        return examples.map(make_batch).with_options(nothing_ahead())
    made = examples.map(
        make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return made.prefetch(tf.data.AUTOTUNE)


def nothing_ahead():
    """Options of a data set that calls Python: no batch is made before it is asked for.

    TensorFlow deletes an iterator with Python's lock in hand, and waits for the threads
    that make batches ahead. Where one of these waits for Python, both wait for ever.
    """
    options = tf.data.Options()
    options.experimental_optimization.map_parallelization = False
    options.experimental_optimization.inject_prefetch = False
    return options


def _in_passes(start, stop, each):
    """Examples start..stop - 1 the first time, then always the next `each` ones."""
    passes = itertools.count()  # one a data set; begun anew in each process

    def bounds(_):
        past = tf.numpy_function(lambda: np.int64(next(passes)), [], tf.int64)
        past = tf.ensure_shape(past, ())
        return tf.where(past > 0, stop + (past - 1) * each, start), stop + past * each

    begun = tf.data.Dataset.from_tensors(0).map(bounds)
    examples = begun.flat_map(tf.data.Dataset.range)
    if stop - start == each:  # of each pass
        examples = examples.apply(tf.data.experimental.assert_cardinality(each))
    return examples


def _mirrored(mirror_keys, made, background):
    """Clips (B, F, ..., H, W[, C]) and backgrounds (B, H, W, C), some mirrored.

    Args:
        mirror_keys: int64 (B, 2).
        made: what `make_clips` returned.
        background: None if there is none.
    """
    drawn = keys.integers(mirror_keys, (3,)) % 2 == 1  # (B, 3)

    def changed(x, axes):
        for which, axis in enumerate(axes):
            if axis is not None:
                this = tf.reshape(drawn[:, which], (-1, *(1,) * (len(x.shape) - 1)))
                x = tf.where(this, tf.reverse(x, [axis]), x)
        return x

    # Rows, columns and time; of labels and masks they are the last axes.
    clean = changed(made[0], (2, 3, 1))
    labels = [changed(x, (len(x.shape) - 2, len(x.shape) - 1, 1)) for x in made[1:]]
    if background is not None:
        background = changed(background, (1, 2, None))
    return [clean, *labels], background


def add_noise(noise_keys, x, rate, kind):
    """Noisy copy of x (B, T, H, W, C), drawn from one key per clip, (B, 2)."""
    if rate == 0:
        return x
    shape = x.shape[1:]
    u = keys.halfwords(noise_keys, shape.num_elements())  # (B, T*H*W*C)
    u = tf.reshape(u, (-1, *shape))  # (B, T, H, W, C)
    return noises.KINDS[kind](x, u, rate)


def random_pi(pi_keys, components, frame_shape):
    """|N(0, 1)| draws normalised over K at every pixel: the original's random gamma.

    The same distribution as `random_start.random_start`, from other numbers.

    Args:
        pi_keys: int64 (B, 2).
        components: K; K = 1 gives ones.
        frame_shape: (H, W, C).

    Returns:
        pi, float32 (B, K, H, W, 1), sums to 1 over K.
    """
    shape = (components, *frame_shape[:2], 1)
    if components == 1:
        return tf.ones((tf.shape(pi_keys)[0], *shape))
    draws = tf.abs(keys.normals(pi_keys, shape))  # (B, K, H, W, 1)
    return draws / tf.reduce_sum(draws, axis=1, keepdims=True)


def _repeat(x, frames):
    """Repeat a single frame: (B, 1, ...) -> (B, F, ...); a clip passes unchanged."""
    if x.shape[1] != 1:
        return x
    return tf.repeat(x, frames, axis=1)  # (B, F, ...)


def _with_shape(x, *shape):
    return tf.ensure_shape(x, (None, *shape))
