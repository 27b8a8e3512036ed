"""OnPolicyTrainer: when it trains, and the minibatches that it makes of rollouts."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.buffers import DataUser, RingBuffer, RolloutBuffer
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.trainers import OnPolicyTrainer, TrainingContext, generalized_advantages, standardized
from tests.trainers.modules import Batch, cpu

NUM_ENVS, LENGTH = 2, 6
NUMBER = {"shape": [], "dtype": "float32"}
FLAG = {"shape": [], "dtype": "bool"}
CONTINUAL = {
    "observation": {"vector": {"shape": [3], "dtype": "float32"}},
    "action": {"shape": [1], "dtype": "int64"},
    "log_prob": NUMBER,
    "value": NUMBER,
    "reward": NUMBER,
}
NEW = ("advantage", "return", "weight")
EPISODIC = {**CONTINUAL, "terminated": FLAG, "truncated": FLAG, "ended": FLAG}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Learner(LightningModule):
    """Keeps its minibatches, and logs a KL divergence that grows with each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 1)
        self.minibatches: list[Batch] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.minibatches.append(batch)
        self.log("approx_kl", 0.01 * len(self.minibatches))
        return (self.net(batch["observation.vector"]).squeeze(-1) - batch["return"]).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Part:
    """A trainer with data of known order: observations begin with the turn and the number of the environment."""

    def __init__(
        self, fields: Any = EPISODIC, capacity: int = 4 * LENGTH, version: Any = None, **settings: Any
    ) -> None:
        self.module = Learner()
        self.user = DataUser(RolloutBuffer(capacity, NUM_ENVS, fields))
        self.trainer = OnPolicyTrainer("policy", "rollout", **({"rollout_steps": LENGTH} | settings))
        context = TrainingContext({"policy": self.module}, {"rollout": self.user}, cpu(), version=version)
        self.trainer.attach(context)
        self.rows: list[dict[str, np.ndarray[Any, Any]]] = []
        self._world = np.random.default_rng(1)
        self._ended = np.zeros(NUM_ENVS, dtype=bool)

    def collect(self, turns: int, model_version: int = 0) -> None:
        for _ in range(turns):
            ends = ~self._ended & (self._world.random(NUM_ENVS) < 0.3)
            terminated = ends & (self._world.random(NUM_ENVS) < 0.5)
            numbers = self._world.normal(size=(4, NUM_ENVS)).astype(np.float32)
            turn = np.full(NUM_ENVS, len(self.rows))
            row = {
                "observation.vector": np.stack([turn, np.arange(NUM_ENVS), numbers[0]], axis=1).astype(np.float32),
                "action": turn[:, None],
                "log_prob": numbers[1],
                "value": numbers[2],
                "reward": numbers[3],
                "terminated": terminated,
                "truncated": ends & ~terminated,
                "ended": self._ended,
                "model_version": np.full(NUM_ENVS, model_version),
            }
            self.rows.append(row)
            self._ended = ends
            self.user.collector.collect({name: row[name] for name in self.user.buffer.fields})
        self.user.update()

    def column(self, name: str, start: int, length: int) -> Tensor:
        return torch.from_numpy(np.stack([row[name] for row in self.rows[start : start + length]]))

    def train(self) -> list[dict[str, float]]:
        return [dict(metrics) for metrics in self.trainer.round()]


def test_on_policy_trainer_is_ready_after_a_rollout_and_one_more_turn() -> None:
    part = Part()
    part.collect(LENGTH)
    assert not part.trainer.ready()
    part.collect(1)
    assert part.trainer.ready()
    assert part.trainer.ready()
    part.train()
    assert not part.trainer.ready()
    part.collect(LENGTH - 1)
    assert not part.trainer.ready()
    part.collect(1)
    assert part.trainer.ready(), "the turn after one rollout is the first of the next"


def test_on_policy_trainer_epochs_contain_each_transition_once_with_its_advantage() -> None:
    part = Part(epochs=2, minibatches=3, gamma=0.9, gae_lambda=0.8)
    part.collect(2 * LENGTH + 1)
    for start in (0, LENGTH):
        part.module.minibatches.clear()
        part.train()
        ends = [part.column(name, start, LENGTH) for name in ("terminated", "truncated", "ended")]
        reward, value = part.column("reward", start, LENGTH), part.column("value", start, LENGTH + 1)
        expected = generalized_advantages(reward, value, *ends, 0.9, 0.8)
        advantage = standardized(expected.advantage, expected.weight)
        assert len(part.module.minibatches) == 6
        for epoch in (part.module.minibatches[:3], part.module.minibatches[3:]):
            together = {name: torch.cat([minibatch[name] for minibatch in epoch]) for name in epoch[0]}
            turn, env = (together["observation.vector"][:, column].long() for column in (0, 1))
            assert sorted(zip(turn.tolist(), env.tolist(), strict=True)) == [
                (t, n) for t in range(start, start + LENGTH) for n in range(NUM_ENVS)
            ]
            row = turn - start
            assert torch.equal(together["action"].squeeze(-1), turn)
            for name in ("log_prob", "value"):
                assert torch.equal(together[name], part.column(name, start, LENGTH)[row, env])
            assert torch.equal(together["advantage"], advantage[row, env])
            assert torch.equal(together["return"], expected.target[row, env])
            assert torch.equal(together["weight"], (~part.column("ended", start, LENGTH)[row, env]).float())
            assert together.keys() == {
                *["action", "log_prob", "value", "advantage", "return", "weight", "ended", "observation.vector"]
            }


def test_on_policy_trainer_keeps_sequences_together_in_time_order() -> None:
    part = Part(sequence_length=3, minibatches=2, epochs=1)
    part.collect(LENGTH + 1)
    part.train()
    starts = []
    for minibatch in part.module.minibatches:
        assert minibatch["observation.vector"].shape == (2, 3, 3)
        assert minibatch["advantage"].shape == (2, 3)
        for piece in minibatch["observation.vector"]:
            assert torch.equal(piece[:, 0], piece[0, 0] + torch.arange(3))
            assert len(piece[:, 1].unique()) == 1
            starts.append((int(piece[0, 0]), int(piece[0, 1])))
    assert sorted(starts) == [(0, 0), (0, 1), (3, 0), (3, 1)]


@pytest.mark.parametrize(
    ("normalization", "each_part", "whole"),
    [("rollout", False, True), ("minibatch", True, True), ("none", False, False)],
)
def test_on_policy_trainer_normalizes_advantages_over_rollouts_or_minibatches(
    normalization: Any, each_part: bool, whole: bool
) -> None:
    part = Part(CONTINUAL, advantage_normalization=normalization, minibatches=2, epochs=1)
    part.collect(LENGTH + 1)
    part.train()
    parts = [minibatch["advantage"] for minibatch in part.module.minibatches]

    def normal(values: Tensor) -> bool:
        return abs(float(values.mean())) < 1e-4 and abs(float(values.std(correction=0)) - 1) < 1e-4

    assert all(normal(values) for values in parts) is each_part
    assert normal(torch.cat(parts)) is whole


def test_on_policy_trainer_without_centering_keeps_the_mean_of_advantages() -> None:
    part = Part(CONTINUAL, advantage_centering=False, epochs=1)
    part.collect(LENGTH + 1)
    part.train()
    reward, value = part.column("reward", 0, LENGTH), part.column("value", 0, LENGTH + 1)
    never = torch.zeros(LENGTH, NUM_ENVS, dtype=torch.bool)
    advantage = generalized_advantages(reward, value, never, never, never, 0.99, 0.95).advantage
    together = torch.cat([minibatch["advantage"] for minibatch in part.module.minibatches])
    assert float(together.mean()) == pytest.approx(float(advantage.mean() / advantage.std(correction=0)), rel=1e-4)


def test_on_policy_trainer_needs_no_end_fields_for_an_environment_without_ends() -> None:
    part = Part(CONTINUAL)
    part.collect(LENGTH + 1)
    part.train()
    assert all(torch.all(minibatch["weight"] == 1) for minibatch in part.module.minibatches)


def test_on_policy_trainer_refuses_incomplete_end_fields() -> None:
    part = Part({**CONTINUAL, "terminated": FLAG, "truncated": FLAG})
    part.collect(LENGTH + 1)
    with pytest.raises(KeyError, match="all three"):
        part.train()


def test_on_policy_trainer_stops_early_above_the_target_kl() -> None:
    part = Part(epochs=3, minibatches=2, target_kl=0.035)
    part.collect(LENGTH + 1)
    metrics = part.train()
    assert [row["approx_kl"] for row in metrics] == pytest.approx([0.01, 0.02, 0.03, 0.04])
    assert metrics[-1]["epochs"] == 2
    assert part.module.current_epoch == 1


def test_on_policy_trainer_refuses_a_target_kl_without_a_logged_approx_kl() -> None:
    class Silent(Learner):
        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            return self.net(batch["observation.vector"]).mean()

    trainer = OnPolicyTrainer("policy", "rollout", LENGTH, target_kl=0.1)
    part = Part()
    trainer.attach(TrainingContext({"policy": Silent()}, {"rollout": part.user}, cpu()))
    part.collect(LENGTH + 1)
    with pytest.raises(ValueError, match="approx_kl"):
        list(trainer.round())


def test_on_policy_trainer_reports_staleness_and_discards_old_rollouts() -> None:
    fields = {**EPISODIC, "model_version": {"shape": [], "dtype": "int64"}}
    published = iter([5, 9])
    part = Part(fields, version=lambda: next(published), max_staleness=3)
    part.collect(LENGTH // 2, model_version=2)
    part.collect(LENGTH // 2, model_version=3)
    part.collect(LENGTH + 1, model_version=4)
    assert part.train()[0]["staleness"] == 2.5
    before = copy.deepcopy(part.module.state_dict())
    assert part.train() == [{"staleness": 5.0, "discarded_rollouts": 1}]
    assert all(torch.equal(value, before[name]) for name, value in part.module.state_dict().items())
    assert part.trainer.state()["discarded_rollouts"] == 1
    assert not part.trainer.ready(), "the discarded rollout is removed"


def test_on_policy_trainer_resumes_from_its_state_to_the_same_bits() -> None:
    first = Part()
    first.collect(LENGTH + 1)
    first.train()
    saved = copy.deepcopy(collect_state({"user": first.user, "trainer": first.trainer}))
    second = Part()
    second.module.load_state_dict(first.module.state_dict())
    assert restore_state({"user": second.user, "trainer": second.trainer}, saved) == ([], [])
    second._world, second._ended = copy.deepcopy(first._world), first._ended
    second.rows = list(first.rows)
    outcomes = []
    for part in (first, second):
        part.collect(LENGTH)
        part.module.minibatches.clear()
        outcomes.append(part.train())
    assert outcomes[0] == outcomes[1]
    assert all(
        torch.equal(value, second.module.state_dict()[name]) for name, value in first.module.state_dict().items()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rollout_steps": 7, "sequence_length": 2}, "multiple"),
        ({"minibatches": 0}, "at least 1"),
        ({"advantage_normalization": "batch"}, "'batch'"),
        ({"capacity": LENGTH}, "capacity of at least 12"),
    ],
)
def test_on_policy_trainer_refuses_invalid_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Part(**settings)


def test_on_policy_trainer_refuses_more_minibatches_than_transitions() -> None:
    part = Part(minibatches=100)
    part.collect(LENGTH + 1)
    with pytest.raises(ValueError, match="12 transitions"):
        part.train()


def test_on_policy_trainer_warns_when_clipping_has_no_effect() -> None:
    with pytest.warns(UserWarning, match="clipping has no effect"):
        OnPolicyTrainer("policy", "rollout", LENGTH, epochs=1, minibatches=1)


def test_on_policy_trainer_refuses_a_ring_buffer() -> None:
    user = DataUser(RingBuffer(4 * LENGTH, NUM_ENVS, CONTINUAL))
    trainer = OnPolicyTrainer("policy", "rollout", LENGTH)
    with pytest.raises(TypeError, match="RolloutBuffer"):
        trainer.attach(TrainingContext({"policy": Learner()}, {"rollout": user}, cpu()))
