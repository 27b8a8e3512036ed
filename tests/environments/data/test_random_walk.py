"""Held-out sequences are consecutive turns of one environment."""

from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.environments import record_random_transitions
from tests.agents.worlds import ClockWorld


def test_record_random_transitions_gives_consecutive_turns_of_one_environment() -> None:
    world = ClockWorld(ends=(4, 6))
    batch = record_random_transitions(world, turns=11, sequence_length=5, seed=0)
    assert batch["observation.step"].shape == (4, 5, 1)
    assert batch["action"].shape == (4, 5, 2)
    steps = batch["observation.step"][:, :, 0].astype(int)
    np.testing.assert_array_equal(np.diff(steps), 1)
    assert sorted(steps[:, 0]) == [0, 0, 5, 5]
    executed = {tuple(np.stack(world.actions)[start : start + 5, env].ravel()) for start in (0, 5) for env in (0, 1)}
    assert {tuple(actions.ravel()) for actions in batch["action"]} == executed


def test_record_random_transitions_aligns_rewards_and_episode_ends() -> None:
    batch = record_random_transitions(ClockWorld(ends=(4,)), turns=10, sequence_length=10, seed=0)
    np.testing.assert_array_equal(np.nonzero(batch["ended"][0])[0], [4, 8])
    np.testing.assert_array_equal(np.nonzero(batch["terminated"][0])[0], [3, 7])
    assert not batch["truncated"].any()
    np.testing.assert_array_equal(batch["reward"][0], [0, 1, 2, 3, -1000, 5, 6, 7, -1000, 9])


def test_record_random_transitions_is_reproducible_from_the_seed() -> None:
    first, second, other = (
        record_random_transitions(ClockWorld(), turns=20, sequence_length=4, seed=seed)["action"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_record_random_transitions_refuses_less_than_one_sequence() -> None:
    with pytest.raises(ValueError, match="sequence of 5"):
        record_random_transitions(ClockWorld(), turns=4, sequence_length=5, seed=0)
