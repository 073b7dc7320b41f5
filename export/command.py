"""What the commands of this package share: flags, one-line errors, exit status."""

import argparse
import importlib.util
import math
import pathlib

from trainers.training import errors
from trainers.training.command_line import Parser

MODULES = {  # of the extras of pyproject.toml
    "serving": ("tensorflow_serving", "grpc", "requests"),
    "video": ("av",),
    "litert": ("ai_edge_litert",),
}


def need(extra):
    """Raise ValueError with the remedy unless the packages of an extra are there."""
    missing = [
        module for module in MODULES[extra] if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} not installed; pip install 'nem-tf[{extra}]'"
        )


def parser(name, doc, usage):
    """A parser whose --help shows the module's docstring.

    Args:
        name: of the module in `export`.
        doc: its docstring.
        usage: what follows `python -m export.NAME`.
    """
    made = Parser(f"export.{name}", doc, usage)
    made.add_argument(
        "--debug", action="store_true", help="show where in the code an error happened"
    )
    return made


def run(name, action, *arguments, debug=False):
    """Call `action`; an error that people can mend becomes one line on stderr.

    Returns:
        exit status: 0; 2 if the input is wrong, 1 if something failed on the way; 130
        after Ctrl-C.
    """

    def checked():
        with errors.of_settings(ValueError, ImportError):
            action(*arguments)

    return errors.exit_status(f"export.{name}", checked, debug=debug)


RESULTS = {
    ".gif": "animation (.gif)",
    ".mp4": "of layered models also film (.mp4)",
    ".npz": "segments, gamma and psi as arrays (.npz)",
}


def add_input_flags(parser, results=(".gif", ".npz")):
    """The flags that say how a video is read and where its result goes.

    Args:
        parser: gets them.
        results: the kinds of files that are written, of `RESULTS`.
    """
    parser.add_argument(
        "--out",
        type=_result(results),
        metavar="FILE",
        help=_either([RESULTS[suffix] for suffix in results], ", or "),
    )
    parser.add_argument(
        "--grey", action="store_true", help="colour video to a grey model: use luma"
    )
    parser.add_argument(
        "--resize",
        action="store_true",
        help="fit frames of another size, black where they do not fill",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="pixels above X in [0, 1] become 1, others 0: for models of binary pixels",
    )
    parser.add_argument(
        "--first", type=at_least(1), metavar="N", help="take the first N frames only"
    )
    parser.add_argument(
        "--seed",
        type=at_least(0, most=2**31 - 1),
        default=0,
        metavar="N",
        help="random start (0)",
    )


def _result(suffixes):
    """The type of a flag whose value is a file with one of these suffixes."""

    def convert(text):
        if not text.endswith(tuple(suffixes)):
            raise argparse.ArgumentTypeError(wrong_result(text, suffixes))
        return path(text)

    return convert


def wrong_result(out, suffixes):
    """What is said about a result of another kind."""
    return f"expected a file ending in {_either(suffixes)}, received {str(out)!r}"


def _either(words, last=" or "):
    """Several words as one list."""
    return last.join([", ".join(words[:-1]), words[-1]])


def path(text):
    """A flag's path; a shell leaves --out=~/x alone."""
    return pathlib.Path(text).expanduser()


def integers(text):
    """A flag's value of whole numbers of at least 1 between commas."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers of at least 1 between commas, received {text!r}"
        )
    return numbers


def at_least(least, kind=int, most=math.inf):
    """The type of a flag whose value is a number from `least` to `most`."""
    wanted = f"at least {least}" if most == math.inf else f"from {least} to {most}"

    def convert(text):
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number {wanted}, received {text!r}"
            )
        return number

    return convert
