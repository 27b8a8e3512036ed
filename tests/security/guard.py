"""Audit of what this process does while a command reads a malicious file."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_FORBIDDEN = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn",
    "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "urllib.Request", "ftplib.connect",
    "shutil.rmtree", "webbrowser.open", "pickle.find_class", "marshal.loads", "code.__new__",
}  # fmt: skip
_IGNORED = {"marshal.loads", "code.__new__", "shutil.rmtree"}  # Python's own imports, and our own temporary folders
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC


@dataclass
class Actions:
    """Programs that were started, connections, files of a folder that were opened, and the time and memory used."""

    outside: Path
    seen: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0
    megabytes: float = 0.0


_watching: Actions | None = None
_installed = False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watching is None:
        return
    if event in _FORBIDDEN - _IGNORED:
        _watching.seen.append(f"{event} {arguments[:2]!r:.200}")
    elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path.startswith(f"{_watching.outside}{os.sep}") or (path.startswith("/dev/") and path != os.devnull):
            _watching.seen.append(f"open {path}")


@contextmanager
def watched(outside: Path) -> Iterator[Actions]:
    """Record started programs, connections, opened files below `outside`, CPU time and memory."""
    global _watching, _installed
    if not _installed:
        sys.addaudithook(_hook)  # it cannot be removed again, so it checks `_watching`
        _installed = True
    actions = Actions(outside.resolve())
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _watching = actions
    try:
        yield actions
    finally:
        _watching = None
        actions.cpu_seconds = time.process_time() - began
        actions.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
