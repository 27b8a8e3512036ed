"""DQN: the loss of every variant against a loop over the definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor

from pamiq_exp.lightning_loop import LightningDriver, TrainingPlan
from pamiq_exp.models import DeepQLearning, QNetwork
from pamiq_exp.spaces import ActionSpec

INPUTS = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}
ACTION: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [4]}


def learner(dueling: bool = False, **settings: Any) -> DeepQLearning:
    torch.manual_seed(0)
    module = DeepQLearning(QNetwork(INPUTS, ACTION, hidden=(8,), dueling=dueling), **settings)
    with torch.no_grad():
        for parameter in module.target.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return module


def transitions(size: int = 12) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "observation.vector": torch.randn(size, 3),
        "next.observation.vector": torch.randn(size, 3),
        "action": torch.randint(0, 4, (size, 1)),
        "reward": 2 * torch.randn(size),
        "bootstrap": torch.where(torch.arange(size) % 3 == 0, 0.0, 0.9),
        "weight": (torch.arange(size) % 4 != 0).float(),
    }


def values_of(network: QNetwork, observation: Tensor) -> Tensor:
    features = torch.relu(network.body.body[0](observation))
    choices = network.choices(features)
    if network.value is None:
        return choices
    return torch.stack([network.value(features)[0] + choices[a] - choices.sum() / 4 for a in range(4)])


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_dqn_loss_matches_a_loop(double: bool, dueling: bool, loss: Any) -> None:
    module, batch = learner(dueling, double=double, loss=loss), transitions()
    total, count, both_parts = 0.0, 0, set()
    with torch.no_grad():
        for row in torch.nonzero(batch["weight"]).flatten().tolist():
            following = batch["next.observation.vector"][row]
            target_values = values_of(module.target, following)
            chooser = values_of(module.network, following) if double else target_values
            target = batch["reward"][row] + batch["bootstrap"][row] * target_values[int(chooser.argmax())]
            value = values_of(module.network, batch["observation.vector"][row])[int(batch["action"][row])]
            error = abs(float(value - target))
            both_parts.add(error < 1)
            total += error**2 if loss == "mse" else (0.5 * error**2 if error < 1 else error - 0.5)
            count += 1
    assert both_parts == {True, False}
    assert float(module.training_step(batch, 0).detach()) == pytest.approx(total / count, rel=1e-5)


def test_dqn_loss_gradient_matches_finite_differences() -> None:
    module, batch = learner(), transitions()
    gradient = torch.autograd.grad(module.training_step(batch, 0), [module.network.choices.bias])[0]
    step = 1e-2
    for action in range(4):
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                module.network.choices.bias[action] += sign * step
                losses.append(float(module.training_step(batch, 0).detach()))
                module.network.choices.bias[action] -= sign * step
        assert float(gradient[action]) == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=2e-3)


@pytest.mark.parametrize(("tau", "every"), [(1.0, 3), (0.5, 1)])
def test_dqn_updates_its_target_network_when_due(tau: float, every: int) -> None:
    module, batch = learner(tau=tau, target_update_every=every, learning_rate=0.1), transitions()
    driver = LightningDriver("policy", module, Fabric(accelerator="cpu", devices=1))
    driver.begin_epoch()
    for update in range(1, 7):
        before = [parameter.clone() for parameter in module.target.parameters()]
        driver.train_batch(batch)
        share = tau if update % every == 0 else 0.0
        for old, new, learned in zip(before, module.target.parameters(), module.network.parameters(), strict=True):
            assert torch.allclose(new, (1 - share) * old + share * learned, atol=1e-6)


def test_dqn_network_and_target_share_input_statistics_of_the_last_target_update() -> None:
    torch.manual_seed(0)
    network = QNetwork(INPUTS, ACTION, hidden=(8,), normalize_inputs=True)
    module = DeepQLearning(network, target_update_every=2, learning_rate=1e-9)
    driver = LightningDriver("policy", module, Fabric(accelerator="cpu", devices=1))
    driver.begin_epoch()
    seen: list[Tensor] = []
    observation = torch.randn(5, 3)
    for index in range(5):
        batch = transitions()
        batch["observation.vector"] = torch.randn(12, 3) * torch.tensor([0.1, 1.0, 20.0]) + 3
        driver.train_batch(batch)
        seen.append(batch["observation.vector"])
        if index % 2 == 1:
            counted = torch.cat(seen)
        expected = (observation - counted.mean(0)) / counted.std(0, correction=0) if index else observation
        for each in (module.network, module.target):
            shown = torch.stack([values_of(each, row) for row in expected.clamp(-10, 10)])
            assert torch.allclose(each.values({"observation.vector": observation}), shown, atol=1e-4)


def test_dqn_learning_rate_falls_linearly_to_zero_over_the_run() -> None:
    module = learner(learning_rate=0.1, learning_rate_schedule="linear")
    driver = LightningDriver("policy", module, Fabric(accelerator="cpu", devices=1), plan=TrainingPlan(4, 1))
    driver.begin_epoch()
    rates = []
    for _ in range(4):
        rates.append(driver.optimizers[0].param_groups[0]["lr"])
        driver.train_batch(transitions())
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    with pytest.raises(ValueError, match="learning_rate_schedule must be one of constant, linear"):
        learner(learning_rate_schedule="cosine")


def test_dqn_acts_by_the_highest_value() -> None:
    network = learner().network
    observation = torch.randn(5, 3)
    distribution, value = network({"observation.vector": observation})
    expected = torch.stack([values_of(network, each) for each in observation])
    assert torch.equal(distribution.mode().squeeze(-1), expected.argmax(-1))
    assert torch.allclose(value, expected.max(-1).values)


@pytest.mark.parametrize("double", [False, True])
def test_dqn_excludes_forbidden_choices_from_actions_and_targets(double: bool) -> None:
    torch.manual_seed(0)
    mask = {"shape": [4], "dtype": "float32", "low": 0.0, "high": 1.0}
    inputs = {"observation": {"vector": {"shape": [3], "dtype": "float32"}, "action_mask": mask}}
    module, batch = DeepQLearning(QNetwork(inputs, ACTION, hidden=(8,)), double=double, loss="mse"), transitions()
    masks = (torch.rand(12, 4) < 0.5).float()
    masks[:, 3] = 1
    batch |= {"observation.action_mask": masks, "next.observation.action_mask": masks}
    errors, changed = [], 0
    with torch.no_grad():
        module.target.choices.bias += torch.randn(4)
        best = module.network(batch)[0].mode()
        assert masks.gather(1, best).all()
        for row in torch.nonzero(batch["weight"]).flatten().tolist():
            following = batch["next.observation.vector"][row]
            chooser = values_of(module.network if double else module.target, following)
            action = max(torch.nonzero(masks[row]).flatten().tolist(), key=lambda choice: float(chooser[choice]))
            changed += action != int(chooser.argmax())
            target = batch["reward"][row] + batch["bootstrap"][row] * values_of(module.target, following)[action]
            value = values_of(module.network, batch["observation.vector"][row])[int(batch["action"][row])]
            errors.append(float((value - target) ** 2))
    assert changed > 0
    assert float(module.training_step(batch, 0).detach()) == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_dqn_refuses_continuous_actions_and_invalid_settings() -> None:
    box: ActionSpec = {"kind": "box", "shape": [1], "dtype": "float32", "low": [-1.0], "high": [1.0]}
    with pytest.raises(ValueError, match="DQN needs discrete actions"):
        QNetwork(INPUTS, box)
    with pytest.raises(ValueError, match="loss must be one of huber, mse"):
        learner(loss="l1")
    with pytest.raises(ValueError, match="target_update_every"):
        learner(target_update_every=0)
