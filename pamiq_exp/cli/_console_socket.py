"""How a live run is reached: a Unix socket in its run folder.

There is no open port, and who may talk to a run is who may enter its folder. A request is one line of
JSON, `{"command": "pause"}`, and so is the answer, `{"ok": true, "result": ...}`, sent when it is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Not at run time: whoever asks needs neither torch nor lightning.
    from pamiq_exp.runtime import RunHandle

SOCKET_NAME = "console.sock"
COMMANDS = ("status", "pause", "resume", "save", "stop")
_LONGEST_REQUEST = 4096


class ConsoleError(Exception):
    """The run cannot be reached, or did not do what was asked; the message says why."""


def answer(handle: RunHandle, command: str) -> dict[str, Any]:
    """Do what was asked and say how it went."""
    if command == "status":
        return {"ok": True, "result": {"status": handle.status(), "records": handle.last_records()}}
    if command == "pause":
        done = handle.pause()
        return {"ok": done, "result": "paused" if done else "not every thread parked within 10 s; still trying"}
    if command == "resume":
        handle.resume()
        return {"ok": True, "result": "running"}
    if command == "save":
        path = handle.save()
        return {"ok": path is not None, "result": f"saved {path.name}" if path else "not saved; see log.txt"}
    if command == "stop":
        handle.stop()
        return {"ok": True, "result": "saving and stopping"}
    return {"ok": False, "result": f"unknown command; use one of {', '.join(COMMANDS)}"}


@contextlib.contextmanager
def serve(handle: RunHandle, folder: Path) -> Iterator[None]:
    """Listen in `folder` for as long as the context lasts."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 5.0

        def handle(self) -> None:
            try:
                request = json.loads(self.rfile.readline(_LONGEST_REQUEST))
                command = request["command"] if isinstance(request, dict) else None
                reply = answer(handle, str(command))
            except (ValueError, KeyError, OSError) as error:
                reply = {"ok": False, "result": f"not a request: {error}"}
            with contextlib.suppress(OSError):
                self.wfile.write(json.dumps(reply).encode() + b"\n")

    (folder / SOCKET_NAME).unlink(missing_ok=True)
    with _short_path(folder) as path:
        server = _Server(path, Handler)
        os.chmod(path, 0o600)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        (folder / SOCKET_NAME).unlink(missing_ok=True)


def ask(folder: Path, command: str, timeout: float = 60.0) -> Any:
    """Send a command to the run in `folder` and return the result.

    Raises:
        ConsoleError: If no run is alive there, or it could not do what was asked.
    """
    if not (folder / SOCKET_NAME).exists():
        raise ConsoleError(
            f"no run is alive in {folder} (there is no {SOCKET_NAME}); it has ended, or is still starting"
        )
    try:
        with _short_path(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps({"command": command}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = json.loads(stream.readline())
    except ConnectionRefusedError as error:
        raise ConsoleError(
            f"the run in {folder} is gone: it was killed and left its socket behind; resume it"
        ) from error
    except (OSError, ValueError) as error:
        raise ConsoleError(f"the run in {folder} does not answer: {error}") from error
    if not reply["ok"]:
        raise ConsoleError(str(reply["result"]))
    return reply["result"]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """A name for the socket that fits the 107 bytes which the system allows, however deep the folder lies."""
    if not Path("/proc/self/fd").is_dir():
        yield str(folder / SOCKET_NAME)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
