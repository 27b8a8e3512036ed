"""Base classes of sensors and actuators."""

from __future__ import annotations

from abc import ABC, abstractmethod

import gymnasium

from pamiq_exp.component import Component
from pamiq_exp.interaction import Array


class Sensor(Component, ABC):
    """Shows one thing of a world: a camera, a microphone, the position of a joint.

    `setup` opens the device, `teardown` closes it, and `on_pause` lets it rest.

    Attributes:
        space: What `read` returns.
        observed_at: When what the last reading shows was true (`time.perf_counter`); None means when `read` returned.
    """

    space: gymnasium.spaces.Box
    observed_at: float | None = None

    @abstractmethod
    def read(self) -> Array:
        """Return the newest reading, an array of `space` that does not change afterwards.

        Raises:
            OSError: The device does not answer any more.
        """

    def report(self) -> dict[str, float]:
        """Return metrics of the sensor itself, such as readings that were seen twice."""
        return {}


class Actuator(Component, ABC):
    """Moves one thing in a world: an avatar, an arm, a voice.

    Attributes:
        space: What `operate` takes: Discrete, MultiDiscrete or one-dimensional Box.
    """

    space: gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete | gymnasium.spaces.Box

    @abstractmethod
    def operate(self, action: Array) -> None:
        """Do something: `(branches,)` int64, or `(n,)` float32 for a Box. Must not wait."""

    def report(self) -> dict[str, float]:
        """Return metrics of the actuator itself, such as commands that were beyond its limits."""
        return {}

    def stop_messages(self) -> list[tuple[str, str, int, bytes]]:
        """Return what stops the device from any process: kind (`udp`), host, port and datagram; nothing if unknown.

        For the emergency stop of `SafeActuator`.
        """
        return []

    def on_pause(self) -> None:
        """Stop whatever moves. What moved goes on with the first action after the pause."""

    def teardown(self) -> None:
        """Stop whatever moves, until the end of the run."""
