"""Clips that are at hand as arrays."""

import numpy as np
import tensorflow as tf

from nem_tf import pixels
from nem_tf.data import arguments, pipeline
from nem_tf.data import noise as noises
from reading import arrays as files
from reading.background import KINDS, estimate


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
    background=None,
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Clips from a NumPy array, with noise and random starts as of generated clips.

        clips = data.from_arrays(frames, components=4)
        nem.fit(clips)

    Args:
        frames: shape (N, T+1, H, W) or (N, T+1, H, W, C). uint8 is divided by 255 and
            uint16 by 65535, unless it is a mask of 0 and 1; other numbers are in
            [0, 1]. A memory map is read batch by batch.
        groups: labels (N, T+1, H, W), 0 for background and overlap and 1..n for
            objects; None, or all 0, if they are unknown. Nothing is learned from them.
        split: "train" visits the clips in another order in each epoch; "validation" and
            "test" in their own.
        noise_kind: "bitflip", "masked-uniform", or "auto": bit flips if all pixels are
            0 or 1.
        background: what batches have as `background`: an array (H, W, C) of all clips
            or (N, H, W, C), numbers as in `frames`, without C if frames have none;
            "plain", "still" or "auto": it is estimated for each clip, see
            `reading.background.estimate`; or None, nothing.
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
    white = files.white(frames)
    if white == 1:
        pixels.check("frames", frames)
    behind = _background(background, frames, white)
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

    def unit(found):
        return (found.astype("float32") / np.float32(white)).clip(0.0, 1.0)

    def read(index):
        clean, *labels = (array[index] for array in arrays)
        return unit(clean), *(one.astype("int32") for one in labels)

    def make_clips(index):
        clips = tf.numpy_function(read, [index], types, stateful=False)
        shapes = [(None, *array.shape[1:]) for array in arrays]
        return tuple(map(tf.ensure_shape, clips, shapes))

    def make_background(index):
        def of(i):
            return unit(behind[i if len(behind) > 1 else 0 * i])

        return tf.numpy_function(of, [index], tf.float32, stateful=False)

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
        noise_kind=noises.kind_for(noise_kind, frames, white),
        clips=count,
        skip=skip,
        epochs=epochs,
        part=part,
        background=None if behind is None else make_background,
        in_python=True,
    )


def _background(background, frames, white):
    """What is behind each clip, (N or 1, H, W, C), numbers as in `frames`; or None."""
    if background is None:
        return None
    if isinstance(background, str) and background in KINDS:
        scale = np.float32(white)
        return np.stack([estimate(x / scale, background) * scale for x in frames])
    found = np.asarray(background)
    shape = frames.shape[2:]
    if shape[-1] == 1 and found.shape[-2:] == shape[:2]:
        found = found[..., None]
    if found.shape not in (shape, (len(frames), *shape)) or isinstance(background, str):
        received = repr(background) if isinstance(background, str) else found.shape
        raise ValueError(
            f"background: expected one of {', '.join(KINDS)}, {shape} or "
            f"{(len(frames), *shape)}, received {received}; give what is behind the "
            "objects"
        )
    if found.dtype != frames.dtype or white == 1:
        own = files.white(found)
        if own == 1:
            pixels.check("background", found)
        found = found.astype("float32") * np.float32(white / own)
    return found.reshape(-1, *shape)
