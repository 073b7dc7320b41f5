"""Where digits come from: MNIST, or scikit-learn's small digits without a network."""

import functools
import os
import re
import sys
import threading
import urllib.request
from dataclasses import dataclass

import numpy as np
from absl import logging
from scipy import ndimage

PROBE_SECONDS = 5.0  # how long "auto" waits for the download host
TRAIN_DIGITS = 50_000  # of MNIST's 60 000 training images; the rest validates


class MNISTNotFound(RuntimeError):
    """MNIST is neither prepared on this machine nor can it be downloaded."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of single digits in three splits that share no image.

    Attributes:
        name: "mnist" or "sklearn-digits", or a name of your own.
        train, validation, test: uint8 (N, rows, columns), intensity in 0..255; ink is
            brighter than the background 0.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def __post_init__(self):
        for split in ("train", "validation", "test"):
            images = self.images(split)
            if images.dtype != np.uint8 or images.ndim != 3 or not images.any():
                raise ValueError(
                    f"{split}: expected images as uint8 (N, rows, columns) with ink, "
                    f"received {images.dtype} {images.shape}; convert them"
                )

    def images(self, split):
        """The images of one split, uint8 (N, rows, columns)."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[
            split
        ]


def load(name="auto"):
    """Return the digits called `name`.

    "mnist" is the prepared MNIST of tensorflow-datasets (the environment variable
    TFDS_DATA_DIR says where), or else downloads it. Its training images in the order
    of the prepared file are cut into 50 000 for train and 10 000 for validation.

    "sklearn-digits" is bundled with scikit-learn: 1797 images of 8 x 8 pixels,
    enlarged to 20 x 20 by linear interpolation, which is the size of MNIST's ink.
    A fixed permutation cuts them into 70 % train, 15 % validation and 15 % test.

    "auto" is MNIST where it is prepared or its host answers within a few seconds,
    and else scikit-learn's digits, with one line on stderr that says so.

    Raises:
        ValueError: if the name is unknown.
        MNISTNotFound: if "mnist" was asked for and is out of reach.
    """
    if name == "sklearn-digits":
        return _sklearn_digits()
    if name not in ("auto", "mnist"):
        raise ValueError(
            "digits: expected 'auto', 'mnist', 'sklearn-digits' or a Digits object, "
            f"received {name!r}; name one of them"
        )
    try:
        return _mnist()
    except MNISTNotFound as error:
        if name == "mnist":
            raise
        reason = str(error).partition(";")[0]
        print(f"{reason}; continuing with sklearn-digits", file=sys.stderr)
        return _sklearn_digits()


def prepared_mnist():
    """The folder of the prepared MNIST, or None; nothing is downloaded."""
    builder, prepared = _builder()
    return str(builder.data_path) if prepared else None


def _mnist():
    builder, prepared = _builder()
    if not prepared:
        _download(builder)
    return _prepared_mnist(str(builder.data_path))


def _builder():
    """MNIST's builder in tensorflow-datasets, and whether its files are there."""
    import tensorflow_datasets as tfds  # slow to import, and only MNIST needs it

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # an empty folder is reported by `load`
    try:
        # tensorflow-datasets itself reads the variable only when it is imported.
        folder = os.path.expanduser(os.environ.get("TFDS_DATA_DIR", "")) or None
        builder = tfds.builder("mnist", data_dir=folder)
        return builder, builder.is_prepared()
    finally:
        logging.set_verbosity(verbosity)


def _download(builder):
    """Prepare MNIST from its download host, or raise MNISTNotFound."""
    problem = _probe(sys.modules[type(builder).__module__])
    if problem is None:
        try:
            builder.download_and_prepare()
            return
        except Exception as error:  # whatever stopped it, the remedy is the same
            problem = f"the download failed ({type(error).__name__})"
    raise MNISTNotFound(
        f"mnist: expected a prepared data set in {builder.data_path} or a network, "
        f"received neither ({problem}); set TFDS_DATA_DIR to a folder with a prepared "
        "mnist, connect to the network, or use --digits auto"
    )


def _probe(module):
    """None if the host that `module` downloads from answers in time, else why not.

    The builder itself would wait for minutes, and looking up a host name takes no
    timeout; so a thread asks, and nobody waits for it longer than `PROBE_SECONDS`.
    """
    try:
        address = module._MNIST_URL + module._MNIST_TRAIN_LABELS_FILENAME
    except AttributeError:
        return None  # another version of the builder: let it try
    problem = [f"no answer in {PROBE_SECONDS:g} s"]

    def ask():
        request = urllib.request.Request(address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                problem[0] = None
        except Exception as error:  # no route, no name, a proxy's refusal, ...
            problem[0] = f"its host does not answer ({type(error).__name__})"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return problem[0]


@functools.cache
def _prepared_mnist(folder):
    """Read the prepared files, whose records carry checksums."""
    import tensorflow_datasets as tfds

    def images(split):
        batches = builder.as_dataset(split=split, batch_size=5000, shuffle_files=False)
        pixels = batches.map(lambda example: example["image"])
        return np.concatenate(list(pixels.as_numpy_iterator()))[..., 0]  # (N, 28, 28)

    try:
        builder = tfds.builder_from_directory(folder)
        train, test = images("train"), images("test")
    except Exception as error:  # JSON, records, missing files: the remedy is the same
        reason = re.sub(r"\{\{.*?\}\}\s*", "", str(error).splitlines()[0])
        raise ValueError(
            f"mnist: expected a prepared data set in {folder}, received files that "
            f"cannot be read ({reason}); remove the folder and prepare MNIST again"
        ) from error
    return Digits("mnist", train[:TRAIN_DIGITS], train[TRAIN_DIGITS:], test)


@functools.cache
def _sklearn_digits():
    from sklearn.datasets import load_digits

    small = load_digits().images / 16  # (1797, 8, 8), intensity in [0, 1]
    large = ndimage.zoom(small, (1, 2.5, 2.5), order=1)  # (1797, 20, 20)
    images = np.round(255 * np.clip(large, 0, 1)).astype(np.uint8)
    images = images[np.random.default_rng(0).permutation(len(images))]
    first, second = int(0.70 * len(images)), int(0.85 * len(images))
    return Digits(
        "sklearn-digits", images[:first], images[first:second], images[second:]
    )
