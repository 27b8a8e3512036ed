"""An environment made of sensors and actuators."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np
from gymnasium import spaces

from pamiq_exp.environments.modular.parts import Actuator, Sensor
from pamiq_exp.interaction import Array, Environment, Observation, continual


class SensorEnvironment(Environment):
    """A world that goes on by itself, met through named sensors and named actuators.

    Observations go by the names of the sensors. Actions are those of all actuators in their order, joined to one:
    either all of them choose (Discrete, MultiDiscrete), or all take numbers (Box). Such a world has one environment, no
    rewards and no end, and cannot be saved: a resumed run meets it as it is then.

    An observation is as old as the oldest reading in it. What sensors and actuators report is
    recorded as `time/<name>_<metric>`.

    Args:
        sensors: At least one, by name.
        actuators: By name; with none there is one action, which does nothing.
        num_envs: For configs that say how many copies of a world they want: there is one of this.

    Raises:
        ValueError: There is no sensor, the actuators' spaces cannot be joined, or more than one copy is wanted.
    """

    live = True
    has_rewards = False
    has_episodes = False

    def __init__(
        self, sensors: Mapping[str, Sensor], actuators: Mapping[str, Actuator] | None = None, num_envs: int = 1
    ) -> None:
        if num_envs != 1:
            raise ValueError(f"a real world has one environment: num_envs must be 1, not {num_envs}")
        self.num_envs = num_envs
        if not sensors:
            raise ValueError("an environment needs at least one sensor")
        self.sensors = dict(sensors)
        self.actuators = dict(actuators or {})
        self.observation_space = spaces.Dict({name: sensor.space for name, sensor in self.sensors.items()})
        self.action_space = joined({name: actuator.space for name, actuator in self.actuators.items()})
        self._widths = [width(actuator.space) for actuator in self.actuators.values()]

    def observe(self) -> Observation:
        """See `Environment`: the newest reading of each sensor."""
        readings = {name: sensor.read()[None] for name, sensor in self.sensors.items()}
        known = [sensor.observed_at for sensor in self.sensors.values() if sensor.observed_at is not None]
        self.observed_at = min(known, default=None)
        return continual(readings)

    def affect(self, action: Array) -> None:
        """See `Environment`: each actuator gets its part."""
        parts = np.split(action[0], np.cumsum(self._widths)[:-1]) if self._widths else []
        for actuator, part in zip(self.actuators.values(), parts, strict=True):
            actuator.operate(part)

    def report(self) -> dict[str, float]:
        """See `Environment`."""
        return {f"time/{name}": value for name, value in self.summary().items()}

    def summary(self) -> dict[str, float]:
        """See `Environment`."""
        parts: list[tuple[str, Sensor | Actuator]] = [*self.sensors.items(), *self.actuators.items()]
        return {f"{name}_{metric}": value for name, part in parts for metric, value in part.report().items()}


def width(space: gymnasium.Space) -> int:  # type: ignore[type-arg]
    """Return how many numbers an action of this space has."""
    return 1 if isinstance(space, spaces.Discrete) else int((space.shape or (0,))[0])


def joined(parts: Mapping[str, gymnasium.Space]) -> gymnasium.Space:  # type: ignore[type-arg]
    """Return one action space for several: their numbers one after the other.

    Raises:
        ValueError: Some choose and some take numbers, or a space has more than one dimension.
    """
    found = list(parts.values())
    if not found:
        return spaces.Discrete(1)
    if all(isinstance(space, spaces.Box) and len(space.shape) == 1 for space in found):
        boxes = [space for space in found if isinstance(space, spaces.Box)]
        low, high = (np.concatenate([getattr(box, side) for box in boxes]) for side in ("low", "high"))
        return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
    if len(found) == 1 and isinstance(found[0], spaces.Discrete):
        return spaces.Discrete(int(found[0].n))
    choices: list[int] = []
    for space in found:
        if isinstance(space, spaces.Discrete):
            choices.append(int(space.n))
        elif isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
            choices += [int(n) for n in space.nvec]
        else:
            kinds = ", ".join(f"{name}: {part}" for name, part in parts.items())
            raise ValueError(
                f"these actuators cannot be joined: {kinds}. Let all of them choose (Discrete, MultiDiscrete), or "
                "all take numbers (Box with one dimension)"
            )
    return spaces.MultiDiscrete(choices)
