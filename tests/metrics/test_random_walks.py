from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pamiq_exp.agents import RandomAgent
from pamiq_exp.environments import NoiseWorld
from pamiq_exp.interaction import Environment, Interaction, StepObserver
from pamiq_exp.metrics import Coverage, RandomWalk
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.spaces import describe_action
from tests.metrics.scripted import ScriptedWorld

MAP = "#####\n#...#\n#.>.#\n#...#\n#####"


def world(num_envs: int = 2, **arguments: Any) -> NoiseWorld:
    return NoiseWorld(map=MAP, num_envs=num_envs, image_size=8, seed=3, **arguments)


def run(environment: Environment, turns: int, observers: dict[str, StepObserver], seed: int = 5) -> dict[str, Any]:
    agent = RandomAgent(describe_action(environment.action_space), environment.num_envs, seed)
    config = LaunchConfig(mode="lockstep", max_steps=turns * environment.num_envs)
    return launch(Interaction(agent, environment, observers), config=config)


@pytest.mark.parametrize("noise", [{"fraction": 0.0}, {"fraction": 1.0}, {"fraction": 1.0, "control": "gaze"}])
def test_random_walk_equals_a_run_of_a_random_agent_with_the_same_seed(noise: dict[str, Any]) -> None:
    observers = {"coverage": Coverage(), "walk": RandomWalk(world(noise=noise), seed=5)}
    summary = run(world(noise=noise), 300, observers)
    assert 0 < summary["coverage_random"] == summary["coverage"]
    assert summary["coverage_auc_random"] == summary["coverage_auc"]
    assert "coverage_random_steps" not in summary


def test_random_walk_with_inertia_goes_farther() -> None:
    walks = {str(each): RandomWalk(NoiseWorld(num_envs=4, image_size=8), f"{each}", each) for each in (0.0, 0.75)}
    summary = run(NoiseWorld(num_envs=4, image_size=8), 800, walks)
    assert summary["coverage_0.75"] > 1.2 * summary["coverage_0.0"] > 0


def test_random_walk_stops_at_max_steps_and_reports_the_step_count() -> None:
    summary = run(world(), 50, {"walk": RandomWalk(world(), max_steps=40)})
    assert summary["coverage_random_steps"] == 40
    assert summary["coverage_random"] == run(world(), 20, {"walk": RandomWalk(world())})["coverage_random"]


@pytest.mark.parametrize("num_envs", [1, 3])
def test_random_walk_of_a_few_steps_is_as_long_as_the_run(num_envs: int) -> None:
    observers = {"coverage": Coverage(), "walk": RandomWalk(world(num_envs), seed=5)}
    summary = run(world(num_envs), 10, observers)
    assert summary["coverage_random"] == summary["coverage"] > 0


def test_random_walk_reports_nothing_before_the_end_and_walks_once() -> None:
    walk = RandomWalk(world(), seed=5)
    assert walk.summary() == {}  # no turn was taken
    walk.load_state({"turns": np.array(30)})
    assert walk.report() == {}
    assert walk.summary() == walk.summary() != {}


def test_random_walk_continues_counting_after_a_restore() -> None:
    first, second = RandomWalk(world(), seed=5), RandomWalk(world(), seed=5)
    run(world(), 30, {"walk": first})
    second.load_state(first.state())
    assert (
        run(world(), 20, {"walk": second})["coverage_random"]
        == run(world(), 50, {"walk": RandomWalk(world(), seed=5)})["coverage_random"]
    )


class Unreachable(ScriptedWorld):
    """A world in which no cell can be reached."""

    def __init__(self, turns: int) -> None:
        nowhere = {"pose": np.zeros((1, 4)), "reachable": np.zeros((4, 4), dtype=np.bool_)}
        super().__init__([nowhere] * (turns + 1))


def test_coverage_and_random_walk_report_nothing_without_reachable_cells() -> None:
    summary = run(Unreachable(10), 10, {"coverage": Coverage(), "walk": RandomWalk(Unreachable(10))})
    assert not [name for name in summary if name.startswith("coverage")]


def test_random_walk_reports_nothing_without_positions() -> None:
    summary = run(ScriptedWorld([{}] * 11), 10, {"walk": RandomWalk(ScriptedWorld([{}] * 11))})
    assert not [name for name in summary if name.startswith("coverage")]


def test_random_walk_never_walks_in_a_real_time_world() -> None:
    real_time = ScriptedWorld([])  # raises if it is observed
    real_time.live = True
    assert "coverage_random" not in run(world(), 10, {"walk": RandomWalk(real_time)})


def test_random_walk_refuses_max_steps_of_zero() -> None:
    with pytest.raises(ValueError, match="max_steps must be at least 1, not 0"):
        RandomWalk(world(), max_steps=0)
