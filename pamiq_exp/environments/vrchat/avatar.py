"""A VRChat avatar as an actuator."""

from __future__ import annotations

import math
import time

import numpy as np

from pamiq_exp.environments.modular import Actuator
from pamiq_exp.environments.noise_world.actions import ActionSet
from pamiq_exp.environments.vrchat.controls import FORWARD, JUMP, RUN, STRAFE, TURN, Controls, stop_messages
from pamiq_exp.environments.vrchat.exits import OnExit
from pamiq_exp.interaction import Array

_SETTLED = 0.01
"""An axis that is this close to what is wanted is there: otherwise a lagging one would never stop."""

_MENU_PAUSE = 1 / 30
"""Seconds between the messages that close an open menu."""


class VRChatAvatar(Actuator):
    """Walks, turns, jumps and runs in VRChat by OSC messages, with the actions of the noise world (`ActionSet`).

    Whatever moves is stopped when the run pauses, when it ends, and when the program exits. After a pause, what is
    held is sent again with the next action.

    With a `lag`, axes follow first-order: `y(t) = u + (y0 - u) exp(-t / lag)`, moved on by one interval before each
    message. Buttons can be late: a change shows only after it was wanted for `press_delay` (`release_delay`) seconds
    more, counted in whole intervals.

    Args:
        host, port: Where VRChat listens; OSC must be enabled in its settings.
        actions: `branches`, `masked` (no jump, no run) or `discrete`, see `ActionSet`.
        speed: Of the axes forward and strafe at full command, in (0, 1].
        turn_speed: Of the axis that turns, in (0, 1]; VRChat ignores values up to about 0.5.
        interval: Seconds between two actions.
        lag: Time constant of the axes in seconds; 0 is at once.
        press_delay, release_delay: Of the buttons, in seconds.
        close_menu: Whether to close a menu, which would hold the avatar, by a short step forward at the start and
            after a pause. It takes a tenth of a second.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 9000,
        actions: str = "branches",
        speed: float = 1.0,
        turn_speed: float = 0.7,
        interval: float = 0.1,
        lag: float = 0.0,
        press_delay: float = 0.0,
        release_delay: float = 0.0,
        close_menu: bool = True,
    ) -> None:
        for name, value in (("speed", speed), ("turn_speed", turn_speed)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} must be in (0, 1], not {value}")
        if interval <= 0 or min(lag, press_delay, release_delay) < 0:
            raise ValueError("interval must be positive, lag and delays of a VRChat body at least 0")
        self._actions = ActionSet(actions)
        self.space = self._actions.space
        self._controls = Controls(host, port)
        self._address = host, port
        self._on_exit = OnExit(self._controls.release)
        self._speeds = np.array([speed, speed, turn_speed])
        self._remaining = math.exp(-interval / lag) if lag > 0 else 0.0
        # A hair more, or 0.3 s would be two intervals of 0.1 s in floating point.
        self._patience = {True: int(press_delay / interval + 1e-9), False: int(release_delay / interval + 1e-9)}
        self._close_menu = close_menu
        self._axes = np.zeros(3)
        self._pressed = [False, False]
        self._waited = [0, 0]

    def setup(self) -> None:
        """Stop whatever an earlier program left moving, and see to it that nothing moves after this one."""
        self._on_exit.arm()
        self._begin()

    def teardown(self) -> None:
        """Stop whatever moves."""
        self._stop()
        self._on_exit.disarm()

    def on_pause(self) -> None:
        """Stop whatever moves."""
        self._stop()

    def on_resume(self) -> None:
        """Close a menu that may be open by now."""
        self._begin()

    def stop_messages(self) -> list[tuple[str, str, int, bytes]]:
        """See `Actuator`: every axis and button to 0."""
        return stop_messages(*self._address)

    def operate(self, action: Array) -> None:
        """See `Actuator`."""
        self._actions.check(action[None], 1)
        command = self._actions.commands(action[None])[0]
        wanted = command[:3] * self._speeds
        self._axes = wanted + (self._axes - wanted) * self._remaining
        settled = np.abs(self._axes - wanted) < _SETTLED
        self._axes[settled] = wanted[settled]
        for index in range(2):
            self._press(index, bool(command[3 + index]))
        forward, strafe, turn = (float(value) for value in self._axes)
        self._controls.send(
            {FORWARD: forward, STRAFE: strafe, TURN: turn, JUMP: self._pressed[0], RUN: self._pressed[1]}
        )

    def _press(self, index: int, wanted: bool) -> None:
        if wanted == self._pressed[index]:
            self._waited[index] = 0
        elif self._waited[index] >= self._patience[wanted]:
            self._pressed[index], self._waited[index] = wanted, 0
        else:
            self._waited[index] += 1

    def _begin(self) -> None:
        self._stop()
        if self._close_menu:
            time.sleep(_MENU_PAUSE)
            self._controls.send({FORWARD: 1.0})
            time.sleep(_MENU_PAUSE)
            self._controls.release()
            time.sleep(_MENU_PAUSE)

    def _stop(self) -> None:
        self._controls.release()
        self._axes[:] = 0
        self._pressed, self._waited = [False, False], [0, 0]
