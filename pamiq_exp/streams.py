"""The standard streams: they take every character, and a closed one ends no run."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
from typing import TextIO

_NO_OUTPUT = 1
"""Exit status of a command whose output could not be written."""


def replace_unknown_characters() -> None:
    """Let the standard streams write a substitute for a character that their encoding does not have."""
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


class _Tolerant(io.FileIO):
    """A stream that takes what cannot be written any more, and keeps why."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: object) -> int:
        """Write, or forget what cannot be written; return how many bytes are dealt with."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        while self.error is None:
            try:
                written: int | None = super().write(view)
            except OSError as error:
                self.error = error
            else:
                if written is not None:
                    return written
                select.select([], [self], [])  # another process that shares it made it non-blocking
        return len(view)


class Streams:
    """The standard streams of a command, from its start to its exit status.

    A stream that was closed reads and writes nothing, so that no file of ours takes its number. An error of the
    output does not reach the code that prints; it counts at the end, and not for a command whose work lies elsewhere.
    """

    def __init__(self) -> None:
        _open_closed()
        self._output = _Tolerant(1)
        if sys.stdin is None:
            sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
        sys.stdout = _text(self._output, sys.stdout)
        sys.stderr = _text(_Tolerant(2), sys.stderr)
        replace_unknown_characters()

    def status(self, status: int) -> int:
        """Return the exit status of a command that has ended with `status`."""
        sys.stdout.flush()
        sys.stderr.flush()
        error = self._output.error
        if error is None or _incidental:
            return status
        if error.errno == errno.EPIPE:
            return 128 + signal.SIGPIPE  # as any program whose reader, such as `head`, has left
        print(f"the standard output cannot be written: {error.strerror}", file=sys.stderr)
        return status or _NO_OUTPUT


_incidental = False


def output_is_incidental() -> None:
    """Say that what this process prints is not what it was started for: a run is kept in its folder."""
    global _incidental
    _incidental = True


def _open_closed() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _text(raw: _Tolerant, before: TextIO | None) -> io.TextIOWrapper:
    """Return a text stream like the one before; lines of one that is not buffered (PYTHONUNBUFFERED) go out at once."""
    if before is not None:
        before.flush()
    write_through = getattr(before, "write_through", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        line_buffering=write_through or getattr(before, "line_buffering", False),
        write_through=write_through,
    )
