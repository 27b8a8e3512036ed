"""The agent's own reward together with that of the environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pamiq_exp.agents import RandomAgent
from pamiq_exp.buffers import DataUser, RolloutBuffer
from pamiq_exp.interaction import Interaction
from pamiq_exp.models import ActorCritic, PolicyValueNetwork
from pamiq_exp.rewards import DiscountedStd, Reward, RewardStreams, Transition
from pamiq_exp.trainers import OnPolicyTrainer, ReturnStream, TrainingContext, generalized_advantages, standardized
from tests.agents.worlds import OUTCOME_FIELDS, ClockWorld, Collector, spaces
from tests.trainers.modules import cpu

ENVS = 3
CLOCK = spaces(ClockWorld())
TWO = {"shape": [2], "dtype": "float32"}
STREAMS = {"extrinsic": ReturnStream(0.999, 2.0), "intrinsic": ReturnStream(0.9, 0.5, episodic=False)}


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


def live(reward: Reward, streams: RewardStreams | None, turns: int, fields: dict[str, object]) -> tuple[Any, Any]:
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
    """What the world pays for the transition out of a step; nothing counts after the end of an episode."""
    ended = ClockWorld((4, 6, 1000)).ended_at(step)
    return np.where(ended, 0, step).astype(np.float32)


def test_reward_streams_add_both_rewards_and_skip_invalid_transitions() -> None:
    agent, (records, _) = live(Half(), RewardStreams(2.0, 3.0), 8, {})
    for step, record in enumerate(records):
        own = np.where(ClockWorld((4, 6, 1000)).ended_at(step), 0, 0.5 if step >= 2 else 0)
        np.testing.assert_allclose(record["reward"], 2 * paid(step) + 3 * own)
    report = agent.report()
    valid = [paid(step)[~ClockWorld((4, 6, 1000)).ended_at(step)] for step in range(7)]
    assert report["extrinsic"] == pytest.approx(np.concatenate(valid).mean())
    assert report["half"] == 0.5


def test_reward_streams_that_are_separate_are_stacked_without_weights() -> None:
    _, (records, signals) = live(Half(), RewardStreams(2.0, 3.0, separate=True), 8, {"reward": TWO})
    np.testing.assert_array_equal(records[5]["reward"], np.stack([paid(5), [0.5] * ENVS], -1))
    np.testing.assert_array_equal(records[4]["reward"][0], [0, 0])
    np.testing.assert_allclose(signals[6]["reward"], 2 * paid(5) + 1.5)


def test_reward_during_warmup_is_not_in_the_metrics() -> None:
    agent, (_, signals) = live(Half(DiscountedStd(ENVS, warmup=9)), None, 4, {})
    assert [bool(each["rewarded"].any()) for each in signals] == [False] * 4
    report = agent.report()
    assert report == {"half_raw": 0.5}  # the scale is still unknown
    assert "reward_mean" not in agent.summary()
    agent, (_, signals) = live(Half(), None, 4, {})
    assert [bool(each["rewarded"].any()) for each in signals] == [False, False, False, True]
    assert agent.report()["reward"] == 0.5


def test_reward_streams_refuse_a_separate_reward_that_cuts_returns() -> None:
    with pytest.raises(ValueError, match="choose reward_streams=single"):
        live(Half(cut=True), RewardStreams(separate=True), 3, {"reward": TWO})
    live(Half(cut=True), RewardStreams(), 3, {})


class Rollout:
    """A buffer of two streams, filled with random rollouts, and a trainer of an ActorCritic on it."""

    def __init__(self, seed: int = 0, streams: dict[str, ReturnStream] | None = None) -> None:
        torch.manual_seed(seed)
        self.network = PolicyValueNetwork(
            {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}, CLOCK["action"], hidden=(8,),
            value_streams=tuple(STREAMS),
        )  # fmt: skip
        self.module = ActorCritic(self.network, clip=10.0, entropy_coefficient=0.0)
        flag = {"shape": [], "dtype": "bool"}
        buffer = RolloutBuffer(16, 2, {
            "observation": {"vector": {"shape": [3], "dtype": "float32"}}, "action": {"shape": [2], "dtype": "int64"},
            "log_prob": {"shape": [], "dtype": "float32"}, "value": TWO, "reward": TWO,
            "terminated": flag, "truncated": flag, "ended": flag,
        })  # fmt: skip
        self.user = DataUser(buffer)
        self.trainer = OnPolicyTrainer(
            "policy", "rollout", rollout_steps=7, epochs=3, minibatches=2, streams=streams or STREAMS
        )
        self.trainer.attach(TrainingContext({"policy": self.module}, {"rollout": self.user}, cpu()))
        generator = np.random.default_rng(seed)
        self.rows = []
        for turn in range(8):
            ended = np.array([turn == 4, False])
            row = {
                "observation.vector": generator.normal(size=(2, 3)).astype(np.float32),
                "action": generator.integers(0, 2, (2, 2)),
                "log_prob": generator.normal(size=2).astype(np.float32),
                "value": generator.normal(size=(2, 2)).astype(np.float32),
                "reward": generator.normal(size=(2, 2)).astype(np.float32),
                "terminated": np.array([turn == 3, False]), "truncated": np.zeros(2, dtype=bool), "ended": ended,
            }  # fmt: skip
            self.rows.append(row)
            self.user.collector.collect(row)
        self.user.update()

    def column(self, name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([row[name] for row in self.rows]))

    def advantages(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Advantage, returns and weight from the two streams, each computed by itself."""
        ends = [self.column(name)[:-1] for name in ("terminated", "truncated", "ended")]
        one, other = (
            generalized_advantages(
                self.column("reward")[:-1, :, index], self.column("value")[..., index], *ends,
                gamma=stream.gamma, gae_lambda=0.95, episodic=stream.episodic,
            )
            for index, stream in enumerate(STREAMS.values())
        )  # fmt: skip
        return 2.0 * one.advantage + 0.5 * other.advantage, torch.stack([one.target, other.target], -1), one.weight


def test_on_policy_trainer_adds_weighted_advantages_with_the_gamma_of_each_stream() -> None:
    rollout = Rollout()
    expected, returns, weight = rollout.advantages()
    seen: list[dict[str, torch.Tensor]] = []
    rollout.module.training_step = lambda batch, index: seen.append(batch)  # type: ignore[assignment,func-returns-value]
    rollout.module.automatic_optimization = False
    list(rollout.trainer.round())
    order = torch.cat([batch["observation.vector"] for batch in seen[:2]])[:, 0].argsort()
    first = rollout.column("observation.vector")[:-1].flatten(0, 1)[:, 0].argsort()
    advantage = torch.cat([batch["advantage"] for batch in seen[:2]])[order]
    torch.testing.assert_close(advantage, standardized(expected, weight).flatten()[first])
    torch.testing.assert_close(torch.cat([batch["return"] for batch in seen[:2]])[order], returns.flatten(0, 1)[first])


def test_on_policy_trainer_counts_each_return_once_in_popart_statistics() -> None:
    rollout = Rollout()
    _, returns, weight = rollout.advantages()
    list(rollout.trainer.round())
    moments = rollout.network.value.returns
    assert float(moments.count) == 13  # seven turns of two environments, without the void one
    torch.testing.assert_close(moments.mean, returns[weight > 0].double().mean(0))
    torch.testing.assert_close(moments.variance, returns[weight > 0].double().var(0, correction=0))


def test_actor_critic_value_loss_of_two_streams_is_the_sum_of_scaled_losses() -> None:
    rollout = Rollout()
    rollout.module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]
    value = torch.randn(5, 2, requires_grad=True)
    returns = torch.tensor([100.0, 1.0]) * torch.randn(5, 2)
    rollout.module.observe_returns(returns)
    batch = {"return": returns, "value": torch.zeros(5, 2), "weight": torch.tensor([1.0, 1, 0, 1, 1])}
    kept = [0, 1, 3, 4]
    expected = sum(
        0.5 * ((value[kept, each] - returns[kept, each]) ** 2).mean() / returns[:, each].var(correction=0)
        for each in range(2)
    )
    torch.testing.assert_close(rollout.module._value_loss(value, batch), expected)


def test_on_policy_trainer_refuses_streams_that_do_not_match_the_rewards() -> None:
    rollout = Rollout(streams={"only": ReturnStream()})
    with pytest.raises(ValueError, match="choose reward_streams=two"):
        list(rollout.trainer.round())
