"""Draw examples/own_clips.gif: clips that a model never saw, and what it made of them.

    python examples/make_picture.py RUN

RUN is a folder of `trainers.own_clips`, or another layered model that `export.segment`
takes. The upper row has the clips, the lower one their pixels, coloured by component.
"""

import pathlib
import sys
import tempfile

import numpy as np
from PIL import Image

from export import segment
from nem_tf import data
from nem_tf.plots.drawing import component_colours

OUT = pathlib.Path(__file__).parent / "own_clips.gif"
SIDE = 128  # pixels of a frame
STEPS = 39
GAP = 6  # pixels between the frames
WHITE = 255
MILLISECONDS = 90  # that a frame is shown


def main(run):
    clips = data.flying_sprites(
        "test",
        steps=STEPS,
        batch_size=1,
        size=SIDE,
        background="plain",
        speed=4.0,
        clips=4,
    )
    columns = []
    for batch in clips:
        frames = np.rint(255 * batch["clean"][0].numpy()).astype("uint8")
        grouped = coloured(frames, *segmented(run, frames))
        columns.append(side_by_side(frames, grouped, axis=1))
    save(side_by_side(*columns, axis=2))


def segmented(run, frames):
    """Segments (T, h, w) of frames, uint8 (T, h, w, 3), and K."""
    with tempfile.TemporaryDirectory() as folder:
        clip, out = pathlib.Path(folder, "clip.npy"), pathlib.Path(folder, "out.npz")
        np.save(clip, frames)
        if segment.main([str(run), str(clip), "--out", str(out)]):
            sys.exit(1)
        with np.load(out) as found:
            return found["segments"], found["gamma"].shape[1]


def coloured(frames, segments, components):
    """Frames in grey, their segments in colours, uint8 (T, h, w, 3)."""
    grey = frames.mean(axis=-1, keepdims=True)
    colours = 255 * np.concatenate([np.ones((1, 3)), component_colours(components)])
    share = np.where(segments > 0, 0.8, 0.6)[..., None]
    return (grey + share * (colours[segments] - grey)).round().astype("uint8")


def side_by_side(first, *others, axis):
    """Films with white between them along an axis, uint8 (T, h, w, 3)."""
    parts = [first]
    for film in others:
        shape = list(film.shape)
        shape[axis] = GAP
        parts += [np.full(shape, WHITE, "uint8"), film]
    return np.concatenate(parts, axis=axis)


def save(film):
    tall = Image.fromarray(film.reshape(-1, *film.shape[2:]))
    palette = tall.quantize(128, dither=Image.Dither.NONE)
    first, *others = [
        Image.fromarray(page).quantize(palette=palette, dither=Image.Dither.NONE)
        for page in film
    ]
    how = {"save_all": True, "append_images": others, "loop": 0, "optimize": True}
    first.save(OUT, duration=MILLISECONDS, **how)


if __name__ == "__main__":
    main(*sys.argv[1:])
