"""Statistics of wrappers are restored from a checkpoint, even if the environment itself cannot be saved."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.runtime.checkpoints import read_checkpoint, write_checkpoint
from tests.environments.troubled import Walk


class Unsaved(Walk):
    """Has state that cannot be saved, and ends episodes after four steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def step(self, action: Any) -> Any:
        shown, reward, _, _, info = super().step(action)
        return shown, reward, self.step_number % 4 == 0, False, info


class OwnMean:
    """A running mean of another package."""

    def __init__(self) -> None:
        self.total, self.count = np.zeros(3), 0


class OwnWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Counts in an object of a class of its own, in a list, in a deque, and in something that cannot be saved."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.mean, self.history, self.last = OwnMean(), [0], deque([0], maxlen=5)
        self.lock = threading.Lock()

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.mean.total += result[0]
        self.mean.count += 1
        self.history.append(self.mean.count)
        self.last.append(self.mean.count)
        return result


def layer(environment: GymnasiumEnvironment, kind: type) -> Any:
    """Return the wrapper of a kind around copy 1."""
    found = environment._copies.copies[1].environment  # type: ignore[union-attr]
    while not isinstance(found, kind):
        found = found.env  # type: ignore[attr-defined]
    return found


def build(vectorization: Any = "sync") -> GymnasiumEnvironment:
    around = [
        wrappers.NormalizeObservation, wrappers.NormalizeReward, wrappers.RecordEpisodeStatistics, OwnWrapper,
    ]  # fmt: skip
    environment = GymnasiumEnvironment(make=Unsaved, num_envs=2, wrappers=around, vectorization=vectorization)
    environment.setup()
    return environment


def step(environment: GymnasiumEnvironment, turns: int) -> None:
    for _ in range(turns):
        environment.affect(np.zeros((2, 1), np.int64))


def test_statistics_of_wrappers_are_restored_around_an_unsaved_environment(tmp_path: Any) -> None:
    environment = build()
    step(environment, 50)
    before = layer(environment, wrappers.NormalizeObservation).obs_rms
    path = write_checkpoint(tmp_path, 50, {"interaction": collect_state(environment)}, keep=1)
    resumed = build()
    assert restore_state(resumed, read_checkpoint(path)["interaction"]) == ([], [])
    after = layer(resumed, wrappers.NormalizeObservation).obs_rms
    assert after.count == before.count + 1, "the new episode has shown its first observation"
    assert np.allclose(after.mean, before.mean, rtol=0.2)
    episodes = layer(resumed, wrappers.RecordEpisodeStatistics)
    assert episodes.episode_count == layer(environment, wrappers.RecordEpisodeStatistics).episode_count > 5
    assert len(episodes.return_queue) == episodes.episode_count
    assert layer(resumed, wrappers.NormalizeReward).return_rms.count > 30
    own = layer(resumed, OwnWrapper)
    saved = layer(environment, OwnWrapper)
    assert own.mean.count == saved.mean.count > 30
    assert np.array_equal(own.mean.total, saved.mean.total)
    assert own.history == saved.history
    assert own.last == saved.last
    assert own.last.maxlen == 5


def test_statistics_of_wrappers_are_restored_in_async_processes() -> None:
    environment = build("async")
    resumed = build("async")
    try:
        step(environment, 30)
        saved = environment.state()
        resumed.load_state(saved)
        again = resumed.state()
        name = "0.last"
        assert [each[name] for each in again["statistics"]] == [each[name] for each in saved["statistics"]]
    finally:
        environment.teardown()
        resumed.teardown()


def test_gymnasium_environment_warns_at_setup_of_state_it_cannot_save(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        build()
    (record,) = caplog.records
    assert "does not hold OwnWrapper.lock" in record.getMessage()


def test_gymnasium_environment_with_statistics_wrappers_restores_exactly() -> None:
    def cartpole() -> GymnasiumEnvironment:
        around = [wrappers.NormalizeObservation, wrappers.RecordEpisodeStatistics]
        environment = GymnasiumEnvironment("CartPole-v1", num_envs=2, wrappers=around)
        environment.setup()
        return environment

    environment = cartpole()
    assert not environment.restarts_on_resume
    step(environment, 40)
    resumed = cartpole()
    restore_state(resumed, collect_state(environment))
    step(environment, 40)
    step(resumed, 40)
    assert np.array_equal(environment.observe().values["vector"], resumed.observe().values["vector"])
    assert layer(resumed, wrappers.NormalizeObservation).obs_rms.count > 80
