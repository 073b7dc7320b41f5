"""Random draws keyed by (seed, split, index, purpose, epoch).

A clip's numbers depend on its key alone. The same clip therefore comes out for any
batch size, number of workers, replicas, or restart.
"""

import tensorflow as tf

SPLITS = ("train", "validation", "test")
SCENE, NOISE, PI, MIRROR = range(4)  # purposes: what a draw is for

_INDEX_BITS, _EPOCH_BITS, _SPLIT_BITS = 32, 24, 2


def clip_keys(seed, split, purpose, index, epoch=0):
    """One key per clip; different arguments never give the same key.

    Args:
        seed: integer in [0, 2**63).
        split: "train", "validation" or "test".
        purpose: `SCENE`, `NOISE`, `PI` or `MIRROR`.
        index: which clips, integers (B,) below 2**32.
        epoch: integers (B,) or one integer, below 2**24.

    Returns:
        keys, int64 (B, 2), to be used as seeds of TensorFlow's stateless draws.
    """
    index = tf.cast(index, tf.int64)
    high = (purpose << _SPLIT_BITS) | SPLITS.index(split)
    key = tf.cast(epoch, tf.int64) * 2**_INDEX_BITS + index
    key += tf.constant(high << (_INDEX_BITS + _EPOCH_BITS), tf.int64)
    return tf.stack([tf.fill(tf.shape(key), tf.constant(seed, tf.int64)), key], axis=1)


def integers(keys, shape):
    """Integers uniform in [0, 2**32), int64 (B, *shape); reduce them with `%`."""

    def draw(key):
        return tf.random.stateless_uniform(
            shape, key, None, None, tf.uint32, alg="philox"
        )

    draws = tf.map_fn(draw, keys, fn_output_signature=tf.uint32)
    return tf.cast(draws, tf.int64)


def uniform(draws):
    """Such integers of any shape as float32, uniform in [0, 1)."""
    return tf.cast(draws // 2**8, tf.float32) / 2**24


def halfwords(keys, size):
    """Integers uniform in [0, 2**16), uint16 (B, size): two from each 32-bit draw."""
    words = (size + 1) // 2

    def draw(key):
        return tf.random.stateless_uniform(
            [words], key, None, None, tf.uint32, alg="philox"
        )

    draws = tf.map_fn(draw, keys, fn_output_signature=tf.uint32)  # (B, words)
    draws = tf.bitcast(draws, tf.uint16)  # (B, words, 2)
    return tf.reshape(draws, (-1, 2 * words))[:, :size]  # (B, size)


def normals(keys, shape):
    """Draws from N(0, 1), float32 (B, *shape)."""

    def draw(key):
        return tf.random.stateless_normal(shape, key, alg="philox")

    return tf.map_fn(draw, keys, fn_output_signature=tf.float32)


def visit(counter, *, clips, seed, split):
    """Which clip the e-th example is, and in which epoch.

    Epoch e // clips of "train" is a permutation of all clips, another one in each
    epoch. The other splits keep their order, and their epoch is always 0, so that a
    score is about the same pixels each time.

    Args:
        counter: e, int64 (B,).
        clips: number of clips in the split.
        seed: integer in [0, 2**63).
        split: "train", "validation" or "test".

    Returns:
        index, int64 (B,), in [0, clips); epoch, int64 (B,).
    """
    counter = tf.cast(counter, tf.int64)
    index, epoch = counter % clips, counter // clips
    if split != "train":
        return index, tf.zeros_like(epoch)
    words = tf.constant([seed % 2**31, seed >> 31], tf.int64)  # the shuffle reads
    words = tf.tile(words[None], (tf.shape(epoch)[0], 1))  # 32 bits of each word
    order = tf.concat([words, epoch[:, None]], axis=1)  # (B, 3)
    last = tf.fill(tf.shape(index), tf.constant(clips - 1, tf.int64))
    # tf.random.experimental.index_shuffle takes a single seed, the op one per index.
    index = tf.raw_ops.RandomIndexShuffle(
        index=index, seed=order, max_index=last, rounds=4
    )
    return index, epoch
