"""Training on several reward streams, each with its own value, discount and weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pamiq_exp.buffers import DataUser, RolloutBuffer
from pamiq_exp.models import ActorCritic, PolicyValueNetwork
from pamiq_exp.trainers import OnPolicyTrainer, ReturnStream, TrainingContext, generalized_advantages, standardized
from tests.agents.worlds import ClockWorld, spaces
from tests.trainers.modules import cpu

CLOCK = spaces(ClockWorld())
TWO = {"shape": [2], "dtype": "float32"}
STREAMS = {"extrinsic": ReturnStream(0.999, 2.0), "intrinsic": ReturnStream(0.9, 0.5, episodic=False)}


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
