"""The agent's own reward together with that of the environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pamiq_exp.agents import RandomAgent
from pamiq_exp.interaction import Interaction
from pamiq_exp.rewards import DiscountedStd, Reward, RewardStreams, Transition
from tests.agents.worlds import OUTCOME_FIELDS, ClockWorld, Collector, spaces

ENVS = 3
CLOCK = spaces(ClockWorld())
TWO = {"shape": [2], "dtype": "float32"}


class Half(Reward):
    """One half everywhere, after two turns of warm-up."""

    name = "half"

    def __init__(self, normalizer: DiscountedStd | None = None, cut: bool = False) -> None:
        super().__init__(normalizer)
        self.turn = 0
        self.cut = cut

    def compute(self, transition: Transition) -> np.ndarray | None:
        self.turn += 1
        return None if self.turn <= 2 else np.full(ENVS, 0.5, dtype=np.float32)

    def cuts(self) -> np.ndarray | None:
        return np.zeros(ENVS, dtype=np.bool_) if self.cut else None


def run(reward: Reward, streams: RewardStreams | None, turns: int, fields: dict[str, object]) -> tuple[Any, Any]:
    agent = RandomAgent(CLOCK["action"], ENVS, seed=0, reward=reward, streams=streams)
    collector = Collector({"observation": CLOCK["observation"], **OUTCOME_FIELDS, **fields})
    agent.attach({}, {"all": collector})
    interaction = Interaction(agent, ClockWorld(ends=(4, 6, 1000)))
    interaction.setup()
    signals = []
    for _ in range(turns):
        interaction.step()
        signals.append({name: value.copy() for name, value in agent.signals.items()})
    return agent, (collector.records, signals)


def paid(step: int) -> np.ndarray:
    """The environment's reward for the transition out of a step; 0 after the end of an episode."""
    ended = ClockWorld((4, 6, 1000)).ended_at(step)
    return np.where(ended, 0, step).astype(np.float32)


def test_reward_streams_add_both_rewards_and_skip_invalid_transitions() -> None:
    agent, (records, _) = run(Half(), RewardStreams(2.0, 3.0), 8, {})
    for step, record in enumerate(records):
        own = np.where(ClockWorld((4, 6, 1000)).ended_at(step), 0, 0.5 if step >= 2 else 0)
        np.testing.assert_allclose(record["reward"], 2 * paid(step) + 3 * own)
    report = agent.report()
    valid = [paid(step)[~ClockWorld((4, 6, 1000)).ended_at(step)] for step in range(7)]
    assert report["extrinsic"] == pytest.approx(np.concatenate(valid).mean())
    assert report["half"] == 0.5


def test_reward_streams_that_are_separate_are_stacked_without_weights() -> None:
    _, (records, signals) = run(Half(), RewardStreams(2.0, 3.0, separate=True), 8, {"reward": TWO})
    np.testing.assert_array_equal(records[5]["reward"], np.stack([paid(5), [0.5] * ENVS], -1))
    np.testing.assert_array_equal(records[4]["reward"][0], [0, 0])
    np.testing.assert_allclose(signals[6]["reward"], 2 * paid(5) + 1.5)


def test_reward_during_warmup_is_not_in_the_metrics() -> None:
    agent, (_, signals) = run(Half(DiscountedStd(ENVS, warmup=9)), None, 4, {})
    assert [bool(each["rewarded"].any()) for each in signals] == [False] * 4
    report = agent.report()
    assert report == {"half_raw": 0.5}  # the scale is still unknown
    assert "reward_mean" not in agent.summary()
    agent, (_, signals) = run(Half(), None, 4, {})
    assert [bool(each["rewarded"].any()) for each in signals] == [False, False, False, True]
    assert agent.report()["reward"] == 0.5


def test_reward_streams_refuse_a_separate_reward_that_cuts_returns() -> None:
    with pytest.raises(ValueError, match="choose reward_streams=single"):
        run(Half(cut=True), RewardStreams(separate=True), 3, {"reward": TWO})
    run(Half(cut=True), RewardStreams(), 3, {})
