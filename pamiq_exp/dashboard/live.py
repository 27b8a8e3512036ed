"""Talks to a live run through the socket in its folder: status, pictures, commands."""

from __future__ import annotations

import base64
import io
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pamiq_exp.jobs.console_socket import ConsoleError, ask, is_socket
from pamiq_exp.run_folder import file_names

Ask: TypeAlias = Callable[[Path, str, float], Any]
"""Sends a command to the run in a folder and returns its answer, within so many seconds; raises `ConsoleError`."""

CONTROLS = ("pause", "resume", "save", "stop", "intervene")
STATUS_SECONDS, PICTURE_SECONDS = 0.5, 0.1
"""How old an answer may be that is given to several viewers."""

MOST_PIXELS = 4_000_000
"""Bytes of a picture, unpacked."""

_PATIENCE, _COMMAND_PATIENCE = 2.0, 60.0


class ReadOnlyError(Exception):
    """A command was asked for on a page that may only look."""


@dataclass(frozen=True)
class LivePicture:
    """One picture of a live run as a `data:` address of a PNG."""

    name: str
    height: int
    width: int
    address: str


class LiveRun:
    """The live side of one run. Answers are shared by all who look, so that more viewers cost the run no more.

    Args:
        folder: The run folder.
        control: Whether commands are passed on.
        ask: How the run is reached.
    """

    def __init__(self, folder: Path, *, control: bool, ask: Ask = ask) -> None:
        self._folder, self._ask, self._control = folder, ask, control
        self._lock = threading.Lock()
        self._status: tuple[float, Mapping[str, Any] | None] = (-np.inf, None)
        self._pictures: tuple[float, list[LivePicture]] = (-np.inf, [])
        self.problem = ""
        """Why the run did not answer last time."""

    @property
    def has_socket(self) -> bool:
        """Whether there is a socket, of a run that is alive or was killed."""
        return is_socket(self._folder / file_names.SOCKET)

    def status(self) -> Mapping[str, Any] | None:
        """Return what the run says of itself; None if it does not answer."""
        with self._lock:
            if time.monotonic() - self._status[0] > STATUS_SECONDS:
                self._status = time.monotonic(), self._request_status()
            return self._status[1]

    def pictures(self) -> list[LivePicture]:
        """Return the newest pictures; none if the run shows none or does not answer."""
        with self._lock:
            if time.monotonic() - self._pictures[0] > PICTURE_SECONDS:
                self._pictures = time.monotonic(), self._request_pictures()
            return self._pictures[1]

    def command(self, name: str) -> str:
        """Pass a command on and return the answer.

        Raises:
            ReadOnlyError: The page may only look.
            ConsoleError: The run did not do it.
        """
        if not self._control or name not in CONTROLS:
            raise ReadOnlyError(f"{name} is not allowed: start the dashboard with --control")
        return str(self._ask(self._folder, name, _COMMAND_PATIENCE))

    def _request_status(self) -> Mapping[str, Any] | None:
        answer = self._request("status")
        status = answer.get("status") if isinstance(answer, dict) else None
        return status if isinstance(status, dict) else None

    def _request_pictures(self) -> list[LivePicture]:
        answer = self._request("view")
        pictures = [_decoded(each) for each in answer] if isinstance(answer, list) else []
        return [each for each in pictures if each is not None]

    def _request(self, command: str) -> object:
        if not self.has_socket:
            self.problem = "it has no socket: it has ended, is still starting, or runs on another machine"
            return None
        try:
            answer: object = self._ask(self._folder, command, _PATIENCE)
            self.problem = ""
            return answer
        except ConsoleError as error:
            self.problem = str(error)
            return None


def _decoded(plain: object) -> LivePicture | None:
    """Turn pixels that a run has sent into a PNG; None for what is no picture."""
    from PIL import Image

    try:
        name, height, width = str(plain["name"]), int(plain["height"]), int(plain["width"])  # type: ignore[index]
        packed = base64.b64decode(plain["pixels"])  # type: ignore[index]
        unpacked = zlib.decompressobj().decompress(packed, MOST_PIXELS)
        pixels = np.frombuffer(unpacked, dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels.reshape(height, width, 3)).save(buffer, format="PNG", compress_level=1)
    except (KeyError, TypeError, ValueError, zlib.error):
        return None
    address = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return LivePicture(name, height, width, address)
