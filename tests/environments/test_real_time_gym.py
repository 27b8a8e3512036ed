"""An environment of rtgym, which has a clock of its own, runs through the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.interaction import Interaction
from pamiq_exp.runtime import LaunchConfig, launch
from tests.conftest import Command
from tests.environments.real_time_device import Device

pytest.importorskip("rtgym", reason="needs rtgym: pip install rtgym")

STEP = 0.04
CONFIG: dict[str, Any] = {
    "interface": Device,
    "time_step_duration": STEP,
    "start_obs_capture": STEP,
    "ep_max_length": 12,
}


def environment(**config: Any) -> GymnasiumEnvironment:
    return GymnasiumEnvironment("real-time-gym-v1", kwargs={"config": CONFIG | config})


def test_real_time_gym_turn_lasts_the_interval_of_the_environment() -> None:
    from pamiq_exp.agents import RandomAgent
    from pamiq_exp.spaces import describe_action

    world = environment()
    assert world.own_interval == STEP
    agent = RandomAgent(describe_action(world.action_space), 1, seed=0)
    summary = launch(Interaction(agent, world), config=LaunchConfig(mode="realtime", max_steps=25))
    assert summary["steps"] == 25
    assert summary["wall_seconds"] > 23 * STEP  # type: ignore[operator]
    assert summary["step_milliseconds_p50"] == pytest.approx(1000 * STEP, rel=0.3)
    assert 0 < summary["observation_age_milliseconds_p50"] < 1000 * STEP  # type: ignore[operator]


def test_real_time_gym_passes_actions_observations_and_its_action_buffer() -> None:
    world = environment(act_buf_len=2)
    assert world.observation_space["vector"].shape == (1 + 2,), "the position, and rtgym's own action buffer"
    first = world.observe()
    assert first.values["vector"][0].tolist() == [0, 0, 0]
    push = np.array([[0.5]], np.float32)
    for _ in range(3):
        world.affect(push)
    seen = world.observe()
    assert seen.values["vector"][0, 1:].tolist() == [0.5, 0.5]
    assert seen.values["vector"][0, 0] > 0
    for _ in range(9):
        world.affect(push)
    assert world.observe().truncated.all()
    world.affect(push)
    assert not world.observe().ended.any()
    world.teardown()


def test_real_time_gym_refuses_several_copies() -> None:
    with pytest.raises(ValueError, match="can have only one copy"):
        GymnasiumEnvironment("real-time-gym-v1", num_envs=2, kwargs={"config": CONFIG})


def test_real_time_gym_runs_from_a_config_alone(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "environment"
    folder.mkdir(parents=True)
    (folder / "device.yaml").write_text(
        """
_target_: pamiq_exp.environments.GymnasiumEnvironment
id: real-time-gym-v1
num_envs: 1
kwargs:
  config:
    interface: {_target_: tests.environments.real_time_device.Device, _partial_: true}
    time_step_duration: 0.02
    start_obs_capture: 0.02
    ep_max_length: 100
"""
    )
    words = ("experiment=minimum", "environment=device", "environment.id=real-time-gym-v1", "environment.num_envs=1")
    outcome = command(
        *words, "launcher.max_steps=10", "tracking=jsonl_only", f"--config-dir={tmp_path / 'config'}", "--allow=tests"
    )
    assert outcome.status == 0, outcome.err
