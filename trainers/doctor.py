"""Say what this machine has, whether training works, and how long it would take.

    python -m trainers.doctor [--recipe ours|paper|quick] [--seconds 20]

Prints versions, devices, memory, MNIST and the optional packages; then trains each of
the paper's experiments for some seconds and estimates how long all of it would take.
Exit status 1 if something does not work.
"""

import argparse
import importlib
import math
import os
import platform
import shutil
import sys
import time
from importlib import metadata

import psutil

from trainers import experiments
from trainers.paper import reported
from trainers.training import command_line, devices, errors, machine, quiet

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")
GIGA = 1e9


def main(arguments=None):
    """The command; returns its exit status."""
    parser = command_line.Parser("trainers.doctor", __doc__, "[flags]")
    parser.add_argument(
        "--seconds", type=_seconds, default=20.0, help="of training in all (20)"
    )
    parser.add_argument(
        "--recipe", "--preset", choices=reported.RECIPES, default=command_line.RECIPE,
        help=f"settings of the trainers ({command_line.RECIPE})",
    )  # fmt: skip
    parser.add_argument(
        "--strategy", choices=("auto", "one", "mirrored"), default="auto",
        help="devices to train on, as of the trainers (auto)",
    )  # fmt: skip
    parser.add_argument(
        "--debug", action="store_true", help="show where in the code an error happened"
    )
    given = parser.parse_args(arguments)

    def action():
        try:
            return _examine(given.seconds, given.strategy, given.recipe)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else ""
            raise errors.Failed(
                f"{type(error).__name__}: {reason}; --debug shows where"
            ) from error

    return errors.exit_status("trainers.doctor", action, debug=given.debug)


def _seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(
            f"expected seconds from 1 to 3600, received {text!r}"
        )
    return seconds


def _examine(seconds, strategy, recipe):
    kinds = [kind for kind in map(experiments.find, experiments.CLASSES) if kind.makes]
    given = {"strategy": strategy, "recipe": recipe}
    configs = [kind.configured(**given) for kind in kinds]
    devices.prepare(configs[0])
    with quiet.startup():
        import keras

        import nem_tf  # noqa: F401
    chosen = devices.choose(configs[0])
    _line("versions", _versions(keras))
    _line("devices", f"{_hardware()}; training uses {chosen.count}")
    _line("memory", _memory())
    _line("MNIST", _mnist())
    well = _packages()
    print()
    for kind, config in zip(kinds, configs, strict=True):
        clips, made, finite = _smoke(kind(config), chosen, seconds / len(kinds))
        well = well and finite
        updates = config.updates_per_epoch
        epochs = sum(config.per_stage("epochs"))
        epoch = updates * config.clips.batch_size / clips / 3600
        _line(
            kind.name,
            f"{clips:.0f} clips/s trained, {made:.0f} clips/s made; an epoch of "
            f"{updates} updates {_hours(epoch)}, all {epochs} epochs "
            f"{_hours(epoch * epochs)}, less if it stops early"
            + ("" if finite else "; THE LOSS IS NOT FINITE"),
        )
    each = ", ".join(str(config.clips.components) for config in configs)
    print(f"\nAt the settings of --recipe {recipe}, K = {each}.")
    return 0 if well else errors.FAILED


def _line(name, text):
    print(f"{name.replace('_', ' '):15s} {text}", flush=True)


def _versions(keras):
    named = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    return (
        f"nem-tf {metadata.version('nem-tf')}, Python {platform.python_version()}, "
        f"{', '.join(named)}; Keras's backend is {keras.backend.backend()}"
    )


def _hardware():
    return f"{os.cpu_count()} CPU cores, {', '.join(machine.gpus()) or 'no GPU'}"


def _memory():
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(".").free / GIGA
    return (
        f"{memory.available / GIGA:.0f} GB free of {memory.total / GIGA:.0f} GB; "
        f"{disk:.0f} GB of disk for runs/"
    )


def _mnist():
    from nem_tf.data import digits

    folder = digits.prepared_mnist()
    if folder:
        return f"prepared in {folder}"
    return (
        "not prepared; flying_mnist downloads it, or takes scikit-learn's digits "
        "without a network; TFDS_DATA_DIR names a folder with a prepared one"
    )


def _packages():
    """TensorBoard and the extras of pyproject.toml; False if TensorBoard is broken."""
    owners = metadata.packages_distributions()  # of modules; takes a while
    problem = _import_problem("tensorboard", owners)
    _line("TensorBoard", problem or metadata.version("tensorboard"))
    wanted = {}
    for requirement in metadata.requires("nem-tf") or ():
        package, _, extra = requirement.partition("extra == ")
        name = package.strip().split(";")[0].strip()
        if extra and extra.strip("\"' ") != "dev":
            bare = name.split("<")[0].split(">")[0].split("=")[0].split("[")[0]
            wanted.setdefault(extra.strip("\"' "), []).append(bare.strip())
    for extra, packages in wanted.items():
        problems = [_import_problem(name, owners) for name in packages]
        problems = [problem for problem in problems if problem]
        remedy = f"; pip install 'nem-tf[{extra}]'"
        _line(f"[{extra}]", "; ".join(problems) + remedy if problems else "works")
    return problem is None


def _import_problem(package, owners):
    """None if a distribution's modules can be imported, else why not.

    Args:
        package: the name of the distribution.
        owners: names of distributions by module, of `packages_distributions`.
    """
    modules = [
        module
        for module, names in owners.items()
        if package in names and module.isidentifier()
    ]
    if not modules:
        return f"{package} is not installed"
    try:
        with quiet.startup():
            for module in modules:
                importlib.import_module(module)
    except Exception as error:  # whatever a broken package raises
        return f"{package} cannot be imported ({error})"
    return None


def _smoke(experiment, chosen, seconds):
    """Train for some seconds after a warm-up.

    Returns:
        clips per second trained, clips per second made by the data set alone, and
        whether the loss stayed finite.
    """
    batch_size = experiment.config.clips.batch_size
    with chosen.scope():
        nem = experiment.model()
        nem.lanes = devices.lanes_of(batch_size) if chosen.on_cpu else 1
    clips = experiment.clips("train", stage=-1, epochs=None)
    watch = _watch(seconds)
    nem.fit(clips, steps_per_epoch=10**6, verbose=0, shuffle=False, callbacks=[watch])
    batches = iter(clips)
    for _ in range(3):
        next(batches)
    began, made = time.perf_counter(), 0
    while time.perf_counter() - began < min(seconds / 4, 2.0):
        next(batches)
        made += 1
    speed = made * batch_size / (time.perf_counter() - began)
    trained = watch.updates * batch_size / watch.seconds
    return trained, speed, math.isfinite(watch.loss)


def _watch(seconds):
    """A callback that stops after the first update and some seconds of more."""
    import keras

    class Watch(keras.callbacks.Callback):
        updates = -1  # the first one is compiled, and not counted

        def on_train_batch_end(self, batch, logs=None):
            self.updates += 1
            self.loss = logs["loss"]
            if self.updates == 0:
                self.began = time.perf_counter()
                return
            self.seconds = time.perf_counter() - self.began
            self.model.stop_training = self.seconds > seconds

    return Watch()


def _hours(hours):
    return f"{60 * hours:.1f} min" if hours < 1 else f"{hours:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
