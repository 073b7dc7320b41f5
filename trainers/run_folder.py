"""The folder of one run: what is written where.

config.json   every setting, versions, backend, device, commit, source of the data
model.keras   the weights with the best validation loss so far
stages/       the same at the end of each stage, where there are several
last/         the state after the latest epoch
log.csv       one line per epoch
tensorboard/  curves, pictures, settings
overview.png  the paper's Figure 4 or 7 of this run
clip.gif      the same, moving
results.json  scores on the test clips
"""

import datetime
import json
import pathlib
import platform
import subprocess
import sys
from importlib import metadata

from trainers import options

PACKAGES = ("nem-tf", "tensorflow", "keras", "numpy", "scikit-learn", "tensorboard")


class RunFolder:
    """Paths and small files of one run.

    Args:
        path: a folder that does not exist yet or is empty.

    Raises:
        ValueError: if `path` holds something already, or cannot be made.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        check_free(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"out: cannot make the folder {path} ({error.strerror}); choose another"
            ) from None

    def __truediv__(self, name):
        return self.path / name

    @property
    def best(self):
        return self.path / "model.keras"

    def write_json(self, name, content):
        """Write beside and rename, so that nobody reads half a file."""
        beside = self.path / f"{name}.part"
        beside.write_text(json.dumps(content, indent=2) + "\n")
        beside.rename(self.path / name)

    def write_config(self, config, experiment, data_source):
        """Everything needed to know what was run, and to run it again."""
        import keras
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in devices]
        names = [detail.get("device_name", "GPU") for detail in details]
        self.write_json(
            "config.json",
            {
                "experiment": experiment,
                "command": " ".join(sys.orig_argv),
                "settings": options.as_json(config),
                "data": data_source,
                "backend": keras.backend.backend(),
                "device": ", ".join(names) or f"CPU ({platform.machine()})",
                "python": platform.python_version(),
                "versions": {name: _version(name) for name in PACKAGES},
                "commit": _commit(),
            },
        )


def default_path(experiment, seed):
    """runs/EXPERIMENT/DATE-TIME-seedN, below the current folder."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return pathlib.Path("runs", experiment, f"{now}-seed{seed}")


def check_free(path):
    """Raise ValueError if a run could not begin in `path`."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"out: {path} is a file; choose a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(f"out: {path} is not empty; choose a new folder")


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit():
    """The git commit of the code, with "+" if changed since; None outside git."""
    here = pathlib.Path(__file__).parent
    try:
        describe = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
        done = subprocess.run(describe, cwd=here, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None
