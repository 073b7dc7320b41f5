"""Files that are written whole or not at all."""

import contextlib
import json
import os


@contextlib.contextmanager
def replacing(path):
    """Write a file beside and rename it, so that nobody ever finds half of it.

    Yields:
        the path to write to, of the same suffix. After an error nothing is left of it,
        and `path` is as it was.
    """
    beside = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if hasattr(os, "O_DIRECTORY"):  # the new name, too, survives a loss of power
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path, content):
    """Write a JSON file whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
