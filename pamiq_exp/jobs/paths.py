"""Paths as the user types them."""

from __future__ import annotations

import os
import re
from pathlib import Path

_FOLDER = re.compile(r"(\+{0,2}(?:paths\.outputs|hydra\.run\.dir|hydra\.sweep\.dir)=)(['\"]?)(~(?:/.*)?)", re.DOTALL)
_PLAIN = re.compile(r"[\w./-]*")


def typed_path(text: str) -> Path:
    """Return a path in which a leading `~` is the user's home: the shell leaves one alone in `--output=~/x`."""
    return Path(os.path.expanduser(text))


def expand_home(word: str) -> str:
    """Return an override of where results go with the user's home in place of a leading `~`; others as they are."""
    if (found := _FOLDER.fullmatch(word)) is None:
        return word
    key, quote, path = found.groups()
    home = os.path.expanduser("~")
    if not quote and _PLAIN.fullmatch(home) is None:  # Hydra's grammar would take it apart
        quote = "'"
        path += quote
    return f"{key}{quote}{home}{path[1:]}"
