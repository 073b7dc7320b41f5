"""The pixels of one's own clips, grouped."""

from typing import NamedTuple

import numpy as np
from keras import ops

from nem_tf import memory, pixels
from nem_tf.inference import backgrounds
from nem_tf.inference.starts import likeliest
from nem_tf.inference.used import AUTO, count, only_used
from nem_tf.random_start import random_start


class Segmentation(NamedTuple):
    """What was found in a clip; B, or B and T, are absent if the input had none."""

    # (B, T, H, W) int32, the component that explains the pixel, 0..K-1; of a layered
    # model 0 is the background and 1..K are the components
    segments: np.ndarray
    gamma: np.ndarray  # (B, T, K, H, W, 1), soft assignment of frame t
    psi: np.ndarray  # (B, T, K, H, W, C), each component's prediction of frame t+1


def segment(nem, frames, components=None, seed=0, starts=1, background=None):
    """`NeuralEM.segment`; arguments, returns and errors are said there."""
    nem.check_weights()
    frames, batched = _as_clips(frames, nem.cell.frame_shape)  # (B, T, H, W, C)
    spare = components == AUTO
    components = count(nem.cell, components)
    memory.check(components, frames.size, "fewer clips at a time")
    seeds = seed + np.arange(len(frames)) if np.ndim(seed) == 0 else seed
    if len(seeds) != len(frames):
        raise ValueError(
            f"seed: expected one or one per clip ({len(frames)}), received {len(seeds)}"
        )
    pi = ops.convert_to_numpy(random_start(seeds, components, nem.cell.frame_shape))
    # The last frame stands in for the unknown next one, which only gamma would use.
    clean = np.concatenate([frames, frames[:, -1:]], axis=1)
    clips = {"clean": clean, "noisy": frames, "pi": pi}
    if nem.cell.layered:
        background = backgrounds.of_clips(background, frames, nem.cell.background)
        found = _layered(nem, clips, starts, background)
    else:
        backgrounds.refuse(background)
        found = _plain(nem, clips, starts)
    if spare:
        found = only_used(nem.cell, frames, found, background)
    return found if batched else Segmentation(*(part[0] for part in found))


def _plain(nem, clips, starts):
    """The result of the paper's cells: the first gamma is the random start."""
    outputs = likeliest(nem.predict_on_batch, clips, starts, nem.cell.likelihood)
    psi = np.asarray(outputs["psi"], "float32")
    first = ops.convert_to_numpy(nem.cell.first_pi(outputs["pi"]))[:, None]
    gamma = np.concatenate([first, outputs["gamma"][:, :-1]], axis=1)
    return Segmentation(nem.cell.segments(clips["noisy"], gamma), gamma, psi)


def _layered(nem, clips, starts, background):
    """The result of layers over a background; frame 0 is shown twice, so predicted."""
    frames = clips["noisy"]
    twice = {
        name: np.concatenate([frames[:, :1], clips[name]], axis=1)
        for name in ("clean", "noisy")
    }
    clips = {**clips, **twice, "background": background}
    outputs = likeliest(nem.predict_on_batch, clips, starts, nem.cell.likelihood)
    gamma = np.asarray(outputs["gamma"], "float32")[:, :-1]
    psi = np.asarray(outputs["psi"], "float32")[:, 1:]
    segments = nem.cell.segments(frames, gamma, background[:, None])
    return Segmentation(segments, gamma, psi)


def _as_clips(frames, frame_shape):
    """Frames as `NeuralEM.segment` takes them, (B, T, H, W, C), and if B was there."""
    try:
        frames = np.asarray(frames, "float32")
    except (ValueError, TypeError):
        raise ValueError(
            f"frames: expected an array of numbers, received {type(frames).__name__}; "
            "read the video first"
        ) from None
    frames = ops.convert_to_numpy(pixels.intensities("frames", frames))
    height, width, channels = frame_shape
    given = frames.shape
    if channels == 1 and given[-2:] == (height, width) and frames.ndim in (3, 4):
        frames = frames[..., None]
    batched = frames.ndim == 5
    if not batched:
        frames = frames[None]
    if frames.shape[2:] != frame_shape or 0 in frames.shape:
        raise ValueError(
            f"frames: expected (T, {height}, {width}, {channels}), with or without "
            f"leading B, received {given}; resize or convert the clip first"
        )
    return frames, batched
