"""The axes and buttons of VRChat, as OSC messages.

Source: VRChat's documentation, "OSC as Input Controller". Axes are floats in [-1, 1] and keep acting until they are
set to 0; buttons are integers, and must be 0 before the next press counts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import SimpleUDPClient

logger = logging.getLogger(__name__)

FORWARD, STRAFE, TURN = "/input/Vertical", "/input/Horizontal", "/input/LookHorizontal"
JUMP, RUN = "/input/Jump", "/input/Run"

AXES = (
    FORWARD,
    STRAFE,
    TURN,
    "/input/UseAxisRight",
    "/input/GrabAxisRight",
    "/input/MoveHoldFB",
    "/input/SpinHoldCwCcw",
    "/input/SpinHoldUD",
    "/input/SpinHoldLR",
)
BUTTONS = (
    JUMP,
    RUN,
    "/input/MoveForward",
    "/input/MoveBackward",
    "/input/MoveLeft",
    "/input/MoveRight",
    "/input/LookLeft",
    "/input/LookRight",
)


def stop_messages(host: str, port: int) -> list[tuple[str, str, int, bytes]]:
    """Return datagrams that set every axis and button to 0."""
    found = []
    for address in (*AXES, *BUTTONS):
        message = OscMessageBuilder(address)
        message.add_arg(0.0 if address in AXES else 0)
        found.append(("udp", host, port, message.build().dgram))
    return found


class Controls:
    """Sends values to axes and buttons, each only when it changes.

    Args:
        host, port: Where VRChat listens.
    """

    def __init__(self, host: str, port: int) -> None:
        self._client = SimpleUDPClient(host, port)
        self._sent: dict[str, float] = {}
        self._fails = False

    def send(self, values: Mapping[str, float]) -> None:
        """Set axes and buttons, by their addresses."""
        for address, value in values.items():
            if self._sent.get(address) != value:
                self._emit(address, value)
                self._sent[address] = value

    def release(self) -> None:
        """Set everything to 0, whatever was sent before; the next `send` sends all of its values."""
        self._sent.clear()
        for address in (*AXES, *BUTTONS):
            self._emit(address, 0.0)

    def _emit(self, address: str, value: float) -> None:
        # The type matters: VRChat wants buttons as integers, and Python's bool would become OSC's True or False.
        try:
            self._client.send_message(address, float(value) if address in AXES else int(value))
            self._fails = False
        except OSError as error:
            if not self._fails:
                logger.warning("VRChat cannot be reached by OSC: %s. What follows is lost until it can", error)
            self._fails = True
