"""Whether a folder of pictures is a film or a heap of images."""

import numpy as np
from PIL import Image

from reading import base, video
from reading.kinds import PICTURES

FEW = 8  # pictures; fewer tell nothing
LOOK = 64  # pictures of a folder that are compared with the next one
FOLDERS = 8  # that are looked at
SIDE = 32  # pixels at which they are compared
NEARER = 0.7  # of the frames of a film are more like the next one than like another


def are_images(paths, pictures="auto"):
    """Whether clips of a folder are images of their own.

    Args:
        paths: of the clips, as `folders.scan` finds them.
        pictures: "frames", "images", or "auto": if all clips are folders of pictures,
            and those of each are `unrelated`.

    Raises:
        VideoError: if `pictures` is none of these, or "images" of other clips.
    """
    if pictures not in PICTURES:
        raise video.VideoError(
            f"pictures: expected one of {', '.join(PICTURES)}, received {pictures!r}; "
            "name one of them"
        )
    folders = [path for path in paths if path.is_dir()]
    if pictures == "images" and len(folders) < len(paths):
        other = next(path for path in paths if not path.is_dir())
        raise video.VideoError(
            f"pictures: expected folders of PNG or JPEG files, as images are, received "
            f"{other}; leave pictures out, or move the images"
        )
    if pictures != "auto" or not folders or len(folders) < len(paths):
        return pictures == "images"
    some = [folders[i] for i in base.spread(len(folders), FOLDERS)]
    return all(map(unrelated, some))


def unrelated(folder):
    """Whether neighbours among the pictures of a folder are no more alike than others.

    Each of up to 64 pictures is compared with the next one, in natural order, and with
    one that is a third or so of the folder away. Fewer than eight are a film.
    """
    files = video.stills(folder)
    if len(files) < FEW:
        return False
    nearer = []
    for i in base.spread(len(files) - 1, LOOK):
        away = len(files) // 3 + len(nearer) % 3
        here, beside, other = (
            _small(files[j % len(files)]) for j in (i, i + 1, i + away)
        )
        if here is None or beside is None or other is None:
            continue  # is told when it is decoded
        nearer.append(_apart(here, beside) <= _apart(here, other))
    return bool(nearer) and float(np.mean(nearer)) <= NEARER


def _small(file):
    try:
        with Image.open(file) as image:
            image.draft("RGB", (SIDE, SIDE))
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        return np.asarray(small, np.float32)
    except Exception:  # decoders raise nearly anything
        return None


def _apart(a, b):
    return float(np.square(a - b).mean())
