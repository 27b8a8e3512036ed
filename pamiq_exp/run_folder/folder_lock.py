"""The lock of a run folder: one run at a time works in it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakSet

LOCK = "run.lock"

_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_ATTEMPTS = 10
_RETRY_SECONDS = 0.02
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


class RunFolderError(Exception):
    """The run folder cannot be used; the message names what to do."""


@dataclass(frozen=True)
class Owner:
    """The process that works in a run folder.

    Attributes:
        pid: Its process id.
        host: The machine that it runs on.
        since: When it took the folder, in ISO 8601 with the time zone.
    """

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        place = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"process {self.pid}{place}, since {self.since}"


class FolderLock:
    """Holds `run.lock` in a folder, so that no other run, in this process or another one, gets it meanwhile.

    The kernel releases the lock however the process ends, also on NFS. On a disk without locks the file itself
    counts: it is valid while its process lives, and one of another host is always taken for alive.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._descriptor: int | None = None
        _locks.add(self)

    @property
    def held(self) -> bool:
        """Whether this object has the lock."""
        return self._descriptor is not None

    @property
    def in_place(self) -> bool:
        """Whether the file that is locked still has the name of the lock: the folder was neither moved nor removed."""
        return self._descriptor is not None and _is_file_of(self._descriptor, self.path)

    def acquire(self) -> None:
        """Take the lock; one that is held already is given up for that of the folder which has the name now.

        Raises:
            RunFolderError: Another run has it; the message names its process.
            OSError: The lock cannot be written.
        """
        for _ in range(_ATTEMPTS):
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
            )
            taken = False
            try:
                # A file that was removed between `open` and the lock protects nothing: take the next one.
                taken = _lock(descriptor) and _is_file_of(descriptor, self.path)
                if taken:
                    owner = Owner(os.getpid(), socket.gethostname(), _now())
                    os.ftruncate(descriptor, os.pwrite(descriptor, json.dumps(asdict(owner)).encode(), 0))
                    self._replace(descriptor)
                    return
            finally:
                if not taken:
                    os.close(descriptor)
            time.sleep(_RETRY_SECONDS)  # a process that only looks holds it for a moment too
        owner_now = _read_owner(self.path)
        raise RunFolderError(
            f"{self.path.parent} is in use by another run ({owner_now or 'its process is not known'}): wait until that "
            "run has ended, stop it (python -m pamiq_exp console RUN stop), or choose another folder"
        )

    def release(self) -> None:
        """Give the lock up and remove its file, if it is still in its place."""
        if self.in_place:
            self.path.unlink(missing_ok=True)
        self._replace(None)

    def forget(self) -> None:
        """Close the file without releasing the lock: what a forked child has to do."""
        self._replace(None)

    def _replace(self, descriptor: int | None) -> None:
        before, self._descriptor = self._descriptor, descriptor
        if before is not None:
            os.close(before)


_locks: WeakSet[FolderLock] = WeakSet()


def _forget_in_child() -> None:
    """A lock belongs to all processes that inherited it; a child that lives on must not keep the folder."""
    for lock in list(_locks):
        lock.forget()


os.register_at_fork(after_in_child=_forget_in_child)


def owner_of(folder: Path) -> Owner | None:
    """Return the process that works in a run folder now; None if none does."""
    path = folder / LOCK
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        free = _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
    return None if free else _read_owner(path)


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        return not _lives(_read_owner(descriptor))  # this disk has no locks
    return True


def _lives(owner: Owner | None) -> bool:
    if owner is None or owner.host != socket.gethostname():
        return owner is not None
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read_owner(file: Path | int) -> Owner | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        content = os.pread(file, 4096, 0) if isinstance(file, int) else file.read_bytes()[:4096]
        tree = json.loads(content)
        return Owner(int(tree["pid"]), str(tree["host"])[:100], str(tree["since"])[:40])
    return None


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
