"""Run a trainer as if this machine had several devices.

    python -m tests.on_devices COUNT TRAINER [flags]

COUNT logical CPUs, for TensorFlow and, with KERAS_BACKEND=jax, for JAX.
"""

import importlib
import os
import sys


def main():
    count, trainer, *flags = sys.argv[1:]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    xla = f"--xla_force_host_platform_device_count={count}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {xla}"
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, int(count) * [one])
    module = importlib.import_module(f"trainers.{trainer}")
    sys.argv = [trainer, *flags]
    return module.command.main(_experiment(module), module.__doc__)


def _experiment(module):
    from trainers.experiment import Experiment

    found = [kind for kind in vars(module).values() if isinstance(kind, type)]
    return next(kind for kind in found if issubclass(kind, Experiment))


if __name__ == "__main__":
    sys.exit(main())
