"""A process that stops a device when the program that moves it dies or hangs. It needs Python alone.

Nothing that happens to the program can prevent the stop: the process has its own session, which signals to the program
do not reach, and it notices a death by the end of the pipe through which it gets heartbeats.

Run as a script, it reads one line of JSON, `{"seconds": 0.5, "messages": [["udp", "127.0.0.1", 9000, "<hex>"], ...]}`,
and then bytes: `h` is a heartbeat, `p` a pause in which none come, `q` the orderly end. It sends the messages at the
end of the pipe, when no heartbeat comes for so long, and at the orderly end.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

StopMessage = tuple[str, str, int, bytes]
"""What stops a device: `udp`, host, port, and the datagram."""

REPEATS = 3
"""Times that each message is sent: a datagram may get lost."""


class EmergencyStop:
    """Watches this program from a process of its own.

    Args:
        messages: What stops the device; each is sent three times.
        seconds: How long the program may give no heartbeat before the device is stopped.

    Raises:
        ValueError: There is nothing to send, or the time is not positive.
    """

    def __init__(self, messages: Sequence[StopMessage], seconds: float) -> None:
        if not messages or not seconds > 0:
            raise ValueError("an emergency stop needs messages that stop the device, and a positive number of seconds")
        self._messages, self._seconds = list(messages), seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process watches."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin to watch: heartbeats are expected after the first one. Raises OSError if that is not possible."""
        order = {
            "seconds": self._seconds,
            "messages": [[kind, host, port, data.hex()] for kind, host, port, data in self._messages],
        }
        command = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._tell(json.dumps(order).encode() + b"\n")

    def heartbeat(self) -> None:
        """The program works. Never waits."""
        self._tell(b"h")

    def pause(self) -> None:
        """No heartbeat comes until the next one: the device has been stopped."""
        self._tell(b"p")

    def end(self) -> None:
        """Stop the device, and end the process."""
        if self._process is None:
            return
        self._tell(b"q")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process = None

    def _tell(self, data: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            # A full pipe holds many heartbeats already. A process that is gone is reported by `alive`.
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._process.stdin.fileno(), data)


def watch() -> None:
    """Watch the program at the other end of standard input; see the top of this file."""
    pipe = sys.stdin.fileno()
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(pipe, 1)
        if not byte:
            return
        line += byte
    order = json.loads(line)
    patience: float | None = None
    while True:
        ready, _, _ = select.select([pipe], [], [], patience)
        data = os.read(pipe, 4096) if ready else b""
        if not ready:
            send(order["messages"])
            patience = None  # until the program works again
            continue
        if not data or b"q" in data:
            send(order["messages"])
            return
        patience = None if data.endswith(b"p") else order["seconds"]


def send(messages: Sequence[Sequence[object]]) -> None:
    """Send what stops the device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(REPEATS):
            for _, host, port, data in messages:
                with suppress(OSError):
                    sender.sendto(bytes.fromhex(str(data)), (str(host), int(str(port))))


if __name__ == "__main__":
    watch()
