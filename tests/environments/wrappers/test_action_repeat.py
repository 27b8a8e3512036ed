"""Each action is repeated several times in a row."""

from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.environments import ActionRepeat, GymnasiumEnvironment, repeated
from tests.agents.worlds import ClockWorld
from tests.interaction.worlds import Diary


def test_action_repeat_sums_rewards_up_to_the_end_of_an_episode() -> None:
    world = Diary(2, episode=7)  # pays the number of its step, ends at 7
    environment = repeated(world, 3)
    assert isinstance(environment, ActionRepeat)
    seen = []
    for action in range(5):
        observation = environment.observe()
        seen.append((int(observation.values["x"][0, 0]), float(observation.reward[0]), bool(observation.ended[0])))
        environment.affect(np.full((2, 2), action))
    assert seen == [(0, 0, False), (3, 6, False), (6, 15, False), (7, 7, True), (8, 8, False)]
    assert [int(action[0, 0]) for action in world.actions] == [0, 0, 0, 1, 1, 1, 2, 3, 4, 4, 4]


def test_action_repeat_ends_a_turn_early_if_one_environment_ends() -> None:
    world = ClockWorld((4, 6))
    environment = repeated(world, 4)
    shown = []
    for _ in range(5):
        shown.append(int(environment.observe().values["step"][0, 0]))
        environment.affect(np.zeros((2, 2)))
    assert shown == [0, 4, 5, 6, 7]


def test_repeated_gymnasium_environments_repeat_independently() -> None:
    import gymnasium

    environment = repeated(GymnasiumEnvironment("CartPole-v1", num_envs=3, seed=1), 4)
    assert isinstance(environment, GymnasiumEnvironment)
    alone = [gymnasium.make("CartPole-v1") for _ in range(3)]
    states = [each.reset(seed=seed)[0] for each, seed in zip(alone, environment._seeds(), strict=True)]
    over, lengths = [False] * 3, [0] * 3
    for _ in range(12):
        seen = environment.observe()
        assert np.array_equal(seen.values["vector"], np.array(states, np.float32))
        assert seen.terminated.tolist() == over
        environment.affect(np.ones((3, 1), np.int64))
        for env, each in enumerate(alone):
            if over[env]:
                states[env], over[env] = each.reset()[0], False
                continue
            for _ in range(4):
                states[env], _, over[env], _, _ = each.step(1)
                lengths[env] += 1
                if over[env]:
                    break
    assert len({length % 4 for length in lengths}) > 1, "episodes that end within a turn"
    environment.teardown()


def test_repeated_refuses_live_environments_and_zero_repeats() -> None:
    world = Diary()
    world.live = True
    with pytest.raises(ValueError, match="goes on by itself"):
        repeated(world, 2)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        repeated(Diary(), 0)
    assert isinstance(repeated(Diary(), 1), Diary)
