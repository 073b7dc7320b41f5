"""Make clips of sprites with their labels: 256 to train on, or others.

    python examples/make_sprites.py FOLDER [SPLIT [CLIPS]]

FOLDER gets clips.npy, uint8 (N, T, H, W, 3), and labels.npy, uint8 (N, T, H, W): two to
four sprites over plain, shaded and textured backgrounds, 24 frames of 64 x 64.
"""

import pathlib
import sys

import numpy as np

from nem_tf import data


def main(folder, split="train", clips=256):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = data.flying_sprites(split, steps=23, batch_size=32, clips=int(clips))
    batches = [
        (np.rint(255 * batch["clean"]).astype("uint8"), batch["groups"].astype("uint8"))
        for batch in made.as_numpy_iterator()
    ]
    for name, parts in zip(
        ("clips", "labels"), zip(*batches, strict=True), strict=True
    ):
        np.save(folder / f"{name}.npy", np.concatenate(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
