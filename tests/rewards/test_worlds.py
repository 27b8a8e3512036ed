"""Limits of each reward on unpredictable, predictable and changing streams.

The worlds are streams of vectors; models are small and learn from each transition after its reward is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.special import digamma

from tests.rewards import reward_runs
from tests.rewards.parts import NUMBERS, RewardRun, bank_variance, blackout, cycle, flicker, images, white

TURNS, LAST = 700, 150
QUICK = {"prediction_error", "ama", "rnd"}
"""Rewards of one or two small networks; the other ones take longer and run in `make test-all`.

Learning progress has tests of its own below."""
BANK = images(8)
V = bank_variance(BANK)

LEARNED = {
    "prediction_error": reward_runs.prediction_error,
    "random_features": reward_runs.random_features,
    "open_loop": reward_runs.open_loop,
    "delta_minimize": reward_runs.delta_minimize,
    "disagreement": reward_runs.disagreement,
    "gaussian_ensemble": reward_runs.gaussian_ensemble,
    "information": lambda: reward_runs.gaussian_ensemble("information"),
    "ama": reward_runs.ama,
    "learning_progress": reward_runs.learning_progress,
    "learning_progress_exp": lambda: reward_runs.learning_progress("exp"),
    "gamma_progress": reward_runs.gamma_progress,
    "rnd": reward_runs.rnd,
    "meta": reward_runs.meta,
}


def slow_unless_quick(*rows: tuple[object, ...]) -> list[object]:
    return [pytest.param(*row, marks=() if row[0] in QUICK else pytest.mark.slow) for row in rows]


@pytest.fixture(autouse=True)
def one_seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def late(make: Callable[[], RewardRun], stream: Iterator[torch.Tensor], turns: int = TURNS) -> float:
    return float(make().rewards_on(stream, turns)[-LAST:].mean())


@pytest.mark.parametrize("name", slow_unless_quick(*((name,) for name in LEARNED)))
def test_rewards_are_zero_in_a_constant_world(name: str) -> None:
    assert abs(late(LEARNED[name], blackout(), 500)) < (0.05 if name == "information" else 2e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    slow_unless_quick(
        ("prediction_error", 1.0),
        ("random_features", 1.0),
        ("open_loop", 1.0),
        ("delta_minimize", 0.0),
        ("disagreement", 0.0),
        ("gaussian_ensemble", 0.0),
        ("information", 0.0),
        ("ama", 0.0),
        ("learning_progress", 0.0),
        ("gamma_progress", 0.0),
        ("meta", 2.0),
    ),
)
def test_rewards_on_white_noise_converge_to_the_expected_value(name: str, expected: float) -> None:
    assert late(LEARNED[name], white()) == pytest.approx(expected, rel=0.06, abs=0.05)


@pytest.mark.parametrize(
    ("name", "expected"),
    slow_unless_quick(
        ("prediction_error", V),
        ("open_loop", V),
        ("delta_minimize", 0.0),
        ("disagreement", 0.0),
        ("gaussian_ensemble", 0.0),
        ("ama", 0.0),
        ("learning_progress", 0.0),
        ("gamma_progress", 0.0),
        ("rnd", 0.0),
    ),
)
def test_rewards_on_eight_random_images_converge_to_the_expected_value(name: str, expected: float) -> None:
    assert late(LEARNED[name], flicker(BANK)) == pytest.approx(expected, rel=0.06, abs=0.05 * V)


def test_reward_rnd_falls_below_half_on_white_noise_and_stays_positive() -> None:
    rewards = reward_runs.rnd().rewards_on(white(), TURNS)
    rewards = rewards[~np.isnan(rewards)]
    assert 0 < rewards[-LAST:].mean() < 0.5 * rewards[:20].mean()


@pytest.mark.slow
def test_reward_learning_progress_exp_is_negative_on_noise_by_the_jensen_bias() -> None:
    bias = 2 / NUMBERS * np.exp(digamma(NUMBERS / 2)) - 1
    measured = late(LEARNED["learning_progress_exp"], white(), 1200)
    assert bias == pytest.approx(-0.031, abs=1e-3)
    assert measured == pytest.approx(bias, abs=0.02)
    assert measured < -0.005


@pytest.mark.parametrize(
    "name",
    slow_unless_quick(
        ("prediction_error",), ("open_loop",), ("disagreement",), ("gaussian_ensemble",), ("ama",), ("meta",)
    ),
)
def test_rewards_vanish_once_a_cycle_of_images_is_learned(name: str) -> None:
    rewards = LEARNED[name]().rewards_on(cycle(BANK), TURNS)
    assert abs(rewards[-LAST:].mean()) < 0.03 * abs(rewards[:20]).max()


@pytest.mark.parametrize(
    "name",
    slow_unless_quick(
        ("prediction_error",), ("disagreement",), ("gaussian_ensemble",), ("gamma_progress",), ("rnd",), ("ama",)
    ),
)
def test_rewards_rise_tenfold_on_new_images(name: str) -> None:
    run = LEARNED[name]()
    before = run.rewards_on(cycle(BANK), TURNS)
    after = run.rewards_on(cycle(images(8, seed=8)), 60)
    if name == "ama":  # its variance follows within a few turns and then exceeds the error
        after = after[:5]
    assert after.mean() > 10 * max(before[-LAST:].mean(), 1e-6)


def test_reward_learning_progress_is_negative_at_a_change_and_then_positive() -> None:
    run = reward_runs.learning_progress()
    run.rewards_on(cycle(BANK), TURNS)
    after = run.rewards_on(cycle(images(8, seed=8)), 400)
    assert after[:10].mean() < 0
    windows = after[20:200].reshape(-1, 10).mean(1)
    assert windows.max() > 0.1
    assert abs(after[-50:].mean()) < 0.2 * windows.max()


def test_reward_gamma_progress_is_positive_while_learning() -> None:
    rewards = reward_runs.gamma_progress().rewards_on(cycle(BANK), 120)
    assert (rewards[20:60] > 0).all()


@pytest.mark.parametrize("penalty", [1.0, 0.5])
def test_reward_ama_on_white_noise_converges_to_one_minus_inverse_penalty(penalty: float) -> None:
    run = reward_runs.ama(penalty, eta=1.0)
    rewards = run.rewards_on(white(), TURNS)
    assert rewards[-LAST:].mean() == pytest.approx(1 - 1 / penalty, abs=0.06)
