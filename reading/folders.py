"""Clips that are files, or folders of pictures: those of a whole folder, or just one.

for clip in Folder("films"):
    clip.name  # "dogs/run.mp4"
"""

import itertools
import os
import pathlib

from reading import base, images, labels, video

CLIPS = (".gif", ".apng", ".webp", ".tif", ".tiff", *video.FILMS, *video.ARRAYS)
NO_CLIPS = "add GIF, MP4 or other films, or folders of numbered PNG or JPEG files"


class Folder(base.Source):
    """The clips in a folder and those below it, or the one that a file is.

    A film, an animation or an array is a clip, and so is a folder of PNG or JPEG files
    without such in it. A clip is called by its path in the folder. If all clips are in
    folders called train, validation (or val) and test, or two of these, they are the
    splits.

    Args:
        path: a folder or a file.
        labelled: a folder that has labels of the same names, up to their suffixes, or
            the labels of the only clip; None if there are none.
        pictures: what those of a folder are: "frames" of one clip, "images" of their
            own; "auto": images if there is nothing else and neighbours in the order of
            their names are no more alike than others.

    Raises:
        VideoError: if there are no clips.
        LabelsError: if a clip has no labels.
    """

    def __init__(self, path, labelled=None, pictures="auto"):
        self.path = pathlib.Path(path)
        self.where = str(self.path)
        self._clips, beside = scan(self.path)
        self.still = images.are_images(list(self._clips.values()), pictures)
        if self.still:
            self._clips, beside = scan(self.path, images=True)
        self.notes = tuple(
            f"{folder}: {count} pictures beside clips are not taken; move them to a "
            "folder of their own"
            for folder, count in beside.items()
        )
        if self.still and pictures == "auto":
            self.notes += (
                f"{self.where}: each of {len(self._clips)} pictures is taken for an "
                "image of its own, since neighbours are not alike; --pictures frames "
                "takes them for a film",
            )
        self._labels = {}
        if labelled is not None:
            labelled = pathlib.Path(labelled)
            self._labels = _mirrored(self._clips, labelled, self.still)
        if not self._clips:
            raise video.VideoError(
                f"{self.where}: expected clips, received none; {NO_CLIPS}"
            )
        self.count = len(self._clips)
        parts = {_split(name) for name in self._clips}
        self.own_splits = len(parts) > 1 and None not in parts

    def __iter__(self):
        for name, path in self._clips.items():
            found = self._labels.get(name)
            yield base.Clip(
                name,
                lambda path=path: self._frames(path),
                split=_split(name) if self.own_splits else None,
                labels=found and (lambda found=found: labels.of_file(found)),
            )

    def _frames(self, path):
        frames = video.decoded(path)
        return itertools.islice(frames, 1) if self.still else frames

    def state(self):
        files = base.state_of([*self._clips.values(), *self._labels.values()])
        return [*files, self.still]


def scan(path, images=False):
    """The clips of a folder, in natural order.

    Args:
        path: a folder, or the only clip.
        images: whether PNG and JPEG files are clips of their own, and nothing else is.

    Returns:
        dict from their names to their paths, and dict from folders that have clips to
        how many pictures lie beside them.
    """
    if not path.is_dir():
        return {path.name: path}, {}
    found, beside, seen = {}, {}, set()
    with video.in_one_line(path, "make it readable"):
        for root, folders, files in os.walk(path, followlinks=True):
            folders[:] = [name for name in folders if not _hidden(name)]
            here = pathlib.Path(root)
            real = here.resolve()
            if real in seen:  # a link to a folder around it
                folders.clear()
                continue
            seen.add(real)
            files = [here / name for name in files if not _hidden(name)]
            clips = [file for file in files if file.suffix.lower() in CLIPS]
            stills = [file for file in files if file.suffix.lower() in video.STILLS]
            if images:
                clips = stills
            elif clips and stills:
                beside[here] = len(stills)
            elif stills:
                clips = [here]
            for clip in clips:
                name = clip.relative_to(path).as_posix()
                found[name if name != "." else path.resolve().name] = clip
    return dict(sorted(found.items(), key=lambda item: _natural(item[0]))), beside


def _natural(name):
    return [video.natural(part) for part in name.split("/")]


def _split(name):
    """The split that the uppermost folder of a clip is called after, or None."""
    folder, _, inside = name.partition("/")
    return base.CALLED.get(folder.lower()) if inside else None


def _hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _mirrored(clips, path, images):
    """The path of each clip's labels.

    Raises:
        LabelsError: naming the first clip that has none.
    """
    if not path.exists():
        raise labels.LabelsError(
            f"labels: no such file or folder, {path}; check the path"
        )
    try:
        found, _ = scan(path, images)
    except video.VideoError as error:
        raise labels.LabelsError(f"labels: {error}") from None
    if len(clips) == len(found) == 1:
        return dict(zip(clips, found.values(), strict=True))
    stems = {_stem(name, file): file for name, file in found.items()}
    mirrored, missing = {}, []
    for name, file in clips.items():
        same = found.get(name) or stems.get(_stem(name, file)) or stems.get(name)
        if same is None:
            missing.append(name)
        else:
            mirrored[name] = same
    if missing:
        raise labels.LabelsError(
            f"labels: expected those of each clip in {path}, received none of "
            f"{missing[0]} ({len(missing)} of {len(clips)} have none); give them its "
            "name"
        )
    return mirrored


def _stem(name, path):
    """A name without its suffix; that of a folder has none."""
    return name.removesuffix(path.suffix) if not path.is_dir() else name
