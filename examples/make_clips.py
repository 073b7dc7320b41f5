"""Make the clips of this folder: sprites that fly over plain and textured backgrounds.

    python examples/make_clips.py

Each is a GIF of 64 x 64 pixels in `clips/`; its labels, one colour for each sprite and
black for the background, have the same name in `labels/`.
"""

import pathlib

import numpy as np
from PIL import Image

from nem_tf import data

HERE = pathlib.Path(__file__).parent
KINDS = {"plain": 4, "texture": 6}  # how many clips of each
LENGTHS = (21, 22, 24, 25, 27)  # frames, in turn
COLOURS = ((0, 0, 0), (230, 41, 56), (41, 107, 235), (250, 178, 26), (38, 168, 102))
MILLISECONDS = 100  # that a frame is shown


def main():
    for seed, (kind, count) in enumerate(KINDS.items(), start=1):
        clips = data.flying_sprites(
            "test",
            objects=(2, 3),
            steps=max(LENGTHS) - 1,
            batch_size=1,
            seed=seed,
            background=kind,
            speed=3.0,
            clips=count,
        )
        for number, batch in enumerate(clips):
            length = LENGTHS[number % len(LENGTHS)]
            frames = np.rint(255 * batch["clean"][0, :length].numpy()).astype("uint8")
            labels = np.array(COLOURS, "uint8")[batch["groups"][0, :length].numpy()]
            save(HERE / "clips" / f"{kind}{number + 1}.gif", frames)
            save(HERE / "labels" / f"{kind}{number + 1}.gif", labels)


def save(path, frames):
    """Write frames, uint8 (T, H, W, 3), with one palette for all of them."""
    path.parent.mkdir(exist_ok=True)
    tall = Image.fromarray(frames.reshape(-1, *frames.shape[2:]))
    palette = tall.quantize(256, dither=Image.Dither.NONE)
    pages = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    how = {"save_all": True, "append_images": pages[1:], "loop": 0}
    pages[0].save(path, duration=MILLISECONDS, optimize=True, **how)


if __name__ == "__main__":
    main()
