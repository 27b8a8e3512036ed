"""Opens files of a run folder that a stranger may have made: its own regular files and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class ForeignFileError(OSError):
    """The file is no regular file, lies outside of its folder or is too large."""


@contextmanager
def open_file(path: Path, *, within: Path, most: int) -> Iterator[BinaryIO]:
    """Open a regular file below `within` to read its bytes, without following links.

    Raises:
        ForeignFileError: It is a device, a pipe or a folder, lies outside `within`, or is larger than `most` bytes.
        OSError: It is missing or may not be read.
    """
    folder = os.path.realpath(within)
    real = os.path.realpath(path)
    if os.path.commonpath([folder, real]) != folder:
        raise ForeignFileError(f"{path.name} leads out of its folder")
    if not stat.S_ISREG(os.lstat(real).st_mode):  # before it is opened: opening a device may already do something
        raise ForeignFileError(f"{path.name} is no regular file")
    with open(os.open(real, _READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ForeignFileError(f"{path.name} is no regular file")
        if status.st_size > most:
            raise ForeignFileError(f"{path.name} is larger than {most:,} bytes")
        yield file


def read_bytes(path: Path, *, within: Path, most: int) -> bytes:
    """Return what a file holds. See `open_file`."""
    with open_file(path, within=within, most=most) as file:
        return file.read(most)
