"""Export a trained model for TF Serving, or for small devices.

    python -m export.saved_model runs/flying_shapes/DATE-TIME-seed0 --out models/

writes models/flying_shapes_k3/1, with signatures for whole clips (serving_default) and
for streams (init, step, chunk), warm-up requests, README, model card and checksums, and
models/models.config for the server. Another export is version 2, label "canary";
`python -m export.label` moves the label "stable". BUILD.md has the server's command.
"""

import datetime
import os
import pathlib
import re
import shutil
import sys
import tempfile
from importlib import metadata

from export import command
from export.documents import versions
from trainers.training import devices, quiet
from trainers.training.errors import sentence

FORMATS = ("saved_model", "litert")


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command.parser("saved_model", __doc__, "RUN [--out models/] [flags]")
    parser.add_argument(
        "run", type=pathlib.Path, metavar="RUN", help="preset, run folder or .keras"
    )
    parser.add_argument(
        "--out",
        type=command.path,
        default=pathlib.Path("models"),
        metavar="DIR",
        help="folder of all models (models)",
    )
    parser.add_argument(
        "--components",
        type=command.integers,
        metavar="N,N,...",
        help="K; several give one model each (as trained)",
    )
    parser.add_argument(
        "--name", help="of the model, followed by _kK (the experiment's)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="saved_model",
        help="saved_model, or litert: the signature step for small devices",
    )
    parser.add_argument(
        "--batch-sizes",
        type=command.integers,
        default=(1, 8, 64),
        metavar="N,N,...",
        help="of the warm-up requests (1,8,64)",
    )
    parser.add_argument(
        "--server-path",
        default="/models",
        metavar="PATH",
        help="what the --out folder is called where the server runs (/models)",
    )
    given = parser.parse_args(arguments)
    if given.name is not None and not re.fullmatch(r"[A-Za-z0-9_.-]+", given.name):
        parser.error(
            f"name: expected letters, digits, _ . and - only, received {given.name!r}"
        )
    return command.run("saved_model", _export_all, given, debug=given.debug)


def _export_all(given):
    command.need("serving" if given.format == "saved_model" else "litert")
    devices.check_backend()
    with quiet.startup():
        import keras

        from trainers.training import trained as runs

        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "KERAS_BACKEND: expected tensorflow, which makes the exports, received "
                f"{keras.backend.backend()}; unset it, whatever the training was on"
            )
        trained = runs.load(given.run, compiled=False)
    for components in given.components or (trained.nem.cell.components,):
        name = f"{given.name or trained.name}_k{components}"
        if given.format == "litert":
            path = export_litert(trained, given.out, name, components)
        else:
            path = export(
                trained,
                given.out,
                name,
                components,
                batch_sizes=given.batch_sizes,
                server_path=given.server_path,
            )
        print(path)
    print(_next(path, given.format), file=sys.stderr)


def _next(path, kind):
    """What to do with the version in `path`, in two lines."""
    if kind == "litert":
        return f"how to run it: {path / 'README.md'}"
    model, name = path.parent, path.parent.name
    return (
        f"try it:        python -m export.segment {model} clip.gif --out result.gif\n"
        f"ask a server:  python -m export.client clip.gif --model {name}  (BUILD.md)"
    )


def export(
    trained, models, name, components, *, batch_sizes=(1, 8, 64), server_path="/models"
):
    """Publish a SavedModel as the next version of a model.

    The version is written beside its place, its warm-up requests are replayed from the
    written files, and only then it is renamed: a running server sees all of it or
    nothing.

    Args:
        trained: a `trained.Trained`.
        models: the folder of all models.
        name: of the model.
        components: K.
        batch_sizes: of the warm-up requests.
        server_path: what `models` is called where the server runs.

    Returns:
        the path of the version.

    Raises:
        ValueError: if a warm-up request fails, or what models.config says cannot be
            read; nothing is published then.
        OSError: if a file cannot be written, either.
    """
    from export import server_files, warmup
    from export.signatures import ServedModel

    server_files.labels(pathlib.Path(models), name)  # a damaged file is said at once
    served = ServedModel(trained.nem, components)

    def write(folder):
        served.write(folder)
        warmup.write(folder, served, batch_sizes, trained.steps)
        try:
            return warmup.replay(folder)
        except ValueError as error:
            raise ValueError(
                f"{name}: a warm-up request fails, nothing was published: {error}"
            ) from None

    path = _publish(trained, served, models, name, "saved_model", write)
    server_files.publish(pathlib.Path(models), name, int(path.name), server_path)
    return path


def export_litert(trained, models, name, components):
    """Publish the signature `step` as a LiteRT model for one stream, B = 1.

    Returns:
        the path of the version, `models/NAME-litert/VERSION`.
    """
    from export import litert
    from export.signatures import ServedModel

    served = ServedModel(trained.nem, components)

    def write(folder):
        return litert.write(served, folder)

    return _publish(trained, served, models, f"{name}-litert", "litert", write)


def _publish(trained, served, models, name, kind, write):
    """Make the next version of a model: `write` fills a folder beside, then rename."""
    import tensorflow as tf

    from export import documents

    model = pathlib.Path(models) / name
    model.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(tempfile.mkdtemp(prefix=".part-", dir=model))
    try:
        try:
            signatures = _shapes(write(beside))
        except tf.errors.OpError as error:  # TensorFlow's word for a full disk
            reason = sentence(error.message)
            raise OSError(
                f"{model}: cannot be written, nothing was published ({reason}); make "
                "room or choose another --out"
            ) from None
        while True:
            version = max(versions(model), default=0) + 1
            about = _describe(trained, served, name, version, kind)
            documents.write(beside, about, signatures)
            os.chmod(beside, 0o755)  # a server runs as another user
            try:
                os.rename(beside, model / str(version))
            except OSError:
                if not (model / str(version)).exists():
                    raise
                continue  # another export took the number
            return model / str(version)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if not any(model.iterdir()):
            model.rmdir()


def _describe(trained, served, name, version, kind):
    """Everything about an exported model that its documents and users may ask for."""
    from nem_tf import likelihoods

    nem = served.nem
    now = datetime.datetime.now(datetime.UTC)
    return {
        "name": name,
        "version": version,
        "format": kind,
        "exported": now.isoformat(timespec="seconds"),
        "nem_tf": metadata.version("nem-tf"),
        "commit": trained.commit,
        "experiment": trained.name,
        "cell": type(nem.cell).__name__,
        "likelihood": nem.cell.likelihood.name,
        "likelihood_config": likelihoods.serialize(nem.cell.likelihood),
        "frame_shape": list(nem.cell.frame_shape),
        "components": served.components,
        "most_frames": served.most_frames,
        "units": nem.cell.units,
        "start": nem.cell.start,
        "layered": nem.cell.layered,
        "spares": nem.cell.spares,
        "usual_pixels": nem.cell.usual_pixels,
        **_of_layers(nem.cell),
        "weights": nem.count_params(),
        "data": pathlib.PurePath(trained.data).name,
        "settings": _settings(trained),
        "updates": trained.results.get("updates"),
        "seconds": trained.results.get("seconds"),
        "scores": trained.results.get("test"),
    }


def _of_layers(cell):
    """What tells objects of a layered model from their background."""
    if not cell.layered:
        return {}
    foreground = cell.get_config()["foreground"]  # a number, or H lists of W
    return {"background": cell.background, "foreground": foreground}


def _settings(trained):
    """The settings of the training, without paths of the machine that it ran on."""
    private = ("out", "data", "labels")
    return {k: v for k, v in trained.settings.items() if k not in private}


def _shapes(signatures):
    """Names, shapes and types of signatures, for the documents."""
    order = ("serving_default", "init", "step", "chunk")
    return {
        name: {
            "inputs": _tensors(signatures[name].structured_input_signature[1]),
            "outputs": _tensors(signatures[name].structured_outputs),
        }
        for name in order
        if name in signatures
    }


def _tensors(specs):
    return {
        name: (tuple(spec.shape), spec.dtype.name)
        for name, spec in sorted(specs.items())
    }


if __name__ == "__main__":
    sys.exit(main())
