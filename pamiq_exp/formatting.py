"""Text for people."""

from __future__ import annotations

import math

MASK = "***"
"""Stands for a secret in everything that is written or shown. It is no value: nothing runs with it."""

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def printable(text: str) -> str:
    """Return text such that it cannot steer a terminal: what is not printable, but for line breaks, as its escape code.

    For all text that is not ours: names and comments out of configs, run folders, environments and errors.
    """
    return "".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text)


def one_line(text: str, most: int = 300) -> str:
    """Return text for one line of a table or a message: printable, without line breaks, and not endless."""
    line = printable(" ".join(text[: 2 * most].split()))
    return line if len(line) <= most else f"{line[: most - 3]}..."


def bytes_text(count: float) -> str:
    """Return a number of bytes in decimal units: `512 B`, `100.7 MB`."""
    size = 0
    while count >= 1000 and size < len(_BYTE_UNITS) - 1:
        count, size = count / 1000, size + 1
    return f"{count:.1f} {_BYTE_UNITS[size]}" if size else f"{count:.0f} B"


def number_text(value: float) -> str:
    """Return a number with thousands apart: whole ones as they are, others with four digits or one decimal."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def clock(seconds: float) -> str:
    """Write a duration as `h:mm:ss`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def plain_text(text: str) -> str:
    """Return text without line breaks and everything else that is not printable, for one cell of a table."""
    return "".join(each for each in text if each.isprintable())
