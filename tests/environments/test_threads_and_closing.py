"""Environments are made, reset, stepped and closed on one thread, and closed in every case."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_exp.agents import RandomAgent
from pamiq_exp.environments import FreeRunning, GymnasiumEnvironment, delayed, record_random_transitions
from pamiq_exp.interaction import Environment, Interaction
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.spaces import describe_action
from tests.environments.troubled import OneThread, Walk, WithProgram, programs


def interaction(environment: Environment) -> Interaction:
    return Interaction(
        RandomAgent(describe_action(environment.action_space), environment.num_envs, seed=0), environment
    )


@pytest.mark.parametrize("mode", ["realtime", "lockstep", "pipelined"])
@pytest.mark.parametrize("wrap", [lambda each: each, lambda each: delayed(each, 1)], ids=["plain", "delayed"])
def test_gymnasium_environment_bound_to_a_thread_runs_in_every_mode(mode: Any, wrap: Any, tmp_path: Path) -> None:
    log: list[str] = []
    environment = GymnasiumEnvironment(make=functools.partial(OneThread, log), num_envs=2)
    summary = launch(interaction(wrap(environment)), config=LaunchConfig(mode=mode, max_steps=20), folder=tmp_path)
    assert summary["state"] == "finished"
    assert log[1:] == [threading.current_thread().name] * 2


def test_gymnasium_environment_bound_to_a_thread_resumes_in_realtime(tmp_path: Path) -> None:
    def run(folder: Path, resume_from: Path | None = None) -> Any:
        environment = GymnasiumEnvironment(make=functools.partial(OneThread, []))
        config = LaunchConfig(mode="realtime", max_steps=10 if resume_from is None else 20)
        return launch(interaction(environment), config=config, folder=folder, resume_from=resume_from)

    run(tmp_path / "first")
    (saved,) = (tmp_path / "first/checkpoints").iterdir()
    assert run(tmp_path / "second", saved)["steps"] == 20


def test_free_running_supports_an_environment_bound_to_a_thread() -> None:
    log: list[str] = []
    environment = FreeRunning(functools.partial(GymnasiumEnvironment, make=functools.partial(OneThread, log)), 0.001)
    assert launch(interaction(environment), config=LaunchConfig(mode="realtime", max_steps=20))["state"] == "finished"
    assert log[1:] == ["environment"]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_gymnasium_environment_closes_earlier_copies_if_a_later_one_fails(vectorization: Any, tmp_path: Path) -> None:
    environment = GymnasiumEnvironment(
        make=WithProgram, num_envs=4, vectorization=vectorization,
        kwargs={"folder": str(tmp_path), "fails": 3}, numbered={"index": 0},
    )  # fmt: skip
    with pytest.raises(OSError, match="the port is taken") as caught:
        environment.setup()
    assert "copy 3" in " ".join(caught.value.__notes__)
    started = programs(tmp_path)
    assert len(started) == 4, "three copies, and the one that was inspected"
    assert not any(started.values())


def test_gymnasium_environment_is_closed_if_a_wrapper_fails(tmp_path: Path) -> None:
    def broken(environment: Any) -> Any:
        raise TypeError("not this one")

    with pytest.raises(TypeError):
        GymnasiumEnvironment(make=WithProgram, kwargs={"folder": str(tmp_path)}, wrappers=[broken])
    assert list(programs(tmp_path).values()) == [False]


def test_gymnasium_environment_is_closed_if_its_spaces_are_invalid(tmp_path: Path) -> None:
    class Empty(WithProgram):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.observation_space = None  # type: ignore[assignment]

    with pytest.raises(ValueError, match=r"observation_space of Empty is NoneType, expected a gymnasium\.Space"):
        GymnasiumEnvironment(make=Empty, kwargs={"folder": str(tmp_path)})
    assert list(programs(tmp_path).values()) == [False]


def test_launch_closes_the_environment_after_an_invalid_action(tmp_path: Path) -> None:
    environment = GymnasiumEnvironment(make=WithProgram, num_envs=2, kwargs={"folder": str(tmp_path)})
    acting = interaction(environment)
    acting.agent.step = lambda observation: np.zeros((7, 7))  # type: ignore[assignment,method-assign]
    with pytest.raises(IndexError):
        launch(acting, config=LaunchConfig(mode="lockstep", max_steps=10))
    started = programs(tmp_path)
    assert len(started) == 3
    assert not any(started.values())


def test_gymnasium_environment_closes_all_copies_if_one_fails_to_close(tmp_path: Path) -> None:
    class Stubborn(WithProgram):
        def __init__(self, index: int, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.index = index

        def close(self) -> None:
            super().close()
            if self.index == 1:
                raise RuntimeError("the window is stuck")

    environment = GymnasiumEnvironment(
        make=Stubborn, num_envs=3, kwargs={"folder": str(tmp_path)}, numbered={"index": 0}
    )
    environment.setup()
    with pytest.raises(RuntimeError, match="stuck") as caught:
        environment.teardown()
    assert "copy 1" in " ".join(caught.value.__notes__)
    assert not any(programs(tmp_path).values())


def test_record_random_transitions_closes_a_delayed_environment(tmp_path: Path) -> None:
    environment = GymnasiumEnvironment(make=WithProgram, kwargs={"folder": str(tmp_path)})
    record_random_transitions(delayed(environment, 1), turns=4, sequence_length=2, seed=0)
    started = programs(tmp_path)
    assert len(started) == 2
    assert not any(started.values())


def test_gymnasium_environment_names_the_copy_whose_process_ended() -> None:
    class Dies(Walk):
        def step(self, action: Any) -> Any:
            import os

            os._exit(3)

    environment = GymnasiumEnvironment(make=Dies, num_envs=2, vectorization="async")
    environment.setup()
    try:
        with pytest.raises(RuntimeError, match=r"Dies, copy 0: its process has ended \(exit status 3\)"):
            environment.affect(np.zeros((2, 1), np.int64))
    finally:
        environment.teardown()
