"""A stand-in for VRChat: it receives OSC, walks in the noise world, and shows its view as a video stream."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

from pamiq_exp.environments import NoiseWorld

LOCAL = "127.0.0.1"
PATIENCE = 90.0


@dataclass(frozen=True)
class Message:
    """An OSC message; the Python type of the value is that of OSC."""

    address: str
    value: Any


class Ear:
    """Receives OSC on a free port and remembers all of it."""

    def __init__(self) -> None:
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._hear)
        self._server = BlockingOSCUDPServer((LOCAL, 0), dispatcher)
        self.port: int = self._server.server_address[1]
        self.messages: list[Message] = []
        self.values: dict[str, Any] = {}
        self.changed = threading.Condition()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def _hear(self, address: str, *values: Any) -> None:
        with self.changed:
            (value,) = values
            self.messages.append(Message(address, value))
            self.values[address] = value
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Wait until something is true of what was heard; false if that never happens."""
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)

    def forget(self) -> None:
        """Forget the messages so far, but not what the values are."""
        with self.changed:
            self.messages.clear()

    @property
    def still(self) -> bool:
        """Whether every axis and button that was ever touched is 0."""
        return bool(self.values) and not any(self.values.values())

    def __enter__(self) -> Ear:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class VRChatStandIn:
    """An avatar in the noise world that follows OSC messages, seen through an MJPEG stream.

    Args:
        rate: Steps of its world a second.
    """

    def __init__(self, rate: float = 20.0) -> None:
        self.ear = Ear()
        self.world = NoiseWorld(noise={"fraction": 0.25, "pool": 4}, image_size=96, dt=1 / rate)
        self.moved = threading.Condition()
        self.frame = self._look()
        self.pose = self._pose()
        self.frames = 1
        self._interval = 1 / rate
        self._ending = threading.Event()
        self._http = ThreadingHTTPServer((LOCAL, 0), self._handler())
        self._http.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._run_world),
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}),
        ]

    @property
    def url(self) -> str:
        """Where its camera can be seen."""
        return f"http://{LOCAL}:{self._http.server_address[1]}/camera.mjpg"

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Wait until something is true of the avatar; false if that never happens."""
        with self.moved:
            return self.moved.wait_for(condition, PATIENCE)

    def next_frame(self, shown: int) -> int:
        """Wait until there is another frame than number `shown`, or no more, and return the number of the newest."""
        self.wait_for(lambda: self.frames > shown or self._ending.is_set())
        return self.frames

    def _look(self) -> NDArray[np.uint8]:
        return np.asarray(self.world.observe().values["image"][0], dtype=np.uint8)

    def _pose(self) -> NDArray[np.float64]:
        return np.array(self.world.ground_truth()["pose"][0])

    def _run_world(self) -> None:
        while not self._ending.wait(self._interval):
            self.world.affect(np.array([self._action()]))
            with self.moved:
                self.frame, self.pose = self._look(), self._pose()
                self.frames += 1
                self.moved.notify_all()

    def _action(self) -> list[int]:
        """What the avatar does, as VRChat takes it: small turns do not count."""
        values = self.ear.values
        forward, strafe, turn = (
            values.get(f"/input/{name}", 0.0) for name in ("Vertical", "Horizontal", "LookHorizontal")
        )
        turn = turn if abs(turn) > 0.5 else 0.0
        axes = [0 if value == 0 else 1 if value > 0 else 2 for value in (forward, strafe, turn)]
        return [*axes, int(values.get("/input/Jump", 0)), int(values.get("/input/Run", 0))]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with suppress(OSError):  # no one watches any more
                    self._stream()

            def _stream(self) -> None:
                shown = 0
                while not stand_in._ending.is_set():
                    shown = stand_in.next_frame(shown)
                    picture = io.BytesIO()
                    Image.fromarray(stand_in.frame).save(picture, format="JPEG", quality=95, subsampling=0)
                    data = picture.getvalue()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
                    self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
                pass

        return Handler

    def __enter__(self) -> VRChatStandIn:
        self.ear.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        with self.moved:
            self.moved.notify_all()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()
        self.ear.__exit__(kind, error, trace)


if __name__ == "__main__":
    with VRChatStandIn() as vrchat, suppress(KeyboardInterrupt):
        print(f"environment.sensors.image.source={vrchat.url} environment.actuators.avatar.port={vrchat.ear.port}")
        while True:
            time.sleep(1)
