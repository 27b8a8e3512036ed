"""A file that only grows, and whose loss is noticed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pamiq_exp.files import open_own

REMOVAL_SECONDS = 0.2
"""How long a removal of the folder that may be under way has time to end: a new file would make it fail."""

_COPY_BYTES = 1 << 20


class AppendFile:
    """Appends to a file, and writes it again when it is no longer the file of its name.

    A descriptor stays valid when its file is removed or moved, and what is written then is lost without an error.
    So `look` compares both; what was written so far is copied from the descriptor.

    Args:
        path: The file; what it holds is kept.
        hold: Called before the file is written again: makes its folder, or raises OSError if that belongs to another
            run. The file is then left alone, and what is written goes to where the old one was moved.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, hold: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._hold = hold
        self._descriptor = _open(path)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, data: bytes | bytearray) -> int:
        """Append, and return how many bytes were taken. Raises OSError, for example when the disk is full."""
        written = os.write(self._descriptor, data)
        self._size += written
        return written

    def look(self) -> str | None:
        """Return what happened to the file since the last look; None if it is as it was left.

        Raises:
            OSError: It had to be written again, and could not.
        """
        ours = os.fstat(self._descriptor)
        try:
            found = os.stat(self.path)
        except OSError:
            found = None
        if found is not None and os.path.samestat(ours, found):
            missing, self._size = self._size - ours.st_size, ours.st_size
            return f"{self.path} was cut: {missing} bytes that had been written are gone" if missing > 0 else None
        time.sleep(REMOVAL_SECONDS)
        try:
            self._hold()
        except OSError as error:
            return str(error)
        self._rewrite()
        return f"{self.path} was moved, removed or replaced while it was written; all of it was written again"

    def sync(self) -> None:
        """Wait until the disk has what was written."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _rewrite(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        temporary.unlink(missing_ok=True)
        descriptor = _open(temporary)
        try:
            position = 0
            while piece := os.pread(self._descriptor, _COPY_BYTES, position):
                position += os.write(descriptor, piece)
            os.fsync(descriptor)
            os.replace(temporary, self.path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        os.close(self._descriptor)
        self._descriptor, self._size = descriptor, position


def _open(path: Path) -> int:
    return open_own(path, os.O_RDWR | os.O_APPEND)  # to read as well: what was written may have to be copied
