"""An environment made of sensors and actuators."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from pamiq_exp.component import components
from pamiq_exp.environments import (
    Actuator,
    DelayedActions,
    FreeRunning,
    Sensor,
    SensorEnvironment,
    record_random_transitions,
)
from pamiq_exp.interaction import Array
from pamiq_exp.spaces import describe_spaces

Space = gymnasium.Space[Any]


class Thermometer(Sensor):
    """Shows a fixed temperature."""

    space = spaces.Box(-50, 50, (1,), np.float32)

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees
        self.hooks: list[str] = []

    def read(self) -> Array:
        return np.array([self.degrees], dtype=np.float32)

    def report(self) -> dict[str, float]:
        return {"readings": 1}

    def on_pause(self) -> None:
        self.hooks.append("pause")


class Motor(Actuator):
    """Remembers its commands."""

    def __init__(self, space: Any) -> None:
        self.space = space
        self.done: list[list[float]] = []
        self.hooks: list[str] = []

    def operate(self, action: Array) -> None:
        self.done.append(action.tolist())

    def on_pause(self) -> None:
        self.hooks.append("pause")


def test_sensor_environment_splits_actions_and_joins_readings() -> None:
    legs, voice = Motor(spaces.MultiDiscrete([3, 2])), Motor(spaces.Discrete(4))
    world = SensorEnvironment({"inside": Thermometer(20), "outside": Thermometer(-3)}, {"legs": legs, "voice": voice})
    description = describe_spaces(world.observation_space, world.action_space, world.num_envs)
    assert description["action"]["nvec"] == [3, 2, 4]
    seen = world.observe()
    assert {name: value.tolist() for name, value in seen.values.items()} == {"inside": [[20]], "outside": [[-3]]}
    assert not seen.ended.any()
    world.affect(np.array([[2, 1, 3]]))
    assert (legs.done, voice.done) == ([[2, 1]], [[3]])
    assert world.summary() == {"inside_readings": 1, "outside_readings": 1}


def test_sensor_environment_joins_box_actions_with_their_bounds() -> None:
    arm = Motor(spaces.Box(-1, 1, (2,), np.float32))
    hand = Motor(spaces.Box(np.array([0.0]), np.array([5.0]), dtype=np.float64))
    world = SensorEnvironment({"t": Thermometer(1)}, {"arm": arm, "hand": hand})
    assert isinstance(world.action_space, spaces.Box)
    assert world.action_space.low.tolist() == [-1, -1, 0]
    assert world.action_space.high.tolist() == [1, 1, 5]
    world.affect(np.array([[0.5, -0.5, 4.0]], dtype=np.float32))
    assert (arm.done, hand.done) == ([[0.5, -0.5]], [[4.0]])


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.MultiDiscrete([3, 2]), spaces.Box(-1, 1, (2,))])
def test_sensor_environment_keeps_the_space_of_a_single_actuator(space: Any) -> None:
    assert SensorEnvironment({"t": Thermometer(1)}, {"motor": Motor(space)}).action_space == space


def test_sensor_environment_without_actuators_has_one_action() -> None:
    world = SensorEnvironment({"t": Thermometer(1)})
    assert world.action_space == spaces.Discrete(1)
    world.affect(np.zeros((1, 1), dtype=np.int64))


def test_sensor_environment_observed_at_is_the_time_of_the_oldest_reading() -> None:
    sensors = {"new": Thermometer(1), "old": Thermometer(2), "unknown": Thermometer(3)}
    world = SensorEnvironment(sensors)
    world.observe()
    assert world.observed_at is None
    sensors["new"].observed_at, sensors["old"].observed_at = 7.0, 5.0
    world.observe()
    assert world.observed_at == 5.0


def test_sensor_environment_sensors_and_actuators_receive_on_pause() -> None:
    sensor, motor = Thermometer(1), Motor(spaces.Discrete(2))
    for _, part in components(SensorEnvironment({"t": sensor}, {"m": motor})):
        part.on_pause()
    assert sensor.hooks == motor.hooks == ["pause"]


def test_record_random_transitions_never_acts_in_a_live_environment() -> None:
    motor = Motor(spaces.Discrete(2))
    world = SensorEnvironment({"t": Thermometer(1)}, {"m": motor})
    for real in (world, DelayedActions(world, steps=1), FreeRunning(lambda: world, interval=1.0)):
        assert record_random_transitions(real, 8, 4, seed=0) == {}
    assert motor.done == []


def test_sensor_environment_refuses_mixed_actions_no_sensors_and_num_envs() -> None:
    choosing, numbers = Motor(spaces.Discrete(2)), Motor(spaces.Box(-1, 1, (1,)))
    with pytest.raises(ValueError, match=r"legs: Discrete.*arm: Box"):
        SensorEnvironment({"t": Thermometer(1)}, {"legs": choosing, "arm": numbers})
    with pytest.raises(ValueError, match="at least one sensor"):
        SensorEnvironment({})
    with pytest.raises(ValueError, match="num_envs must be 1, not 4"):
        SensorEnvironment({"t": Thermometer(1)}, num_envs=4)
