"""What the commands of this package share: flags, one-line errors, exit status."""

import argparse
import sys

from trainers.options import Parser


def parser(name, doc, usage):
    """A parser whose --help shows the module's docstring.

    Args:
        name: of the module in `export`.
        doc: its docstring.
        usage: what follows `python -m export.NAME`.
    """
    summary, _, rest = doc.partition("\n")
    return Parser(
        prog=f"export.{name}",
        usage=f"python -m export.{name} {usage}",
        description=summary,
        epilog=rest,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(name, action, *arguments):
    """Call `action`; an error that it explains becomes one line on stderr.

    Returns:
        exit status: 0, 1 after an error, 130 after Ctrl-C.
    """
    try:
        action(*arguments)
    except (ValueError, OSError) as error:
        print(f"export.{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"export.{name}: stopped", file=sys.stderr)
        return 130
    return 0


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


def at_least(least, kind=int):
    """The type of a flag whose value is a number of at least `least`."""

    def convert(text):
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not number >= least:
            raise argparse.ArgumentTypeError(
                f"expected a number of at least {least}, received {text!r}"
            )
        return number

    return convert
