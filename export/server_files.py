"""The files that a TF Serving process is started with, in the folder of all models.

models.config      which models and versions it loads, and what their labels mean
batching.config    how requests of several clients are put together
monitoring.config  where Prometheus reads its counters
"""

import contextlib
import os
import pathlib

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from export.documents import versions

try:
    import fcntl
except ImportError:  # Windows: edit models.config one after another
    fcntl = None  # type: ignore[assignment]

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
BATCHING_TEXT = """\
# Use with --enable_batching --batching_parameters_file. Requests that meet in a batch
# need the same T, and one with pixels out of range fails all of its batch. A batch is
# padded to an allowed size B, and B * T must be within the model's limit (README.md).
max_batch_size { value: 64 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 256 }
num_batch_threads { value: 4 }
allowed_batch_sizes: 1
allowed_batch_sizes: 8
allowed_batch_sizes: 64
"""
MONITORING_TEXT = """\
# Use with --monitoring_config_file; counters of requests and latencies over REST.
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""


def publish(models, name, version, server_path):
    """Tell the server about a new version: it is `canary`, and `stable` if the first.

    Args:
        models: the folder of all models.
        name: of the model, a folder in it.
        version: integer, a folder in that.
        server_path: what `models` is called where the server runs.
    """
    for file, text in ((BATCHING, BATCHING_TEXT), (MONITORING, MONITORING_TEXT)):
        if not (models / file).exists():
            (models / file).write_text(text)
    with _edited(models) as config:
        entry = _entry(config, name)
        if entry is None:
            entry = config.model_config_list.config.add(name=name)
            entry.model_platform = "tensorflow"
        entry.base_path = f"{str(server_path).rstrip('/')}/{name}"
        entry.version_labels["canary"] = version
        stable = entry.version_labels.get("stable")
        if stable is None or not (models / name / str(stable)).is_dir():
            entry.version_labels["stable"] = version
        _load_all(entry)


def label(models, name, text, version):
    """Let a label mean a version; the server follows when it reads the file again.

    Raises:
        ValueError: if there is no such model or version.
    """
    if not (models / name / str(version)).is_dir():
        raise ValueError(
            f"{models / name / str(version)}: no such version; there are "
            f"{', '.join(map(str, versions(models / name))) or 'none'}"
        )
    with _edited(models) as config:
        entry = _entry(config, name)
        if entry is None:
            raise ValueError(f"{models / MODELS}: has no model {name!r}; export it")
        entry.version_labels[text] = version
        _load_all(entry)


def entry(models, name):
    """What models.config says about a model, a `ModelConfig`; None if nothing."""
    path = models / MODELS
    return _entry(_parse(path), name) if path.exists() else None


def labels(models, name):
    """dict from label to version of a model; empty if the file or the model is not."""
    found = entry(models, name)
    return dict(found.version_labels) if found else {}


def _load_all(entry):
    """Every version in the folder is loaded, whether a label means it or not.

    A server looks at labels first, and refuses the whole file while one of them moves
    to a version that is not loaded yet; so versions must not wait for their labels.
    """
    entry.model_version_policy.all.SetInParent()


def _entry(config, name):
    found = [entry for entry in config.model_config_list.config if entry.name == name]
    return found[0] if found else None


def _parse(path):
    config = model_server_config_pb2.ModelServerConfig()
    try:
        return text_format.Parse(path.read_text(), config)
    except text_format.ParseError as error:
        raise ValueError(f"{path}: {error}; repair it or move it away") from None


@contextlib.contextmanager
def _edited(models):
    """models.config, written beside and renamed; one process edits at a time."""
    path = pathlib.Path(models) / MODELS
    with open(path.parent / f".{MODELS}.lock", "w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        empty = model_server_config_pb2.ModelServerConfig()
        config = _parse(path) if path.exists() else empty
        yield config
        beside = path.with_name(f".{MODELS}.part")
        beside.write_text(text_format.MessageToString(config))
        os.replace(beside, path)
