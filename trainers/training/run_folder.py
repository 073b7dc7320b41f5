"""The folder of one run: what is written where.

config.json   every setting, versions, backend, device, commit, source of the data
model.keras   the weights with the best validation loss so far
stages/       the best of each stage, where there are several
last/         the last two saved states, for `--resume`
log.csv       one line per epoch
tensorboard/  curves, pictures, settings
overview.png  the paper's Figure 4 or 7 of this run
clip.gif      the same, moving
results.json  scores on the test clips
.lock         held by the trainer that uses the folder
"""

import contextlib
import datetime
import errno
import json
import os
import pathlib
import platform
import sys
from importlib import metadata

from trainers.training import config_file, machine
from trainers.training.files import replacing

try:
    import fcntl
except ImportError:  # Windows: a folder is not locked
    fcntl = None  # type: ignore[assignment]

PACKAGES = ("nem-tf", "tensorflow", "keras", "numpy", "scikit-learn", "tensorboard")


LOCK = ".lock"


class RunFolder:
    """Paths and small files of one run, locked while it is open.

    Args:
        path: a folder that does not exist yet or is empty, or that of a run.
        resumed: whether it must be that of a run.

    Raises:
        ValueError: if `path` holds something already, cannot be made, or is in use.
    """

    def __init__(self, path, resumed=False):
        self.path = pathlib.Path(path)
        if not resumed:
            check_free(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / LOCK, "a+")
        except OSError as error:
            raise ValueError(
                f"out: cannot write into {path} ({error.strerror}); make it writable "
                "or choose another folder"
            ) from None
        self._take_lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._lock.close()

    def _take_lock(self):
        if fcntl is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another program"
            self._lock.close()
            raise ValueError(
                f"out: {self.path} is in use by {holder}; wait for it or choose "
                "another folder"
            ) from None
        except OSError:
            return  # a file system without locks
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {platform.node()}\n")
        self._lock.flush()

    def __truediv__(self, name):
        return self.path / name

    @property
    def best(self):
        return self.path / "model.keras"

    @property
    def states(self):
        return self.path / "last"

    @property
    def complete(self):
        """Whether the run has trained, been scored and drawn."""
        return (self.path / "results.json").is_file()

    def check(self):
        """Raise FileNotFoundError if the folder was removed, even if made again."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(
                (self.path / LOCK).stat(), os.fstat(self._lock.fileno())
            ):
                return
        reason = "No such file or directory, it was removed during the run"
        raise FileNotFoundError(errno.ENOENT, reason, str(self.path))

    def write_json(self, name, content):
        self.write_text(name, config_file.text(content))

    def read_json(self, name):
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def write_text(self, name, text):
        self.check()
        with replacing(self.path / name) as beside:
            beside.write_text(text, encoding="utf-8")

    def write_config(self, config, experiment, data_source, clips=None):
        """Everything needed to know what was run, and to run it again.

        Args:
            config: the settings.
            experiment: its name.
            data_source: where the clips come from.
            clips: `data.hdf5.fingerprint` of those that are read from a file.
        """
        import keras

        self.write_json(
            "config.json",
            {
                "experiment": experiment,
                "command": " ".join(sys.orig_argv),
                "settings": config_file.as_json(config),
                "data": data_source,
                "clips": clips,
                "backend": keras.backend.backend(),
                "device": ", ".join(machine.gpus()) or f"CPU ({platform.machine()})",
                "machine": machine.processor(),
                "python": platform.python_version(),
                "versions": {name: _version(name) for name in PACKAGES},
                "commit": machine.commit(),
            },
        )


def make(path):
    """Make a folder, or raise ValueError if nothing can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"out: cannot write into {path} ({error.strerror}); make it writable or "
            "choose another folder"
        ) from None


def default_path(experiment, seed):
    """runs/EXPERIMENT/DATE-TIME-seedN, below the current folder."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return pathlib.Path("runs", experiment, f"{now}-seed{seed}")


def check_free(path):
    """Raise ValueError if a run could not begin in `path`."""
    path = pathlib.Path(path)
    try:
        if path.exists() and not path.is_dir():
            raise ValueError(f"out: {path} is a file; choose a new folder")
        if path.is_dir() and any(map(_counts, path.iterdir())):
            raise ValueError(
                f"out: {path} is not empty; choose a new folder, or continue its run "
                "with --resume"
            )
        above = next(one for one in path.absolute().parents if one.exists())
    except OSError as error:
        raise ValueError(
            f"out: {str(path)[:200]} cannot be used ({error.strerror}); choose another "
            "folder"
        ) from None
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(
            f"out: cannot write into {above}; make it writable or choose another folder"
        )


def _counts(entry):
    """Whether a file is more than what a trainer leaves that was killed at once."""
    return entry.name != LOCK and ".part." not in entry.name


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
