"""What the command lines of several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from pamiq_exp.jobs.paths import typed_path


def command_parser(
    command: str, description: str, *, usage: str | None = None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Return the parser of a command, without arguments yet."""
    return argparse.ArgumentParser(
        prog=f"python -m pamiq_exp {command}",
        usage=usage and f"%(prog)s {usage}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter if epilog else argparse.HelpFormatter,
    )


def existing_run(word: str) -> Path:
    """Read the folder of a run, as the `type` of an argument."""
    path = typed_path(word)
    if not os.path.isdir(path):  # False also for a name that is too long
        raise argparse.ArgumentTypeError(f"{path} is no run folder: name one such as outputs/NAME/DATE")
    return path.absolute()


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number within limits, as the `type` of an argument."""
    limits = f"from {least} to {most}" if most is not None else f"at least {least}"

    def read(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{word}' is no whole number: {limits}") from None
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(limits)
        return value

    return read
