"""Frames as Keras users have them: an array, or a data set of batches of frames."""

import numpy as np
import tensorflow as tf

from nem_tf import pixels
from nem_tf.data import keys, pipeline
from nem_tf.data.arrays import from_arrays
from reading import background as backgrounds

BATCH = 32  # clips, as Keras has it


def are_frames(x):
    """Whether `x` is an array of frames, or a data set of frames (and labels)."""
    if isinstance(x, np.ndarray):
        return True
    spec = getattr(x, "element_spec", None)
    first = spec[0] if isinstance(spec, tuple) and spec else spec
    return isinstance(x, tf.data.Dataset) and isinstance(first, tf.TensorSpec)


def clips_of(x, split, *, components, background=None, batch_size=None):
    """Clips in the form of `pipeline.batches`, without noise.

    Args:
        x: frames (N, T+1, H, W) or (N, T+1, H, W, C), as `from_arrays` takes them; or a
            `tf.data.Dataset` of batches of such, or of pairs of such and of labels
            (B, T+1, H, W). In a data set uint8 is always divided by 255 and uint16 by
            65535; a batch of these that is a mask of 0 and 1 is refused when it comes.
        split: "train" visits an array in another order in each epoch, without the
            clips at the end that do not fill a batch; "test" all in their own order.
        components: K.
        background: how to estimate what is behind the objects of each clip, see
            `reading.background.estimate`; None: there is no need to know.
        batch_size: of an array; 32 if None, or all clips if they are fewer.

    Raises:
        ValueError: if an array has another shape, or pixels not in [0, 1].
    """
    if isinstance(x, np.ndarray):
        return from_arrays(
            x,
            split=split,
            components=components,
            batch_size=min(batch_size or BATCH, max(len(x), 1)),
            noise=0.0,
            background=background,
        )
    spec = x.element_spec
    frames = spec[0] if isinstance(spec, tuple) else spec
    if frames.shape.rank not in (4, 5):
        raise ValueError(
            "x: expected a data set of frames (B, T+1, H, W) or (B, T+1, H, W, C), "
            f"received {frames.shape}; batch the clips first"
        )
    clips = x.enumerate().map(
        lambda place, batch: _batch(place, batch, components, background)
    )
    if background is None:
        return clips
    return clips.with_options(pipeline.nothing_ahead())


def _batch(place, batch, components, background):
    """The dict of one batch of frames, and maybe labels."""
    frames, *labels = batch if isinstance(batch, tuple) else (batch,)
    if frames.shape.rank == 4:
        frames = frames[..., None]
    white = {tf.uint8: 255.0, tf.uint16: 65535.0}.get(frames.dtype, 1.0)
    clean = tf.cast(frames, tf.float32)
    if white > 1.0:
        line = (
            f"{pixels.TOLD}x: expected {frames.dtype.name} pixels up to {white:.0f} in "
            "a data set, received a mask of 0 and 1; cast it to float32"
        )
        right = tf.reduce_max(clean) != 1.0
        with tf.control_dependencies([tf.debugging.Assert(right, [line])]):
            clean = clean / white
    count = tf.shape(clean, tf.int64)[0]
    # Batches may differ in size: the numbers of their clips only have to differ.
    index = place * 2**20 + tf.range(count)
    pi_keys = keys.clip_keys(0, "train", keys.PI, index % 2**32)
    found = {
        "clean": clean,
        "noisy": clean[:, :-1],
        "pi": pipeline.random_pi(pi_keys, components, tuple(clean.shape[2:])),
        "index": index,
    }
    if labels:
        found["groups"] = tf.cast(labels[0], tf.int32)
    if background is not None:

        def estimate(clips):
            return np.stack([backgrounds.estimate(clip, background) for clip in clips])

        behind = tf.numpy_function(estimate, [clean], tf.float32, stateful=False)
        found["background"] = tf.ensure_shape(behind, (None, *clean.shape[2:]))
    return found
