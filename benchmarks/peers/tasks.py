"""The clips that all methods learn from and are scored on.

TensorFlow is imported by functions only.
"""

import fcntl
import pathlib
from typing import NamedTuple

import numpy as np

from trainers.training.files import replacing

SPRITES = 2000  # clips that all methods learn coloured sprites from
SIDE = 32  # of their frames, pixels


class Task(NamedTuple):
    """A data set, and how N-EM's trainers are asked for it.

    title: of its panel and of its rows.
    maker: the function of `nem_tf.data`, and its arguments.
    components: K of all methods that have one.
    steps: T; methods see frames 0..T and are scored on frame T.
    shape: (H, W, C).
    binary: whether pixels are 0 or 1.
    noise: chance that a pixel is noisy.
    trainer: module of `trainers`, and flags that choose these clips.
    """

    title: str
    maker: str
    arguments: dict
    components: int
    steps: int
    shape: tuple[int, int, int]
    binary: bool
    noise: float
    trainer: str
    flags: tuple[str, ...] = ()


def _shapes(maker, title, count, steps, noise, arguments, flags=()):
    return Task(
        title=title,
        maker=maker,
        arguments=arguments,
        components=count,
        steps=steps,
        shape=(28, 28, 1),
        binary=True,
        noise=noise,
        trainer=maker,
        flags=flags,
    )


def _flying(count, words):
    flags = ("--objects", str(count), "--components", str(count))
    title, arguments = f"{words} flying shapes", {"objects": count}
    return _shapes("flying_shapes", title, count, 20, 0.2, arguments, flags)


TASKS = {
    "static_shapes": _shapes("static_shapes", "static shapes", 3, 15, 0.1, {}),
    "flying_shapes3": _flying(3, "three"),
    "flying_shapes5": _flying(5, "five"),
    "flying_mnist": Task(
        title="flying MNIST",
        maker="flying_mnist",
        arguments={"digits": "mnist"},
        components=2,
        steps=20,
        shape=(24, 24, 1),
        binary=False,
        noise=0.2,
        trainer="flying_mnist",
        flags=("--stages", "50000", "--digits", "mnist"),
    ),
    "sprites": Task(
        title="coloured sprites",
        maker="flying_sprites",
        arguments={"objects": (2, 4), "size": SIDE, "speed": 1.0},
        components=5,
        steps=20,
        shape=(SIDE, SIDE, 3),
        binary=False,
        noise=0.0,
        trainer="own_clips",
        flags=("--size", str(SIDE), "--components", "5"),
    ),
}


class Clips(NamedTuple):
    """Frames 0..T of clips to be scored on: N clips.

    noisy: (N, T + 1, H, W, C) float32; the same as `clean` where there is no noise.
    clean: (N, T + 1, H, W, C) float32 in [0, 1].
    groups: (N, T + 1, H, W) int32, 0 background or overlap, 1..n objects.
    """

    noisy: np.ndarray
    clean: np.ndarray
    groups: np.ndarray


def held_out(name, split, count, seed):
    """`Clips` of the validation or the test split of a task.

    Args:
        name: a key of `TASKS`.
        split: "validation" or "test".
        count: N.
        seed: of the clips.
    """
    task = TASKS[name]
    made = _made(name, split, seed, steps=task.steps + 1, clips=count, batch_size=50)
    found = [
        (batch["noisy"], batch["clean"][:, :-1], batch["groups"][:, :-1])
        for batch in made.as_numpy_iterator()
    ]
    return Clips(*(np.concatenate(part) for part in zip(*found, strict=True)))


def batches(name, seed, frames, batch_size, skip, sprites=None):
    """Endless batches to train on: noisy (B, F, H, W, C) and clean (B, F + 1, H, W, C).

    Args:
        name: a key of `TASKS`.
        seed: of the clips and their order.
        frames: F.
        batch_size: B.
        skip: batches that were seen before.
        sprites: the file that `make_sprites` wrote, for the task of that name.
    """
    if name == "sprites":
        return _windows(np.load(sprites, mmap_mode="r"), seed, frames, batch_size, skip)
    made = _made(
        name,
        "train",
        seed,
        steps=frames,
        batch_size=batch_size,
        skip=skip * batch_size,
        epochs=None,
    )
    return ((batch["noisy"], batch["clean"]) for batch in made.as_numpy_iterator())


def make_sprites(folder, seed):
    """Write the clips to train on as uint8 .npy, unless they are there; the path."""
    path = pathlib.Path(folder) / f"sprites-seed{seed}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be at it
        if path.is_file():
            return path
        made = _made("sprites", "train", seed, steps=20, clips=SPRITES, batch_size=50)
        found = [
            np.round(255 * batch["clean"]).astype(np.uint8)
            for batch in made.as_numpy_iterator()
        ]
        with replacing(path) as beside:
            np.save(beside, np.concatenate(found))
    return path


def _made(name, split, seed, **arguments):
    """The data set of `nem_tf.data`."""
    from nem_tf import data

    task = TASKS[name]
    return getattr(data, task.maker)(
        split,
        components=task.components,
        noise=task.noise,
        seed=seed,
        **task.arguments,
        **arguments,
    )


def _windows(clips, seed, frames, batch_size, skip):
    """Batches of windows of clips (N, T, H, W, C), mirrored as `own_clips` does it."""
    for number in range(skip, 2**31):
        rng = np.random.default_rng((seed, number))
        which = rng.integers(len(clips), size=batch_size)
        start = rng.integers(clips.shape[1] - frames, size=batch_size)
        flips = rng.integers(2, size=(batch_size, 3))
        window = np.stack(
            [
                clips[i, s : s + frames + 1][
                    tuple(slice(None, None, 1 - 2 * f) for f in flip)
                ]
                for i, s, flip in zip(which, start, flips, strict=True)
            ]
        )
        window = window.astype(np.float32) / 255
        yield window[:, :-1], window
