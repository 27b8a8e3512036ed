"""New places pay once in a while, by the agent's own sense of its way."""

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


def test_a_place_pays_when_it_is_new_and_the_first_place_does_not() -> None:
    assert walk(NewPlaces(1, cell=0.5), [0.1, 0.4, 0.6, 0.9, 1.1, 0.6, -0.1]) == [0, 1, 0, 1, 0, 1]


def test_a_place_is_new_again_after_the_window_and_not_before() -> None:
    for turns, paid in ((3, 0), (4, 1)):  # turns since the last visit
        places = [0.1, 0.6, *[1.1] * (turns - 1), 0.6]
        assert walk(NewPlaces(1, cell=0.5, window=3), places)[-1] == paid


def test_environments_and_episodes_have_their_own_visits() -> None:
    reward = NewPlaces(2, cell=0.5)
    assert step(reward, [0.1, 0.6], [0.6, 0.1]) == [1, 1]
    assert step(reward, [0.6, 0.1], [0.1, 0.1], [False, True]) == [0, 0]  # the first has started anew
    assert step(reward, [0.1, 0.1], [0.6, 0.6]) == [1, 0]


def test_visits_survive_saving() -> None:
    first, second = NewPlaces(2, cell=0.5, window=4), NewPlaces(2, cell=0.5, window=4)
    step(first, [0.1, 0.6], [0.6, 5.1])
    step(first, [0.6, 5.1], [1.1, 5.1])
    restore_state(second, collect_state(first))
    for now in ([0.1, 0.6], [1.1, 7.0], [0.6, 5.1], [0.6, 0.6]):
        assert step(second, [1.1, 5.1], now) == step(first, [1.1, 5.1], now)


def test_a_world_without_odometry_is_told_what_to_choose() -> None:
    with pytest.raises(KeyError, match=r"environment\.odometry=true"):
        step(NewPlaces(1, field="place"), [0.0], [0.0])


@pytest.mark.parametrize("words", [{"cell": 0}, {"window": 0}])
def test_settings_that_cannot_be_are_refused(words: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cell must be positive and window at least 1"):
        NewPlaces(1, **words)
