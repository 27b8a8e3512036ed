"""A live run on a thread of the test: a random walk through the noise world, without learning."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np

from pamiq_exp.agents import RandomAgent
from pamiq_exp.environments import Actuator, NoiseWorld, SafeActuator, Sensor, SensorEnvironment
from pamiq_exp.interaction import Array, FixedIntervalInteraction, Interaction
from pamiq_exp.jobs.console_socket import ask, serve
from pamiq_exp.metrics import Coverage
from pamiq_exp.runtime import LaunchConfig, RunHandle, launch
from pamiq_exp.spaces import describe_spaces


class LiveWalk:
    """Runs until the context ends; `interaction` replaces the random walk."""

    def __init__(self, folder: Path, interval: float = 0.02, interaction: Interaction | None = None) -> None:
        self.folder = folder
        self.summary: dict[str, Any] = {}
        self._reachable = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.interaction = _walk(interval) if interaction is None else interaction

    def __enter__(self) -> LiveWalk:
        self._thread.start()
        assert self._reachable.wait(200.0), "the walk did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            ask(self.folder, "stop")
        self._thread.join(60.0)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        config = LaunchConfig(mode="realtime", max_seconds=300, record_every_steps=10)
        self.summary = launch(
            self.interaction, config=config, folder=self.folder, experiment_name="walk", watch=self._watch
        )

    @contextmanager
    def _watch(self, handle: RunHandle) -> Iterator[None]:
        with serve(handle, self.folder):
            self._reachable.set()
            yield


def _walk(interval: float) -> Interaction:
    world = NoiseWorld(image_size=32, num_envs=2)
    spaces = describe_spaces(world.observation_space, world.action_space, world.num_envs)
    agent = RandomAgent(spaces["action"], world.num_envs, seed=0, stickiness=0.9)
    return FixedIntervalInteraction(agent, world, interval, {"coverage": Coverage()})


class Arm(Actuator):
    """Two joints that move and can be stopped."""

    space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self) -> None:
        self.position = np.zeros(2)
        self.commands = 0
        self.stopped = threading.Event()

    def operate(self, action: Array) -> None:
        self.commands += 1
        self.stopped.clear()
        self.position = np.clip(self.position + 0.1 * action, -1.0, 1.0)

    def on_pause(self) -> None:
        self.stopped.set()


class ArmCamera(Sensor):
    """A bright square where the arm is."""

    space = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)

    def __init__(self, arm: Arm) -> None:
        self._arm = arm

    def read(self) -> Array:
        picture = np.full((32, 32, 3), 40, np.uint8)
        row, column = (14 + 12 * self._arm.position).astype(int)
        picture[row : row + 4, column : column + 4] = (230, 160, 0)
        return picture


def moving_arm(arm: Arm, interval: float = 0.02) -> Interaction:
    """Random commands for an arm that a person can take over."""
    world = SensorEnvironment({"image": ArmCamera(arm)}, {"arm": SafeActuator(arm)})
    spaces = describe_spaces(world.observation_space, world.action_space, world.num_envs)
    return FixedIntervalInteraction(RandomAgent(spaces["action"], 1, seed=0), world, interval)
