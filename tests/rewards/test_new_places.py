"""Reward for new places by the agent's odometry."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.rewards import NewPlaces, Transition


def step(reward: NewPlaces, before: list[float], now: list[float], valid: list[bool] | None = None) -> list[float]:
    """The reward of a turn in which each environment goes east, from x to x."""
    old, new = ({"observation.odometry": torch.tensor([[x, -0.1] for x in xs])} for xs in (before, now))
    known = np.array(valid or [True] * len(now))
    transition = Transition(
        observation=new, latent=None, action=torch.zeros(len(now), 1), next_latent=None,
        environment_reward=np.zeros(len(now), dtype=np.float32), valid=known, previous_observation=old,
    )  # fmt: skip
    return reward(transition).tolist()


def walk(reward: NewPlaces, places: list[float]) -> list[float]:
    return [step(reward, [before], [now])[0] for before, now in pairwise(places)]


def test_new_places_rewards_new_places_except_the_first() -> None:
    assert walk(NewPlaces(1, cell=0.5), [0.1, 0.4, 0.6, 0.9, 1.1, 0.6, -0.1]) == [0, 1, 0, 1, 0, 1]


def test_new_places_rewards_a_place_again_only_after_the_window() -> None:
    for turns, paid in ((3, 0), (4, 1)):  # turns since the last visit
        places = [0.1, 0.6, *[1.1] * (turns - 1), 0.6]
        assert walk(NewPlaces(1, cell=0.5, window=3), places)[-1] == paid


def test_new_places_keeps_visits_per_environment_and_episode() -> None:
    reward = NewPlaces(2, cell=0.5)
    assert step(reward, [0.1, 0.6], [0.6, 0.1]) == [1, 1]
    assert step(reward, [0.6, 0.1], [0.1, 0.1], [False, True]) == [0, 0]  # a new episode begins in the first
    assert step(reward, [0.1, 0.1], [0.6, 0.6]) == [1, 0]


def test_new_places_restores_its_visits() -> None:
    first, second = NewPlaces(2, cell=0.5, window=4), NewPlaces(2, cell=0.5, window=4)
    step(first, [0.1, 0.6], [0.6, 5.1])
    step(first, [0.6, 5.1], [1.1, 5.1])
    restore_state(second, collect_state(first))
    for now in ([0.1, 0.6], [1.1, 7.0], [0.6, 5.1], [0.6, 0.6]):
        assert step(second, [1.1, 5.1], now) == step(first, [1.1, 5.1], now)


def test_new_places_error_without_odometry_names_the_setting() -> None:
    with pytest.raises(KeyError, match=r"environment\.odometry=true"):
        step(NewPlaces(1, field="place"), [0.0], [0.0])


def test_new_places_refuses_a_cell_or_window_of_zero() -> None:
    for settings in ({"cell": 0}, {"window": 0}):
        with pytest.raises(ValueError, match="cell must be positive and window at least 1"):
            NewPlaces(1, **settings)
