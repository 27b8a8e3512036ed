"""Watches what this process does while a command handles what someone sent."""

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
class Deeds:
    """What was done: programs and connections, and files of a place that were opened."""

    outside: Path
    acts: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0
    megabytes: float = 0.0


_watching: Deeds | None = None
_installed = False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watching is None:
        return
    if event in _FORBIDDEN - _IGNORED:
        _watching.acts.append(f"{event} {arguments[:2]!r:.200}")
    elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path.startswith(f"{_watching.outside}{os.sep}") or (path.startswith("/dev/") and path != os.devnull):
            _watching.acts.append(f"open {path}")


@contextmanager
def watched(outside: Path) -> Iterator[Deeds]:
    """Note programs that are started, connections, and files below `outside` that are opened, and what it all costs."""
    global _watching, _installed
    if not _installed:
        sys.addaudithook(_hook)  # it can never be taken away again, so it asks whether it is wanted
        _installed = True
    deeds = Deeds(outside.resolve())
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _watching = deeds
    try:
        yield deeds
    finally:
        _watching = None
        deeds.cpu_seconds = time.process_time() - began
        deeds.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
