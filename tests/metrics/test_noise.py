from __future__ import annotations

import math

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.interaction import StepObserver
from pamiq_exp.metrics import (
    LongestDwell,
    NoiseInView,
    RemotePresses,
    RewardByNoise,
    RewardByTenth,
    RewardNoiseCorrelation,
    TimeInNoisyRoom,
)
from tests.metrics.scripted import ScriptedAgent, watch


def view(*shares: float, x: float = 0.2, degrees: float = 0.0) -> dict[str, np.ndarray]:
    """One environment for each share of noisy pixels, all at one place."""
    masks = np.zeros((len(shares), 10, 10), dtype=np.bool_)
    for env, share in enumerate(shares):
        masks[env].flat[: round(100 * share)] = True
    return {"noise_mask": masks, "pose": np.array([[x, 0.2, math.radians(degrees)]] * len(shares))}


def earning(*rewards: float) -> ScriptedAgent:
    return ScriptedAgent(signals=[np.array([reward], dtype=np.float32) for reward in rewards])


def test_noise_in_view_reports_noise_shares_since_the_last_report() -> None:
    metric = watch(NoiseInView(), [view(0.2, 0.6), view(0.5, 0.7)], num_envs=2)
    assert metric.report() == pytest.approx({"noise_share": 0.5, "noise_heavy_share": 0.5})
    assert metric.report() == {}, "a record covers the turns since the last one"
    assert metric.summary() == pytest.approx({"noise_share": 0.5, "noise_heavy_share": 0.5})


def test_longest_dwell_counts_turns_of_looking_at_noise_without_moving() -> None:
    script = [view(0.1), view(0.6), view(0.9), view(0.8), view(0.3), view(0.9)]
    assert watch(LongestDwell(), script).report() == {"longest_dwell": 3}


def test_longest_dwell_ends_when_the_agent_moves_or_turns_or_noise_is_gone() -> None:
    expected = {
        "a step within half a meter": (view(0.9, x=0.4), 4),
        "a step out of it": (view(0.9, x=0.6), 2),
        "29 degrees": (view(0.9, degrees=29), 4),
        "30 degrees": (view(0.9, degrees=30), 2),
        "-29 degrees": (view(0.9, degrees=-29), 4),
        "no noise": (view(0.5), 2),
    }
    found = {
        case: watch(LongestDwell(), [view(0.9), view(0.9), other, other]).report()["longest_dwell"]
        for case, (other, _) in expected.items()
    }
    assert found == {case: longest for case, (_, longest) in expected.items()}


def test_longest_dwell_measures_turning_from_the_start_of_the_dwell_time() -> None:
    script = [view(0.9, degrees=degrees) for degrees in (350, 10, 19, 25, 30)]
    assert watch(LongestDwell(), script).report()["longest_dwell"] == 3


def test_longest_dwell_is_independent_for_each_environment() -> None:
    script = [view(0.9, 0.1), view(0.1, 0.9), view(0.9, 0.9)]
    assert watch(LongestDwell(), script, num_envs=2).report()["longest_dwell"] == 2


def test_time_in_noisy_room_is_the_share_of_turns_inside() -> None:
    script = [{"noisy_room": np.array(inside)} for inside in ([True, False], [True, True], [False, False])]
    assert watch(TimeInNoisyRoom(), script, num_envs=2).summary() == {"time_in_noisy_room": 0.5}


def test_remote_presses_counts_presses_reported_by_the_environment() -> None:
    script = [{"presses": np.array(presses)} for presses in ([5, 0], [6, 0], [6, 1], [7, 1])]
    metric = watch(RemotePresses(), script, num_envs=2)
    assert metric.summary() == {"remote_press_rate": 0.5, "remote_presses": 3}


def test_reward_by_noise_averages_rewards_with_and_without_noise() -> None:
    script = [view(0.6), view(0.8), view(0.04), view(0.3)]
    metric = watch(RewardByNoise(), script, agent=earning(1.0, 3.0, 0.5, 100.0))
    assert metric.summary() == {"reward_noise_heavy": 2, "reward_noise_free": 0.5, "reward_noise_ratio": 4}


def test_reward_by_tenth_averages_rewards_by_noise_share() -> None:
    script = [view(0.6), view(0.69), view(0.0), view(1.0)]
    metric = watch(RewardByTenth(), script, agent=earning(1.0, 3.0, 0.5, 7.0))
    assert metric.summary() == {"reward_noise_tenth_0": 0.5, "reward_noise_tenth_6": 2, "reward_noise_tenth_9": 7}


def test_reward_by_noise_ignores_rewards_marked_as_not_rewarded() -> None:
    agent = earning(1.0, 3.0)
    agent.signals["rewarded"] = np.array([False])
    assert watch(RewardByNoise(), [view(0.9), view(0.9)], agent=agent).summary() == {}


def test_reward_by_noise_without_rewards_reports_nothing() -> None:
    assert watch(RewardByNoise(), [view(0.9)] * 3).summary() == {}


def test_reward_noise_correlation_matches_a_hand_computed_value() -> None:
    script = [view(share) for share in (0.1, 0.2, 0.3, 0.4)]
    metric = watch(RewardNoiseCorrelation(window=4), script, agent=earning(1.0, 2.0, 4.0, 3.0))
    assert metric.report() == {}
    assert metric.summary() == pytest.approx({"reward_noise_correlation": 0.8})


def test_reward_noise_correlation_reports_the_newest_window_and_sums_up_the_mean() -> None:
    script = [view(share) for share in (0.1, 0.2, 0.3) * 3]
    agent = earning(1, 2, 3, 3, 2, 1, 1, 2, 3)
    metric = watch(RewardNoiseCorrelation(window=3), script, agent=agent)
    assert metric.report() == {"reward_noise_correlation": -1}, "the third window is not over yet"
    assert metric.summary() == {"reward_noise_correlation": 0}


@pytest.mark.parametrize(
    "make",
    [NoiseInView, LongestDwell, RewardByNoise, RewardByTenth, lambda: RewardNoiseCorrelation(window=4)],
    ids=["noise in view", "longest dwell time", "reward by noise", "by tenths", "correlation"],
)
def test_noise_metrics_continue_identically_after_a_restore(make: type[StepObserver]) -> None:
    script = [view(share) for share in (0.1, 0.9, 0.8, 0.7, 0.02, 0.6, 0.95, 0.9, 0.8)]
    rewards = tuple(float(index % 4) for index in range(9))
    whole = watch(make(), script, agent=earning(*rewards))
    first, second = watch(make(), script[:5], agent=earning(*rewards)), make()
    restore_state(second, collect_state(first))
    watch(second, script[5:], agent=earning(*rewards[5:]))
    assert second.summary() == whole.summary()
    assert second.report() == whole.report()
