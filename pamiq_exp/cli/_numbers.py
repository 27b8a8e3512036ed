"""Numbers of a command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable


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
