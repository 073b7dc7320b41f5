"""A segmented video, as an animation or as arrays."""

import pathlib
from typing import NamedTuple

import numpy as np

from trainers.run_folder import replacing

STILL = 20  # how often a still image is shown: objects come apart over some frames


class Result(NamedTuple):
    """What was found in one video; see `NeuralEM.segment`."""

    segments: np.ndarray  # (T, H, W) int32
    gamma: np.ndarray  # (T, K, H, W, 1), soft assignment of frame t
    psi: np.ndarray  # (T, K, H, W, C), prediction of frame t+1


def as_clip(frames):
    """A still image repeated, since it needs some iterations; a video as it is."""
    return frames.repeat(STILL, axis=0) if len(frames) == 1 else frames


def check_out(out, source):
    """Refuse to write a result over the video that it is made from.

    Raises:
        ValueError: if both are one file.
    """
    if out.exists() and out.samefile(source):
        raise ValueError(f"out: {out} is the input; choose another file")


def write(path, frames, result, fps):
    """Write a .gif, which begins with the second frame (the first one was not
    predicted), or a .npz with the arrays of `Result` and the frames.

    Args:
        path: the file; its folder is made.
        frames: shape (T, H, W, C), T at least 2.
        result: a `Result` for them.
        fps: frames per second of the animation.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        if path.suffix == ".npz":
            np.savez_compressed(beside, frames=frames, **result._asdict())
            return
        from nem_tf import plots

        shown = frames[1:], result.psi[:-1], result.gamma[1:]
        plots.animation(beside, *shown, fps=fps)
