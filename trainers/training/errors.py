"""What went wrong, in one line for the person at the terminal.

Nothing here imports TensorFlow, so a wrong flag answers at once.
"""

import contextlib
import re
import sys
from typing import NamedTuple

from trainers.training.interrupts import Stopped

FAILED, WRONG_SETTING, CTRL_C = 1, 2, 130  # exit statuses
ASSERTED = ("assertion failed", "is not compatible")  # in a graph
LESS = "take less at once: lower --batch-size, --steps or --components"
REMEDIES = (  # what an error says, and what to do about it
    ("No space left", "free space, then {again}"),
    ("Disk quota exceeded", "free space, then {again}"),
    ("No such file", "restore the folder, then {again}, or begin anew"),
    ("Permission denied", "make it readable and writable, then {again}"),
    ("Read-only file system", "make it writable, then {again}"),
    ("OOM when allocating", LESS),
    ("RESOURCE_EXHAUSTED", LESS),
)


class WrongSetting(Exception):
    """Settings, data or a run folder that cannot be used; nothing has begun."""


class Failed(Exception):
    """Something that went wrong on the way, said in one line with its remedy."""


class Damaged(Failed, ValueError):
    """Saved states or models that cannot be read."""


class NotFinite(Failed, ArithmeticError):
    """The loss, or a weight, became NaN or infinite."""


class BadClips(Failed, ValueError):
    """Clips with pixels that are not in [0, 1], met in training."""


class Problem(NamedTuple):
    """One line about an error, and the program's exit status."""

    line: str
    status: int


@contextlib.contextmanager
def of_settings(*kinds):
    """While settings are tried, what their checks raise becomes `WrongSetting`.

    Args:
        kinds: of exceptions that they raise; `ValueError`, `OSError` and `RuntimeError`
            if not given.
    """
    kinds = kinds or (ValueError, OSError, RuntimeError)
    try:
        yield
    except Failed:
        raise
    except kinds as error:
        raise WrongSetting(sentence(error)) from error


def exit_status(
    module, action, *, debug=False, again="run it again", stopped="stopped"
):
    """Run a command; an error that people can mend becomes one line on stderr.

    Args:
        module: that is run; its name begins the line.
        action: function without arguments that returns the exit status, or None for 0.
        debug: whether to raise the error instead.
        again: what to do once its cause is mended.
        stopped: the line after Ctrl-C.

    Returns:
        exit status: that of `action`; 2 if a setting or an input cannot be used, 1 if
        something failed on the way; 143 or 130 if it was stopped.
    """
    try:
        return action() or 0
    except (Exception, KeyboardInterrupt) as error:
        problem = explain(error, again, stopped)
        if problem is None or debug:
            raise
        print(f"{module}: {problem.line}", file=sys.stderr)
        return problem.status


def explain(error, again, stopped="stopped"):
    """The `Problem` that an error stands for; None if it is a defect of the program.

    Args:
        error: the exception.
        again: what to do once its cause is mended.
        stopped: the line after Ctrl-C.
    """
    if isinstance(error, KeyboardInterrupt):
        return Problem(stopped, CTRL_C)
    if isinstance(error, Stopped):
        return Problem(str(error), error.status)
    if isinstance(error, WrongSetting):
        return Problem(str(error), WRONG_SETTING)
    if isinstance(error, Failed):
        return Problem(str(error), FAILED)
    if isinstance(error, OSError) or _of_backend(error):
        return Problem(_with_remedy(sentence(error), again), FAILED)
    return None


def _of_backend(error):
    """Whether TensorFlow or JAX's runtime raised it: data, memory, disk, network."""
    tf, jax = sys.modules.get("tensorflow"), sys.modules.get("jax")
    if tf is not None and isinstance(error, tf.errors.OpError):
        return True
    return jax is not None and isinstance(error, jax.errors.JaxRuntimeError)


def sentence(error):
    """What an error says, without where in a graph it happened.

    Args:
        error: an exception, or the text of a server's, often of several lines.

    Returns:
        one line.
    """
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    message = getattr(error, "message", None) or str(error)
    if not message and isinstance(error, BaseException):
        message = type(error).__name__
    lines = [line.strip() for line in message.strip().splitlines()] or [""]
    said = [line for line in lines if any(text in line for text in ASSERTED)]
    if said:
        return said[0]
    inner = re.search(r"^.*?\b\w+Error: (.+)$", message, re.MULTILINE)
    return re.sub(r"\{\{.*?\}\}\s*", "", inner[1] if inner else lines[0])


def reason(error):
    """The first line of an exception, or its class if it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _with_remedy(line, again):
    for said, remedy in REMEDIES:
        if said in line:
            return f"{line}; {remedy.format(again=again)}"
    joint = ", then" if "; " in line else "; mend it, then"
    return f"{line}{joint} {again}"
