"""Where a run or a benchmark was made, and by which code."""

import os
import pathlib
import platform
import subprocess
from importlib import metadata


def machine():
    """One line: processor, cores, versions."""
    return (
        f"{processor()}, Python {platform.python_version()}, "
        f"TensorFlow {metadata.version('tensorflow')}"
    )


def processor():
    """Its name, and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(x.split(":")[1].strip() for x in lines if "model name" in x)
    except (OSError, StopIteration):
        pass  # not Linux
    count = len(cores())
    return f"{name}, {count} {'core' if count == 1 else 'cores'}"


def gpus():
    """The names of this machine's GPUs that Keras's backend sees."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        devices = jax.local_devices()
        return [device.device_kind for device in devices if device.platform == "gpu"]
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    found = tf.config.list_physical_devices("GPU")
    return [details(gpu).get("device_name", "GPU") for gpu in found]


def cores():
    """The numbers of those that this process may use; of all where nobody can tell."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))  # macOS


def commit():
    """The last git commit that changed the code, with "+" if it changed since.

    None outside git, or where git does not keep this code.
    """
    code = ("--", "*.py", "../nem_tf/*.py")
    last = _git("log", "-1", "--format=%h", "--abbrev=12", *code)
    if not last:
        return None
    return last + ("+" if _git("diff", "--name-only", "HEAD", *code) else "")


def _git(*arguments):
    """What git says in the folder `trainers`; nothing if it cannot."""
    here = pathlib.Path(__file__).parents[1]
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True
        )
    except OSError:
        return ""
    return done.stdout.strip()
