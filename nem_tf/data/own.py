"""People's own clips as batches: films, pictures, arrays, benchmarks."""

import numpy as np
import tensorflow as tf

from nem_tf.data import arguments, pipeline
from nem_tf.data import noise as noises
from reading.background import KINDS
from reading.base import spread
from reading.own import OwnClips

WHITE = 255
_LOOK = 64  # frames that tell the kind of noise


def from_folder(
    path,
    split="train",
    *,
    size=None,
    channels=None,
    components=3,
    steps=20,
    stride=None,
    labels=None,
    axes="auto",
    pictures="auto",
    batch_size=64,
    seed=0,
    noise=0.2,
    noise_kind="auto",
    background="auto",
    clips=None,
    windows=None,
    cache=None,
    mirror=False,
    skip=0,
    epochs=1,
    part=(0, 1),
):
    """Clips from people's own files, with noise and random starts as of generated ones.

        nem.fit(data.from_folder("films", size=(64, 64), components=4))

    The files are decoded once, brought to one size and kept as bytes in a folder of
    decoded clips, from which this run and later ones read what they need. Long clips
    give several windows of T + 1 frames.

    Args:
        path: a folder of films or of folders of pictures, a film, an .npy or .npz, an
            HDF5 or TFRecord file, "tfds:NAME", see `reading.sources.find`; or an
            `OwnClips` that is open already.
        split: "train" visits the windows in another order in each epoch; "validation"
            and "test" in their own. No clip is in two of them, see `OwnClips.split`
            and, of one or two clips, `OwnClips.windows`.
        size, channels, clips: see `reading.cache.cached`: the common size, at most 64
            pixels, and grey where all frames are.
        stride: frames from one window to the next; None is half of T + 1.
        labels: where labels are, see `reading.sources.find`. Nothing is learned from
            them.
        axes: of an array of many clips: "clips-first", "time-first" or "auto".
        pictures: of a folder: "frames" of a clip, "images" of their own, or "auto".
        noise_kind: "bitflip", "masked-uniform", or "auto": bit flips if all pixels of
            a sample are black or white.
        background: what batches have as `background`: that of each clip, "plain" or
            "still", or "auto", see `OwnClips`; None: none.
        windows: how many windows of the split to take, evenly spaced; None is all.
        cache: folder for the decoded clips; None is the environment variable
            NEM_TF_CACHE, or ~/.cache/nem_tf/clips.
        mirror: whether train shows clips also mirrored and backwards: see
            `pipeline.batches`. It makes up for few clips, where what moves looks and
            moves alike on both sides and in both directions.
        components, steps, batch_size, seed, noise, skip, epochs, part: see
            `shapes.flying_shapes`.

    Returns:
        tf.data.Dataset of the batches described in `pipeline.batches`; `index` counts
        the windows of the split.

    Raises:
        ValueError: if there are no such clips, or an argument is out of range.
    """
    arguments.check_split(split)
    steps = arguments.check_steps(steps)
    arguments.check_noise_kind(noise_kind, noises.OR_AUTO)
    if np.ndim(background):
        raise ValueError(
            f"background: expected one of {', '.join(KINDS)} or None, received an "
            "array; give an image of your own to data.from_arrays"
        )
    if background not in (*KINDS, None):
        raise ValueError(
            f"background: expected one of {', '.join(KINDS)} or None, received "
            f"{background!r}; name one of them"
        )
    own = path
    asked = {
        "size": size,
        "channels": channels,
        "labels": labels,
        "axes": None if axes == "auto" else axes,
        "pictures": None if pictures == "auto" else pictures,
        "clips": clips,
        "cache": cache,
    }
    if not isinstance(path, OwnClips):
        kind = background or "auto"
        asked |= {"axes": axes, "pictures": pictures}
        own = OwnClips(path, background=kind, **asked)
    elif background not in ("auto", own.background_kind, None):
        raise ValueError(
            f"background: expected auto or {own.background_kind} for clips that are "
            f"open, received {background}; give it to OwnClips"
        )
    elif any(value is not None for value in asked.values()):
        name = next(name for name, value in asked.items() if value is not None)
        usual = "auto" if name in ("axes", "pictures") else None
        raise ValueError(
            f"{name}: expected {usual} for clips that are open, received "
            f"{asked[name]!r}; give it to OwnClips"
        )
    found = own.windows(split, steps, stride)
    if windows is not None:
        arguments.check_integer("windows", windows, least=1, remedy="None is all")
        if windows > len(found):
            raise ValueError(
                f"windows: expected at most {len(found)}, which {split} has, received "
                f"{windows}; ask for fewer"
            )
        found = found[spread(len(found), windows)]
    windows = found
    length = 1 if own.still else steps + 1

    def make_clips(index):
        types = [tf.uint8, tf.uint8][: 1 + own.labelled]
        found = tf.numpy_function(read, [index], types, stateful=False)
        clean = tf.ensure_shape(found[0], (None, length, *own.frame_shape))
        clean = tf.cast(clean, tf.float32) / WHITE
        labels = (tf.ensure_shape(x, (None, length, *own.size)) for x in found[1:])
        return clean, *(tf.cast(x, tf.int32) for x in labels)

    def read(index):
        places = [(i, begin, begin + length) for i, begin in windows[index]]
        clean = np.stack([own.frames(*place) for place in places])
        if not own.labelled:
            return [clean]
        return [clean, np.stack([own.labels(*place) for place in places])]

    def make_background(index):
        behind = tf.numpy_function(read_background, [index], tf.uint8, stateful=False)
        behind = tf.ensure_shape(behind, (None, *own.frame_shape))
        return tf.cast(behind, tf.float32) / WHITE

    def read_background(index):
        return np.stack([own.background(i) for i, _ in windows[index]])

    return pipeline.batches(
        make_clips,
        split=split,
        components=components,
        frame_shape=own.frame_shape,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        noise=noise,
        noise_kind=noises.kind_for(noise_kind, _sample(own, windows), WHITE),
        clips=len(windows),
        skip=skip,
        epochs=epochs,
        part=part,
        background=None if background is None else make_background,
        mirror=mirror,
        in_python=True,
    )


def _sample(own, windows):
    """Some frames of the split, evenly spaced."""
    for i, begin in windows[spread(len(windows), _LOOK)]:
        yield own.frames(i, begin, begin + 1)
