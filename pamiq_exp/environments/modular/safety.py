"""A wrapper that keeps an actuator within limits, and stops it when no command comes."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pamiq_exp.environments.modular.emergency_stop import EmergencyStop
from pamiq_exp.environments.modular.parts import Actuator
from pamiq_exp.interaction import Array

logger = logging.getLogger(__name__)


class SafeActuator(Actuator):
    """Keeps an actuator within bounds and a slew rate, and stops it when commands fail to come.

    A person can take over (`console RUN intervene`): the actuator is stopped and gets no commands of the agent until
    the person gives back.

    - `dead_man`: a thread of this program stops the actuator when no command has come for so long.
    - `emergency_stop`: a process of its own does the same, also when the program crashes, hangs or is killed. The
      actuator must name messages that stop it (`Actuator.stop_messages`).

    Args:
        actuator: What moves.
        low, high: Bounds of each number of a Box action, within those of its space; None takes those of the space.
        slew_rate: The largest change of each number in a second, from 0 at the start and after a stop; None for any.
        dead_man: Seconds without a command after which the actuator is stopped; None never does.
        emergency_stop: Seconds without a command after which a process of its own stops it; None starts none.

    Raises:
        ValueError: Limits for an actuator that chooses, limits that exclude 0 or do not fit, times that are not
            positive, or an emergency stop of an actuator that names no messages.
    """

    def __init__(
        self,
        actuator: Actuator,
        low: Sequence[float] | float | None = None,
        high: Sequence[float] | float | None = None,
        slew_rate: float | None = None,
        dead_man: float | None = None,
        emergency_stop: float | None = None,
    ) -> None:
        self.actuator = actuator
        self.space = actuator.space
        for name, seconds in (("dead_man", dead_man), ("emergency_stop", emergency_stop), ("slew_rate", slew_rate)):
            if seconds is not None and not 0 < seconds < math.inf:
                raise ValueError(f"{name} must be a positive number, not {seconds!r}")
        self._bounds = _bounds(actuator.space, low, high, slew_rate)
        self._slew_rate, self._dead_man = slew_rate, dead_man
        self._stop: EmergencyStop | None = None
        if emergency_stop is not None:
            messages = actuator.stop_messages()
            if not messages:
                raise ValueError(
                    f"emergency_stop: {type(actuator).__name__} names no messages that stop it (stop_messages)"
                )
            self._stop = EmergencyStop(messages, emergency_stop)
        self._guard = threading.Lock()
        """One thread at a time gives the actuator a command."""
        self._newest: NDArray[np.float32] | None = None
        self._commanded_at = 0.0
        self._moves = False
        self._ending = threading.Event()
        self._watching: threading.Thread | None = None
        self._intervened = False
        self.clipped, self.stops, self.withheld = 0, 0, 0
        """Commands beyond the limits, stops by the dead man, and commands withheld while a person acted."""

    def setup(self) -> None:
        """Begin to watch."""
        if self._stop is not None:
            self._stop.start()
        if self._dead_man is not None:
            self._watching = threading.Thread(target=self._watch, args=(self._dead_man,), name="dead man", daemon=True)
            self._watching.start()

    def teardown(self) -> None:
        """Stop whatever moves, and end what watches."""
        self._ending.set()
        if self._watching is not None:
            self._watching.join()
        if self._stop is not None:
            self._stop.end()

    def on_pause(self) -> None:
        """The actuator itself stops; nothing is expected to come."""
        with self._guard:
            self._halted()

    def on_intervene(self, active: bool) -> bool:
        """A person takes over, or gives back. Returns True: that is possible here."""
        with self._guard:
            self._intervened = active
            if active:
                self.actuator.on_pause()
                self._halted()
            else:
                self.actuator.on_resume()
        return True

    def operate(self, action: Array) -> None:
        """See `Actuator`: the command within the limits, or none while a person acts."""
        now = time.monotonic()
        with self._guard:
            if self._intervened:
                self.withheld += 1
                return
            if self._stop is not None:
                if not self._stop.alive:
                    raise RuntimeError("the process of the emergency stop is gone: nothing moves without it")
                self._stop.heartbeat()
            self.actuator.operate(self._limited(action, now))
            self._commanded_at, self._moves = now, True
            if self._stop is not None:
                self._stop.heartbeat()  # once more: a command that took long may have come after a stop

    def stop_messages(self) -> list[tuple[str, str, int, bytes]]:
        """Those of the actuator."""
        return self.actuator.stop_messages()

    def report(self) -> dict[str, float]:
        """What was limited, stopped and withheld, and whether a person acts now (`intervened`)."""
        return {
            **self.actuator.report(),
            "intervened": float(self._intervened),
            "withheld": float(self.withheld),
            "clipped": float(self.clipped),
            "stops": float(self.stops),
        }

    def _limited(self, action: Array, now: float) -> Array:
        if self._bounds is None:
            return action
        limited = np.clip(np.where(np.isfinite(action), action, 0), *self._bounds).astype(np.float32)
        before = self._newest if self._newest is not None else np.zeros_like(limited)
        if self._slew_rate is not None:
            # A first command after a stop may change by what one tenth of a second allows: there is no interval yet.
            largest = self._slew_rate * min(now - self._commanded_at if self._moves else 0.1, 0.1)
            limited = np.clip(limited, before - largest, before + largest)
        self.clipped += not np.array_equal(limited, action)
        self._newest = limited
        return limited

    def _halted(self) -> None:
        self._moves, self._newest = False, None
        if self._stop is not None:
            self._stop.pause()

    def _watch(self, seconds: float) -> None:
        while not self._ending.wait(min(seconds / 4, 0.05)):
            with self._guard:
                if self._moves and time.monotonic() - self._commanded_at > seconds:
                    self.stops += 1
                    self.actuator.on_pause()
                    self._moves, self._newest = False, None
                    logger.warning("no command for %g s: the actuator was stopped until the next one", seconds)


def _bounds(
    space: object, low: Sequence[float] | float | None, high: Sequence[float] | float | None, slew_rate: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    if not isinstance(space, spaces.Box):
        if (low, high, slew_rate) != (None, None, None):
            raise ValueError(f"low, high and slew_rate are for actions of numbers (Box), not for {space}")
        return None
    bounds = []
    for name, given, widest in (("low", low, space.low), ("high", high, space.high)):
        values = np.asarray(widest if given is None else given, dtype=np.float32)
        if values.shape not in ((), space.shape):
            raise ValueError(f"{name} must be one number or {space.shape[0]}, not {given!r}")
        bounds.append(np.broadcast_to(values, space.shape))
    smallest, largest = bounds
    outside = (smallest < space.low).any() or (largest > space.high).any()
    if outside or not ((smallest <= 0) & (largest >= 0)).all():
        raise ValueError(
            f"low and high must lie within the space {space} and include 0, at which an actuator stands still: "
            f"{smallest.tolist()}, {largest.tolist()}"
        )
    return smallest, largest
