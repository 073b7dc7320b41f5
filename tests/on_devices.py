"""Run a trainer as if this machine had several devices.

    python -m tests.on_devices COUNT TRAINER [flags]

COUNT logical CPUs, for TensorFlow and, with KERAS_BACKEND=jax, for JAX. Nothing is
drawn.
"""

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
    from tests import runs
    from trainers import experiments
    from trainers.training import command

    with runs.undrawn():
        return command.main(experiments.find(trainer), "", flags)


if __name__ == "__main__":
    sys.exit(main())
