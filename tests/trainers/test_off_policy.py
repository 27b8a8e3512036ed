"""n-step transitions against a loop that follows the definition, and the trainer that draws them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning import LightningModule
from lightning.fabric import Fabric
from torch import Tensor

from pamiq_exp.buffers import DataBuffer, DataUser, ReplayBuffer, RolloutBuffer
from pamiq_exp.trainers import OffPolicyTrainer, TrainingContext, n_step_transitions

FLAGS = ("terminated", "truncated", "ended")
FIELDS: dict[str, object] = {
    "observation": {"vector": {"shape": [2], "dtype": "float32"}},
    "action": {"shape": [1], "dtype": "int64"},
    "reward": {"shape": [], "dtype": "float32"},
    **{name: {"shape": [], "dtype": "bool"} for name in FLAGS},
}


def sequences(steps: int, seed: int) -> dict[str, Tensor]:
    """Sequences with ends at random; after each of them a turn out of a final observation, whose reward is NaN."""
    random = np.random.default_rng(seed)
    rows = 64
    batch: dict[str, np.ndarray] = {
        "observation.vector": random.normal(size=(rows, steps + 1, 2)),
        "action": random.integers(0, 3, (rows, steps + 1, 1)),
        "reward": random.normal(size=(rows, steps + 1)),
        **{name: np.zeros((rows, steps + 1), bool) for name in FLAGS},
    }
    batch["ended"][:, 0] = random.random(rows) < 0.1
    for row in range(rows):
        for step in range(steps + 1):
            if batch["ended"][row, step]:
                batch["reward"][row, step] = 0
                continue
            kind = random.choice([None, "terminated", "truncated"], p=[0.6, 0.2, 0.2])
            if kind is not None:
                batch[str(kind)][row, step] = True
                if step < steps:
                    batch["ended"][row, step + 1] = True
    return {name: torch.from_numpy(value) for name, value in batch.items()}


@pytest.mark.parametrize("steps", [1, 3])
def test_n_step_transitions_match_a_loop_over_the_definition(steps: int) -> None:
    gamma = 0.9
    batch = sequences(steps, seed=steps)
    result = n_step_transitions(batch, gamma)
    bootstraps = set()
    for row in range(len(batch["reward"])):
        if batch["ended"][row, 0]:
            assert result["weight"][row] == 0
            continue
        total, factor, step = 0.0, 1.0, 0
        while step < steps:
            total += factor * float(batch["reward"][row, step])
            factor *= gamma
            step += 1
            if batch["terminated"][row, step - 1] or batch["truncated"][row, step - 1]:
                break
        factor = 0.0 if batch["terminated"][row, step - 1] else factor
        bootstraps.add(round(factor, 6))
        assert float(result["reward"][row]) == pytest.approx(total)
        assert float(result["bootstrap"][row]) == pytest.approx(factor)
        assert result["weight"][row] == 1
        assert torch.equal(result["next.observation.vector"][row], batch["observation.vector"][row, step])
    assert torch.equal(result["observation.vector"], batch["observation.vector"][:, 0])
    assert torch.equal(result["action"], batch["action"][:, 0])
    assert "next.action" not in result
    assert bootstraps == {0.0, *(round(gamma**m, 6) for m in range(1, steps + 1))}


def test_n_step_transitions_of_an_environment_without_ends_always_bootstrap() -> None:
    batch = {name: value for name, value in sequences(2, seed=0).items() if name not in FLAGS}
    result = n_step_transitions(batch, 0.5)
    assert torch.all(result["bootstrap"] == 0.25)
    assert torch.all(result["weight"] == 1)


class Watching(LightningModule):
    """Keeps the batches that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[dict[str, Tensor]] = []

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        self.seen.append(batch)
        return self.parameter.square()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def attached(trainer: OffPolicyTrainer, buffer: DataBuffer, module: LightningModule) -> DataUser:
    user = DataUser(buffer)
    fabric = Fabric(accelerator="cpu", devices=1)
    trainer.attach(TrainingContext({"policy": module}, {"policy": user}, fabric))
    return user


def test_off_policy_trainer_draws_transitions_of_consecutive_turns() -> None:
    module, trainer = Watching(), OffPolicyTrainer("policy", "policy", batch_size=32, gradient_steps=2, n_steps=2)
    user = attached(trainer, ReplayBuffer(16, 3, FIELDS), module)
    for turn in range(12):
        never = {name: np.zeros(3, bool) for name in FLAGS}
        code = np.stack([np.full(3, turn), np.arange(3)], -1).astype(np.float32)
        action = np.full((3, 1), turn, np.int64)
        user.collector.collect({"observation.vector": code, "action": action, "reward": code[:, 0], **never})
    user.update()
    assert trainer.ready()
    list(trainer.round())
    assert len(module.seen) == 2
    for batch in module.seen:
        now, after = batch["observation.vector"], batch["next.observation.vector"]
        assert torch.equal(after[:, 0], now[:, 0] + 2)
        assert torch.equal(after[:, 1], now[:, 1])
        assert torch.equal(batch["action"][:, 0], now[:, 0].long())
        assert torch.allclose(batch["reward"], now[:, 0] + 0.99 * (now[:, 0] + 1))


def test_off_policy_trainer_refuses_other_buffers_and_missing_fields() -> None:
    trainer = OffPolicyTrainer("policy", "policy", batch_size=4)
    with pytest.raises(TypeError, match="needs a ReplayBuffer"):
        attached(trainer, RolloutBuffer(8, 1, FIELDS), Watching())
    without = {name: spec for name, spec in FIELDS.items() if name not in ("reward", "ended")}
    with pytest.raises(KeyError, match="lacks the fields ended, reward"):
        attached(trainer, ReplayBuffer(8, 1, without), Watching())


@pytest.mark.parametrize(("settings", "message"), [({"n_steps": 0}, "n_steps"), ({"gamma": 1.5}, "gamma")])
def test_off_policy_trainer_refuses_impossible_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OffPolicyTrainer("policy", "policy", batch_size=4, **settings)  # type: ignore[arg-type]
