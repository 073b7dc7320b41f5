"""A segmented video, as an animation or as arrays."""

import pathlib
from fractions import Fraction

import numpy as np

from reading import video
from trainers.training.files import replacing

STILL = 20  # how often a still image is shown: objects come apart over some frames


def as_clip(taken):
    """A `Video` of one frame repeated, since it needs some iterations.

    How long an image is shown is no rate, so it gets the usual one. Others stay as they
    are.
    """
    if len(taken.frames) > 1:
        return taken
    return video.Video(taken.frames.repeat(STILL, axis=0), video.FPS)


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


def write_layered(path, frames, found, own, fps):
    """Write what a model of layers found, at the size of the video itself.

    A .gif or .mp4 shows the video with its segments tinted and outlined; a .npz has the
    arrays of a `Segmentation` and the frames as `write` does, but `segments` (T, h, w)
    of the video's own pixels, uint8, or int32 from 256 components on.

    Args:
        path: the file; its folder is made.
        frames: the model's, (T, H, W, C).
        found: a `nem_tf.Segmentation` of them.
        own: pairs of a picture, uint8 (h, w, 3), and its segments, int32 (h, w).
        fps: frames per second, above 0.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    components = found.gamma.shape[1]
    with replacing(path) as beside:
        if path.suffix == ".npz":
            kind = "uint8" if components < 256 else "int32"
            segments = np.stack([labels.astype(kind) for _, labels in own])
            arrays = {**found._asdict(), "segments": segments}
            np.savez_compressed(beside, frames=frames, **arrays)
            return
        from export.own_size import overlay

        drawn = (overlay(*pair, components) for pair in own)
        write_film = _write_mp4 if path.suffix == ".mp4" else _write_gif
        write_film(beside, drawn, len(frames), fps)


def _write_gif(path, pictures, length, fps):
    """Pictures uint8 (h, w, 3) as a looping GIF, each with the colours it has most."""
    from PIL import Image

    from nem_tf.plots.animation import check_fps, save, steps

    check_fps(fps)
    shown = steps(length, fps)
    pages = [
        Image.fromarray(picture).quantize(dither=Image.Dither.NONE)
        for step, picture in enumerate(pictures)
        if step in shown
    ]
    save(path, pages, [*shown, length], fps)


def _write_mp4(path, pictures, length, fps):
    """Pictures uint8 (h, w, 3) as H.264; an odd side gets its last line twice."""
    import av

    from nem_tf.plots.animation import check_fps

    check_fps(fps)
    rate = max(Fraction(fps).limit_denominator(1001), Fraction(1, 1001))
    with av.open(str(path), "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            odd = [(0, side % 2) for side in picture.shape[:2]]
            picture = np.pad(picture, (*odd, (0, 0)), "edge")
            if not stream.is_open:
                stream.height, stream.width = picture.shape[:2]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        film.mux(stream.encode())
