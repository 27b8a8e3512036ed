from __future__ import annotations

import numpy as np

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.metrics import Episodes
from tests.metrics.scripted import watch

# Two environments. Rewards of the transition that led to each observation; after an end, the first of the next.
REWARDS = np.array([[0, 0], [1, 5], [1, 5], [9, 5], [2, 5], [2, 5], [2, 9]], np.float32)
ENDED = np.array([[0, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 1], [1, 0]], np.bool_)


def test_episodes_reports_mean_return_and_length() -> None:
    report = watch(Episodes(), [{}] * 7, rewards=REWARDS, ended=ENDED, num_envs=2).report()
    assert report["episodes"] == 3
    assert report["return_mean"] == (2 + 25 + 6) / 3
    assert report["episode_length_mean"] == (2 + 5 + 3) / 3


def test_episodes_averages_only_the_newest_within_the_window() -> None:
    report = watch(Episodes(window=1), [{}] * 7, rewards=REWARDS, ended=ENDED, num_envs=2).report()
    assert report == {"return_mean": 6.0, "episode_length_mean": 3.0, "episodes": 3.0}


def test_episodes_without_an_end_report_nothing() -> None:
    assert watch(Episodes(), [{}] * 5).report() == {}


def test_episodes_continues_identically_after_a_restore() -> None:
    whole = watch(Episodes(), [{}] * 7, rewards=REWARDS, ended=ENDED, num_envs=2)
    first = watch(Episodes(), [{}] * 4, rewards=REWARDS, ended=ENDED, num_envs=2)
    second = Episodes()
    restore_state(second, collect_state(first))
    watch(second, [{}] * 3, rewards=REWARDS[4:], ended=ENDED[4:], num_envs=2)
    assert second.report() == whole.report()
