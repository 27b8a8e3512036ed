from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.metrics import EpisodePlaces
from tests.metrics.scripted import watch

# Two environments. The first visits 2 places in its first episode, the second 4; the first then 1.
POSITIONS = np.array([[[0, 0], [5, 5]], [[1, 0], [5, 6]], [[0, 0], [5, 7]], [[7, 7], [5, 8]], [[7, 7], [0, 0]]])
ENDED = np.array([[0, 0], [0, 0], [1, 0], [0, 1], [1, 0]], np.bool_)
TRUTH = [{"position": positions} for positions in POSITIONS]


def test_episode_places_counts_the_different_places_of_each_episode() -> None:
    metric = watch(EpisodePlaces(), TRUTH, ended=ENDED, num_envs=2)
    assert metric.report() == {"places_per_episode": (2 + 4 + 1) / 3}
    assert watch(EpisodePlaces(window=1), TRUTH, ended=ENDED, num_envs=2).report() == {"places_per_episode": 1.0}


def test_episode_places_cell_size_is_in_units_of_the_position() -> None:
    metric = watch(EpisodePlaces(cell=2.0), TRUTH, ended=ENDED, num_envs=2)
    assert metric.report() == {"places_per_episode": (1 + 3 + 1) / 3}


def test_episode_places_reports_nothing_without_positions_or_episodes() -> None:
    assert watch(EpisodePlaces(), [{}] * 5, ended=ENDED, num_envs=2).report() == {}
    assert watch(EpisodePlaces(), TRUTH, num_envs=2).report() == {}


@pytest.mark.parametrize("turns", [1, 3, 4])
def test_episode_places_continues_identically_after_a_restore(turns: int) -> None:
    whole = watch(EpisodePlaces(), TRUTH, ended=ENDED, num_envs=2)
    first = watch(EpisodePlaces(), TRUTH[:turns], ended=ENDED[:turns], num_envs=2)
    second = EpisodePlaces()
    restore_state(second, collect_state(first))
    watch(second, TRUTH[turns:], ended=ENDED[turns:], num_envs=2)
    assert second.report() == whole.report()


def test_episode_places_refuses_a_cell_or_window_of_zero() -> None:
    with pytest.raises(ValueError, match="cell must be positive"):
        EpisodePlaces(cell=0)
    with pytest.raises(ValueError, match="at least 1 episode"):
        EpisodePlaces(window=0)
