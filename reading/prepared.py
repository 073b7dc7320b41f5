"""Videos and images that tensorflow-datasets has prepared on this machine."""

import os
import pathlib

import numpy as np
from absl import logging

from reading import base, labels, video

PREFIX = "tfds:"
LABELS = ("segmentations", "segmentation", "segmentation_mask", "mask", "labels")


class Prepared(base.Source):
    """The clips of a data set of tensorflow-datasets; nothing is downloaded.

    They are its feature `video` (T, H, W, C), or another of that kind, or else its
    `image` (H, W, C), a clip of one frame. Labels are the feature `segmentations`, or
    another of `LABELS`, of the same shape with one channel. Splits other than train,
    validation and test are not taken, unless there are no others.

    Args:
        name: NAME or NAME/CONFIG; the environment variable TFDS_DATA_DIR says where.

    Raises:
        VideoError: if it is not prepared, or holds no video or image.
    """

    def __init__(self, name):
        self.where = PREFIX + name
        self._builder = _builder(name, self.where)
        features = self._builder.info.features
        self._feature, self.still = _pictures(features, self.where)
        self._labels = _labels(features, self._feature, self.still)
        splits = self._builder.info.splits
        self._splits = [split for split in base.CALLED if split in splits]
        self._splits = self._splits or list(splits)
        self.own_splits = len(self._splits) > 1 and self._splits[0] in base.CALLED
        self.count = sum(splits[split].num_examples for split in self._splits)

    def __iter__(self):
        import tensorflow_datasets as tfds

        names = [name for name in (self._feature, self._labels) if name]
        decoders = tfds.decode.PartialDecoding(dict.fromkeys(names, True))
        with video.in_one_line(self.where):
            for split in self._splits:
                clips = self._builder.as_dataset(
                    split=split, decoders=decoders, shuffle_files=False
                )
                for i, found in enumerate(tfds.as_numpy(clips)):
                    yield self._clip(found, split, f"{split}/{i:06d}")

    def _clip(self, found, split, name):
        pixels = found[self._feature]
        known = found[self._labels] if self._labels else None
        if self.still:
            pixels = pixels[None]
            known = known if known is None else known[None]
        if known is not None:
            known = labels.checked(known, name, pixels.shape[:3])
        white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1

        def frames():
            for t, frame in enumerate(pixels):
                called = f"{self.where}, {name}, frame {t + 1}"
                if white == 255 and frame.shape[-1] != 4:
                    yield video.Frame(called, frame)
                else:
                    yield video.of_array(frame, white, called)

        return base.Clip(
            name,
            frames,
            pixels.shape[1:3],
            1 if pixels.shape[-1] == 1 else 3,
            base.CALLED.get(split) if self.own_splits else None,
            None if known is None else lambda: labels.of_array(known, name),
        )

    def state(self):
        return base.state_of([pathlib.Path(str(self._builder.data_path))])


def _builder(name, where):
    """The builder of a data set that is prepared."""
    import tensorflow_datasets as tfds  # slow to import, and only these need it

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # an empty folder is reported here
    try:
        # tensorflow-datasets itself reads the variable only when it is imported.
        folder = os.path.expanduser(os.environ.get("TFDS_DATA_DIR", "")) or None
        builder = tfds.builder(name, data_dir=folder, try_gcs=False)
        prepared = builder.is_prepared()
    except Exception as error:  # of many kinds
        reason = (str(error).strip() or repr(error)).splitlines()[0].rstrip(".")
        raise video.VideoError(
            f"{where}: expected a prepared data set, received none ({reason}); set "
            "TFDS_DATA_DIR to the folder that has it"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
    if not prepared:
        raise video.VideoError(
            f"{where}: expected a prepared data set, received none in "
            f"{builder.data_path}; prepare it, or set TFDS_DATA_DIR"
        )
    return builder


def _pictures(features, where):
    """The name of the feature that holds clips, and whether they are images."""
    import tensorflow_datasets as tfds

    for kind, name, still in (
        (tfds.features.Video, "video", False),
        (tfds.features.Image, "image", True),
    ):
        names = [key for key in features if isinstance(features[key], kind)]
        if names:
            return (name if name in names else names[0]), still
    raise video.VideoError(
        f"{where}: expected a feature that is a video or an image, received "
        f"{', '.join(features)}; take another data set"
    )


def _labels(features, pictures, still):
    """The name of the feature that has labels, or None."""
    axes = 3 if still else 4
    for name in LABELS:
        if name in features and name != pictures:
            shape = features[name].shape
            if len(shape) == axes - 1 or (len(shape) == axes and shape[-1] == 1):
                return name
    return None
