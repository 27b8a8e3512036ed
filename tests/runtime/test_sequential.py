"""Learning between turns, in a free-running environment."""

from __future__ import annotations

import threading
import time

import gymnasium
import numpy as np
import pytest

from pamiq_exp.environments import FreeRunning
from pamiq_exp.interaction import Observation, continual
from pamiq_exp.runtime import LaunchConfig
from pamiq_exp.runtime.config import Mode
from tests.runtime.parts import NoisyWorld, SmallTrainer, launch_small


def learn_slowly(batch: int) -> None:
    threads.add(threading.current_thread().name)
    time.sleep(0.01)


threads: set[str] = set()


def launched(mode: Mode) -> dict[str, float | int | str]:
    threads.clear()
    world = FreeRunning(NoisyWorld, 0.002)
    config = LaunchConfig(mode=mode, max_steps=31, record_every_steps=10)
    return launch_small(config, world=world, trainer=SmallTrainer(learn_slowly), interval=0.005)  # type: ignore[arg-type]


def test_sequential_learning_delays_turns_while_the_environment_goes_on() -> None:
    summary = launched("sequential")
    assert threads == {threading.current_thread().name}
    assert summary["training_steps"] == 9
    assert summary["deadline_misses"] > 0
    assert float(summary["wall_seconds"]) >= 9 * 0.01
    assert float(summary["skipped_frames"]) > float(launched("realtime")["steps"]) / 2, (
        "the environment continues during training"
    )
    assert float(summary["observation_age_milliseconds_p50"]) > 0


class Two(NoisyWorld):
    observation_space = gymnasium.spaces.Dict({"vector": gymnasium.spaces.Box(-10, 10, (3,))})
    num_envs = 2

    def observe(self) -> Observation:
        return continual({"vector": np.zeros((2, 3), np.float32)})


def test_sequential_refuses_several_environments_that_wait() -> None:
    config = LaunchConfig(mode="sequential", max_steps=4)
    with pytest.raises(ValueError, match=r"these 2 environments wait for it: environment\.free_running=true"):
        launch_small(config, world=Two())
    assert launch_small(config, interval=None)["steps"] == 4
