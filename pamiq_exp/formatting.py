"""Text for people."""

from __future__ import annotations

MASK = "***"
"""Stands for a secret in everything that is written or shown. It is no value: nothing runs with it."""


def printable(text: str) -> str:
    """Return text such that it cannot steer a terminal: what is not printable, but for line breaks, as its escape code.

    For all text that is not ours: names and comments out of configs, run folders, environments and errors.
    """
    return "".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text)


def one_line(text: str, most: int = 300) -> str:
    """Return text for one line of a table or a message: printable, without line breaks, and not endless."""
    line = printable(" ".join(text[: 2 * most].split()))
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
