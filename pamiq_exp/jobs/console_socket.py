"""Control of a live run over a Unix socket in its run folder.

There is no open port, and who may talk to a run is who may enter its folder. A request is one line of
JSON, `{"command": "pause"}`, and so is the answer, `{"ok": true, "result": ...}`, sent when it is done. Requests are
answered at a limited rate, so that a flood of them is no burden for the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pamiq_exp.files import parse_json
from pamiq_exp.formatting import printable
from pamiq_exp.run_folder import file_names

if TYPE_CHECKING:
    # Clients need neither torch nor lightning.
    from pamiq_exp.runtime import RunHandle

COMMANDS = ("status", "pause", "resume", "save", "stop", "intervene", "view")
LONGEST_REQUEST = 4096
"""Bytes."""

REQUESTS_PER_SECOND = 200.0
BURST = 50
"""Requests that are answered without waiting when none came for a while."""

_AT_ONCE = 8
"""Requests that are answered at the same time; others wait in the system's queue."""
_MOST_SILENT = 16
"""Connections that may be open without having asked anything; one more closes the oldest."""
_LONGEST_ANSWER = 4_000_000


class ConsoleError(Exception):
    """The run cannot be reached, or did not do what was asked; the message says why."""


def answer(handle: RunHandle, command: str) -> dict[str, Any]:
    """Run a command and return its result."""
    if command == "status":
        return {"ok": True, "result": {"status": handle.status(), "records": handle.last_records()}}
    if command == "view":
        return {"ok": True, "result": handle.view()}
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
    if command == "intervene":
        return _intervene(handle)
    return {"ok": False, "result": f"unknown command; use one of {', '.join(COMMANDS)}"}


def _intervene(handle: RunHandle) -> dict[str, Any]:
    try:
        acts = handle.intervene()
    except TimeoutError as error:
        return {"ok": False, "result": str(error)}
    if acts is None:
        return {"ok": False, "result": "no actuator of this run lets a person take over: see SafeActuator"}
    return {"ok": True, "result": "a person acts: `intervene` again gives back" if acts else "the agent acts again"}


@contextlib.contextmanager
def serve(handle: RunHandle, folder: Path) -> Iterator[None]:
    """Listen in `folder` for as long as the context lasts."""

    turns = _Turns()

    class Handler(socketserver.StreamRequestHandler):
        timeout = 5.0

        def handle(self) -> None:
            try:
                line = self.rfile.readline(LONGEST_REQUEST)
                server.heard(self.request)
                turns.wait()
                request = parse_json(line)
                command = request["command"] if isinstance(request, dict) else None
                reply = answer(handle, str(command))
            except (ValueError, KeyError, OSError) as error:
                reply = {"ok": False, "result": f"not a request: {error}"}
            with contextlib.suppress(OSError):
                self.wfile.write(json.dumps(reply).encode() + b"\n")

    (folder / file_names.SOCKET).unlink(missing_ok=True)
    with _short_path(folder) as path:
        server = _Server(path, Handler)
    ours = os.stat(folder / file_names.SOCKET)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        with contextlib.suppress(FileNotFoundError):  # if the folder was moved, another run may listen in this one
            if os.path.samestat(ours, os.stat(folder / file_names.SOCKET)):
                (folder / file_names.SOCKET).unlink()


def ask(folder: Path, command: str, timeout: float = 60.0) -> Any:
    """Send a command to the run in `folder` and return the result.

    Raises:
        ConsoleError: If no run is alive there, or it could not do what was asked.
    """
    if not is_socket(folder / file_names.SOCKET):  # nor a link to another program's
        raise ConsoleError(
            f"no run is alive in {folder} (there is no {file_names.SOCKET}); it has ended, or is still starting"
        )
    try:
        with _short_path(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps({"command": command}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = parse_json(stream.readline(_LONGEST_ANSWER))
    except ConnectionRefusedError as error:
        raise ConsoleError(
            f"the run in {folder} is gone: it was killed and left its socket behind; resume it"
        ) from error
    except (OSError, ValueError) as error:
        raise ConsoleError(f"the run in {folder} does not answer: {error}") from error
    if not isinstance(reply, dict) or "result" not in reply:
        raise ConsoleError(f"what answers in {folder} is no run")
    if not reply.get("ok"):
        raise ConsoleError(printable(str(reply["result"])))
    if command == "status" and not _is_status(reply["result"]):
        raise ConsoleError(f"what answers in {folder} is no run")
    return reply["result"]


def is_socket(path: Path) -> bool:
    """Whether a socket lies at a path, of a process that is alive or was killed, and no link to one."""
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


def _is_status(result: object) -> bool:
    """Whether an answer is what `answer` gives: a state, metrics, and records of metrics with their step."""
    if not isinstance(result, dict) or not isinstance(result.get("status"), dict):
        return False
    records = result.get("records")
    return (
        "state" in result["status"]
        and isinstance(records, dict)
        and all(
            isinstance(record, dict) and isinstance(record.get("environment_step"), int) for record in records.values()
        )
    )


class _Turns:
    """Gives out so many turns a second, and a few more that come at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for a turn."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - BURST / REQUESTS_PER_SECOND) + 1.0 / REQUESTS_PER_SECOND
            wait = self._next - now
        if wait > 0.0:
            time.sleep(wait)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, handler: type[socketserver.StreamRequestHandler]) -> None:
        self.closing = threading.Event()
        self._changed = threading.Condition()
        self._silent: list[socket.socket] = []
        self._asking: set[socket.socket] = set()
        super().__init__(path, handler)

    def server_bind(self) -> None:
        with contextlib.suppress(OSError):
            os.fchmod(self.fileno(), 0o600)  # Linux: no other user can connect even before the next line
        super().server_bind()
        os.chmod(str(self.server_address), 0o600)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            while len(self._asking) >= _AT_ONCE and not self.closing.is_set():
                self._changed.wait(0.2)
            if not self.closing.is_set():
                self._silent.append(request)
                if len(self._silent) > _MOST_SILENT:
                    with contextlib.suppress(OSError):  # it has gone by itself
                        self._silent.pop(0).shutdown(socket.SHUT_RDWR)
        if self.closing.is_set():
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def heard(self, request: socket.socket) -> None:
        """Count a connection among those that have asked something."""
        with self._changed:
            if request in self._silent:
                self._silent.remove(request)
            self._asking.add(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._asking.discard(request)
                if request in self._silent:
                    self._silent.remove(request)
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing on the terminal of the run: the client got the error, or has gone."""


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """A name for the socket that fits the 107 bytes which the system allows, however deep the folder lies."""
    if not Path("/proc/self/fd").is_dir():
        yield str(folder / file_names.SOCKET)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{file_names.SOCKET}"
    finally:
        os.close(descriptor)
