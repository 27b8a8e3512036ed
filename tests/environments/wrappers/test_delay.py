from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import DelayedActions, delayed
from pamiq_exp.interaction import FixedIntervalInteraction, Interaction
from pamiq_exp.runtime import LaunchConfig, launch
from tests.cases import unexpected_errors
from tests.interaction.worlds import Counter, Diary


def done(world: Diary, env: int = 0) -> list[int]:
    """The actions of an environment at each step: the number of the agent's turn, 0 before the first."""
    return [int(action[env, 0]) for action in world.actions]


def run(turns: int, world: Diary, **delay: object) -> Interaction:
    interaction = Interaction(Counter(world.num_envs), delayed(world, **delay))  # type: ignore[arg-type]
    for _ in range(turns):
        interaction.step()
    return interaction


def test_delayed_actions_take_effect_after_the_configured_delay() -> None:
    cases = [
        (0, 1, [1, 2, 3, 4]),
        (1, 1, [0, 1, 2, 3]),
        (2, 1, [0, 0, 1, 2]),
        (0.5, 2, [0, 1, 1, 2, 2, 3, 3, 4]),
        (1.5, 2, [0, 0, 0, 1, 1, 2, 2, 3]),
        (0.25, 4, [0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4]),
        (0, 2, [1, 1, 2, 2, 3, 3, 4, 4]),
    ]
    found = []
    for steps, substeps, _ in cases:
        world = Diary()
        run(4, world, steps=steps, substeps=substeps)
        found.append((steps, substeps, done(world)))
    assert found == cases


def test_delayed_without_a_delay_returns_the_environment_itself() -> None:
    world = Diary()
    assert delayed(world) is world


@given(seed=st.integers(0, 1000), high=st.integers(1, 5))
def test_delayed_actions_with_varying_delays_apply_the_newest_arrived_action(seed: int, high: int) -> None:
    world = Diary(num_envs=3)
    run(60, world, steps=[0, high], seed=seed)
    for env in range(3):
        history = done(world, env)
        assert all(later >= earlier for earlier, later in pairwise(history)), "never back"
        ages = [turn + 1 - action for turn, action in enumerate(history) if action]
        assert max(ages) <= high
        if high > 2:
            assert len(set(ages)) > 1, "delays vary"


def test_delayed_actions_draw_different_delays_per_environment_and_seed() -> None:
    histories = []
    for seed in (0, 0, 1):
        world = Diary(num_envs=2)
        run(60, world, steps=[0, 3], seed=seed)
        histories.append((done(world, 0), done(world, 1)))
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]
    assert histories[0][0] != histories[0][1]


def test_delayed_actions_sum_the_rewards_of_substeps() -> None:
    world = Diary()
    interaction = run(4, world, substeps=3)
    rewards = [float(seen.reward[0]) for seen in interaction.agent.seen]  # type: ignore[attr-defined]
    assert rewards == [0, 1 + 2 + 3, 4 + 5 + 6, 7 + 8 + 9]


def test_delayed_actions_show_last_and_first_observations_of_episodes() -> None:
    world = Diary(episode=4)
    interaction = run(8, world, substeps=3)
    steps = [int(seen.values["x"][0, 0]) for seen in interaction.agent.seen]  # type: ignore[attr-defined]
    assert steps == [0, 3, 4, 5, 8, 9, 10, 13]
    assert sum(float(seen.reward[0]) for seen in interaction.agent.seen) == sum(range(14))  # type: ignore[attr-defined]


def test_delayed_actions_are_dropped_at_the_start_of_an_episode() -> None:
    world = Diary(episode=3)
    run(9, world, steps=2, observe_action=True)
    # turn 4 answers the end of an episode: nothing of the old one reaches the new one
    assert done(world) == [0, 0, 1, 0, 0, 0, 5, 0, 0]


def test_delayed_actions_start_with_the_configured_first_action() -> None:
    world = Diary()
    run(3, world, steps=1, first_action=[7, 2])
    assert done(world) == [7, 1, 2]
    with pytest.raises(ValueError, match="must hold 2 numbers"):
        delayed(world, 1, first_action=[7])


def test_delayed_actions_show_previous_actions_newest_first() -> None:
    world = Diary()
    interaction = run(4, world, steps=2, observe_action=True)
    shown = [seen.values["previous_action"][0] for seen in interaction.agent.seen]  # type: ignore[attr-defined]
    assert interaction.environment.observation_space["previous_action"].shape == (2 * 53,)
    assert not shown[0].any()
    assert np.flatnonzero(shown[1]).tolist() == [1, 50 + 1]
    assert np.flatnonzero(shown[3]).tolist() == [3, 50 + 0, 53 + 2, 53 + 50 + 2]
    assert all(interaction.environment.observation_space["previous_action"].contains(part) for part in shown)


def test_delayed_actions_show_previous_box_actions_unchanged() -> None:
    environment = DelayedActions(Diary(box=True), 1, observe_action=True)
    environment.observe()
    environment.affect(np.array([[0.25, -0.5]], np.float32))
    assert environment.observe().values["previous_action"].tolist() == [[0.25, -0.5]]


def test_delayed_refuses_invalid_delays() -> None:
    cases: list[tuple[float | list[float], int, str]] = [
        (-1, 1, "number from 0 on"),
        (0.5, 1, "delay.substeps=n"),
        ([2, 1], 1, "lowest, highest"),
        ([0, 1, 2], 1, "lowest, highest"),
        (1, 0, "at least 1"),
        (float("inf"), 1, "number from 0 on"),
    ]
    calls = [(partial(delayed, Diary(), steps, substeps), message) for steps, substeps, message in cases]
    assert not unexpected_errors(ValueError, calls)


@pytest.mark.parametrize("keys", [{"steps": 2}, {"steps": [0, 4], "seed": 5}, {"steps": [0.5, 1.5], "substeps": 2}])
def test_delayed_actions_restore_pending_actions_from_a_checkpoint(keys: dict[str, object]) -> None:
    keys |= {"observe_action": True}
    whole, before, after = Diary(num_envs=2), Diary(num_envs=2), Diary(num_envs=2)
    run(12, whole, **keys)
    first = run(7, before, **keys)
    second = Interaction(Counter(2), delayed(after, **keys))  # type: ignore[arg-type]
    assert restore_state(second, collect_state(first)) == ([], [])
    for _ in range(5):
        second.step()
    assert [done(before, env) + done(after, env) for env in (0, 1)] == [done(whole, env) for env in (0, 1)]


@pytest.mark.parametrize("mode", ["lockstep", "pipelined"])
def test_delayed_actions_observation_age_equals_the_delay_in_simulated_time(mode: str) -> None:
    interaction = FixedIntervalInteraction(Counter(), delayed(Diary(), 1.5, substeps=2), 0.1)
    summary = launch(interaction, config=LaunchConfig(mode=mode, max_steps=10))  # type: ignore[arg-type]
    assert summary["observation_age_seconds"] == pytest.approx(0.15)


def test_delayed_actions_observation_age_is_measured_in_real_time() -> None:
    interaction = FixedIntervalInteraction(Counter(), delayed(Diary(), 2), 0.1)
    config = LaunchConfig(mode="realtime", max_steps=30, time_scale=10)
    summary = launch(interaction, config=config)
    assert summary["observation_age_milliseconds_p50"] == pytest.approx(20, rel=0.2)
    assert 0.1 < summary["observation_age_seconds"] < 1, "in seconds of the world, which runs ten times as fast"  # type: ignore[operator]


def test_launch_observation_age_without_a_delay_is_near_zero() -> None:
    summary = launch(Interaction(Counter(), Diary()), config=LaunchConfig(mode="realtime", max_steps=200))
    assert 0 < summary["observation_age_milliseconds_p50"] < 5  # type: ignore[operator]
    assert (
        launch(Interaction(Counter(), Diary()), config=LaunchConfig(mode="lockstep", max_steps=9))[
            "observation_age_seconds"
        ]
        == 0
    )
