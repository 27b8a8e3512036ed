"""What a call is refused with, for tests that go over many cases."""

from __future__ import annotations

from collections.abc import Callable


def error_text(kind: type[Exception], call: Callable[[], object]) -> str:
    """Return the message of the error of this kind that a call raises, or nothing if it raises none."""
    try:
        call()
    except kind as error:
        return str(error)
    return ""
