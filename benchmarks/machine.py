"""Where a benchmark ran."""

import os
import platform

import tensorflow as tf


def machine():
    """One line: processor, cores, versions."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(x.split(":")[1].strip() for x in lines if "model name" in x)
    except (OSError, StopIteration):
        pass  # not Linux
    return (
        f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"TensorFlow {tf.__version__}"
    )
