"""A device with a position that its commands push, for tests with rtgym."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

try:
    from rtgym import RealTimeGymInterface as Interface
except ImportError:
    Interface = object


class Device(Interface):  # type: ignore[misc, valid-type]
    """What rtgym asks of the author of an environment."""

    def __init__(self) -> None:
        self.position = 0.0

    def send_control(self, control: Any) -> None:
        if control is not None:
            self.position += float(control[0])

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[list[Any], dict[str, Any]]:
        self.position = 0.0
        return [np.array([0.0], np.float32)], {}

    def get_obs_rew_terminated_info(self) -> tuple[list[Any], float, bool, dict[str, Any]]:
        return [np.array([self.position], np.float32)], 1.0, False, {}

    def get_observation_space(self) -> gymnasium.spaces.Tuple:
        return gymnasium.spaces.Tuple((gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32),))

    def get_action_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def get_default_action(self) -> Any:
        return np.array([0.0], np.float32)

    def wait(self) -> None:
        self.send_control(self.get_default_action())
