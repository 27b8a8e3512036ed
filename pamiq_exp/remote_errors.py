"""Errors on their way from one process to another."""

from __future__ import annotations

import copy
import traceback


class RemoteTracebackError(Exception):
    """Where an error was raised in the other process, as text: the cause of what is raised in this one."""


def portable_error(error: BaseException, stand_in: type[Exception]) -> tuple[BaseException, str]:
    """Return an error that can be sent, and its traceback as text.

    Args:
        error: What was raised.
        stand_in: Class of the error that is sent with the same text where this one does not survive the way.
    """
    trace = "".join(traceback.format_exception(error))
    try:
        copied = copy.copy(error)  # made anew from its class and arguments, as at the other end
    except Exception:  # whatever the error's class raises meanwhile
        copied = None
    if type(copied) is type(error):
        return error, trace
    text = stand_in(f"{type(error).__name__}: {error}")
    for note in getattr(error, "__notes__", []):
        text.add_note(note)
    return text, trace


def received_error(error: BaseException, trace: str) -> BaseException:
    """Return an error that came from another process, with its traceback there as the cause."""
    error.__cause__ = RemoteTracebackError(trace) if trace else None
    return error
