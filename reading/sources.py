"""What a path holds: clips, one after another, however they are stored.

for clip in find("films"):
    for frame in clip.frames():
        frame.pixels  # (h, w, 1 or 3)
"""

import os
import pathlib

from reading import base, folders, labels, prepared, recorded, records, stacks, video

HDF5 = (".h5", ".hdf5", ".hdf")
EXPECTED = (
    "a folder, a GIF, MP4 or other film, .npy, .npz, HDF5, .tfrecord or tfds:NAME"
)


def find(path, *, labelled=None, axes="auto", pictures="auto") -> base.Source:
    """Find out what a path holds.

    Args:
        path: a folder of films, animations or arrays, or of folders of pictures
            (`folders.Folder`); one of these; an .npy or .npz of many clips
            (`stacks.Stack`); an HDF5 file (`recorded.Recorded`); TFRecord files
            (`records.Records`); or "tfds:NAME" (`prepared.Prepared`). A folder of
            TFRecord files is all of them; a folder of one file is that file.
        labelled: where the labels are, in the shape of `path`: a folder of the same
            names, see `labels.of_file`; or an array or a file of one. HDF5, TFRecord
            and tensorflow-datasets hold their own.
        axes: of an array, see `stacks.Stack`.
        pictures: of a folder, see `folders.Folder`.

    Raises:
        VideoError: if there is nothing of the kind, in one line.
        LabelsError: if the labels do not fit.
    """
    name = os.fspath(path)
    source = _find(name, labelled, axes, pictures)
    if pictures == "images" and not isinstance(source, folders.Folder):
        raise video.VideoError(
            "pictures: expected a folder of PNG or JPEG files, as images are, received "
            f"{name}; leave pictures out"
        )
    return source


def _find(name, labelled, axes, pictures):
    if isinstance(labelled, (str, os.PathLike)):
        labelled = pathlib.Path(labelled).expanduser()
    if name.startswith(prepared.PREFIX):
        _no_labels(labelled, name)
        return prepared.Prepared(name.removeprefix(prepared.PREFIX))
    path = pathlib.Path(name).expanduser()
    with video.in_one_line(path, "check the path"):
        if not path.exists():
            raise video.VideoError(f"{path}: no such file or folder; check the path")
        files = [path]
        if path.is_dir():
            files = sorted(f for f in path.iterdir() if not f.name.startswith("."))
    many = [file for file in files if records.is_records(file)]
    if many:
        _no_labels(labelled, name)
        return records.Records(many, path)
    only = files[0] if len(files) == 1 else path
    if only.is_file() and (only.suffix.lower() in HDF5 or _is_hdf5(only)):
        _no_labels(labelled, name)
        return recorded.Recorded(only)
    if only.is_file() and only.suffix.lower() in video.ARRAYS:
        return stacks.Stack(only, labelled, axes)
    if path.is_file() and path.suffix.lower() not in (*folders.CLIPS, *video.PICTURES):
        received = path.suffix or "no extension"
        raise video.VideoError(f"{path}: expected {EXPECTED}, received {received}")
    if labelled is not None and not isinstance(labelled, pathlib.Path):
        raise labels.LabelsError(
            f"labels: expected a folder like {path}, received {_named(labelled)}; save "
            "them as files of the same names"
        )
    return folders.Folder(path, labelled, pictures)


def _no_labels(labelled, name):
    if labelled is not None:
        raise labels.LabelsError(
            f"labels: expected none, since {name} holds its own, received "
            f"{_named(labelled)}; leave them out"
        )


def _named(labelled):
    is_path = isinstance(labelled, pathlib.Path)
    return labelled if is_path else type(labelled).__name__


def _is_hdf5(path):
    import h5py

    with video.in_one_line(path, "make it readable"):
        return bool(h5py.is_hdf5(path))
