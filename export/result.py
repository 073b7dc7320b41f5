"""A segmented video, as an animation or as arrays."""

import pathlib

import numpy as np

from trainers.training.files import replacing

STILL = 20  # how often a still image is shown: objects come apart over some frames


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


def write(path, frames, found, fps):
    """Write a .gif, which begins with the second frame (the first one was not
    predicted), or a .npz with the arrays of a `Segmentation` and the frames.

    Args:
        path: the file; its folder is made.
        frames: shape (T, H, W, C), T at least 2.
        found: a `nem_tf.Segmentation` of them.
        fps: frames per second of the animation.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        if path.suffix == ".npz":
            np.savez_compressed(beside, frames=frames, **found._asdict())
            return
        from nem_tf import plots

        shown = frames[1:], found.psi[:-1], found.gamma[1:]
        plots.animation(beside, *shown, fps=fps)
