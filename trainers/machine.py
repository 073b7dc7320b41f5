"""Where a run or a benchmark was made."""

import os
import platform
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
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} {'core' if cores == 1 else 'cores'}"
