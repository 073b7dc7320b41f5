"""Clips that are at hand as arrays."""

import numpy as np
import tensorflow as tf

from nem_tf import pixels
from nem_tf.data import arguments, pipeline
from nem_tf.data import noise as noises


def from_arrays(
    frames,
    groups=None,
    split="train",
    *,
    components=3,
    batch_size=64,
    seed=0,
    noise=0.2,
    noise_kind="auto",
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Clips from a NumPy array, with noise and random starts as of generated clips.

        clips = data.from_arrays(frames, components=4)
        nem.fit(clips)

    Args:
        frames: shape (N, T+1, H, W) or (N, T+1, H, W, C), numbers in [0, 1]; divide
            8-bit frames by 255.
        groups: labels (N, T+1, H, W), 0 for background and overlap and 1..n for
            objects; None, or all 0, if they are unknown. Nothing is learned from them.
        split: "train" visits the clips in another order in each epoch; "validation" and
            "test" in their own.
        noise_kind: "bitflip", "masked-uniform", or "auto": bit flips if all pixels are
            0 or 1.
        components, batch_size, seed, noise, skip, epochs, part: see
            `shapes.flying_shapes`.

    Returns:
        tf.data.Dataset of the batches described in `pipeline.batches`.

    Raises:
        ValueError: if an argument is out of range, or the shapes do not fit.
    """
    arguments.check_noise_kind(noise_kind, noises.OR_AUTO)
    frames = np.asarray(frames)
    if frames.ndim == 4:
        frames = frames[..., None]
    if frames.ndim != 5 or 0 in frames.shape or frames.shape[1] < 2:
        raise ValueError(
            f"frames: expected shape (N, T+1, H, W) or (N, T+1, H, W, C) with T of at "
            f"least 1, received {frames.shape}; one clip is frames[None]"
        )
    pixels.check("frames", frames)
    arrays, types = [frames], [tf.float32]
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != frames.shape[:4]:
            raise ValueError(
                f"groups: expected shape {frames.shape[:4]}, that of frames, received "
                f"{groups.shape}"
            )
        arguments.check_labels(groups, "the array")
        if groups.any():
            arrays, types = [frames, groups], [tf.float32, tf.int32]

    def read(index):
        clean, *labels = (array[index] for array in arrays)
        clean = clean.astype("float32").clip(0.0, 1.0)
        return clean, *(one.astype("int32") for one in labels)

    def make_clips(index):
        clips = tf.numpy_function(read, [index], types, stateful=False)
        shapes = [(None, *array.shape[1:]) for array in arrays]
        return tuple(map(tf.ensure_shape, clips, shapes))

    count, length, *frame_shape = frames.shape
    return pipeline.batches(
        make_clips,
        split=split,
        components=components,
        frame_shape=tuple(frame_shape),
        steps=length - 1,
        batch_size=batch_size,
        seed=seed,
        noise=noise,
        noise_kind=noises.kind_for(noise_kind, frames),
        clips=count,
        skip=skip,
        epochs=epochs,
        part=part,
    )
