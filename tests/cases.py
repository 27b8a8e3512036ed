"""Errors of many small cases in one test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any


def error_of(
    kinds: type[Exception] | tuple[type[Exception], ...], call: Callable[..., object], *words: Any, **settings: Any
) -> str:
    """Return the message of the error that a call raises, or nothing if it raises none."""
    try:
        call(*words, **settings)
    except kinds as error:
        return str(error)
    return ""


def unexpected_errors(kind: type[Exception], calls: Iterable[tuple[Callable[[], object], str]]) -> list[str]:
    """Run each call and list those that raise no error of this kind, or one whose message lacks the pattern."""
    found = []
    for call, pattern in calls:
        try:
            call()
        except Exception as error:
            message = "\n".join([str(error), *getattr(error, "__notes__", ())])
            if not isinstance(error, kind) or not re.search(pattern, message):
                found.append(f"expected {kind.__name__} with {pattern!r}, but got {type(error).__name__}: {message}")
        else:
            found.append(f"expected {kind.__name__} with {pattern!r}, but nothing was raised")
    return found
