"""PPO: the loss against an independent computation, and bandits that it solves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor

from pamiq_exp.lightning_loop import LightningDriver, TrainingPlan
from pamiq_exp.models import ActorCritic, PolicyValueNetwork
from pamiq_exp.models.policies.ppo import clipped_surrogate, explained_variance, weighted_mean
from pamiq_exp.seeding import torch_generator
from pamiq_exp.spaces import ActionSpec
from pamiq_exp.trainers import OnPolicyTrainer
from tests.cases import error_of

OBSERVATION = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}


def discrete(*nvec: int) -> ActionSpec:
    return {"kind": "multi_discrete", "shape": [len(nvec)], "dtype": "int64", "nvec": list(nvec)}


def network(action: ActionSpec, **options: bool) -> PolicyValueNetwork:
    torch.manual_seed(0)
    return PolicyValueNetwork(OBSERVATION, action, hidden=(16,), activation="tanh", **options)


def minibatch(module: ActorCritic, action: ActionSpec, size: int = 12, seed: int = 0) -> dict[str, Tensor]:
    generator = torch_generator(seed)
    observation = {"observation.vector": torch.randn(size, 3, generator=generator)}
    with torch.no_grad():
        distribution, value = module(observation)
        actions = distribution.sample(generator)
        branch_log_prob = distribution.branch_log_prob(actions)
    return observation | {
        "action": actions,
        "log_prob": branch_log_prob.sum(-1),
        "branch_log_prob": branch_log_prob,
        "value": value,
        "advantage": torch.randn(size, generator=generator),
        "return": torch.randn(size, generator=generator),
        "weight": torch.ones(size),
    }


def moved(module: ActorCritic) -> ActorCritic:
    """Move the policy away from the one that acted, so that ratios differ from 1."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch_generator(5)))
    return module


def test_ppo_loss_matches_a_float64_loop() -> None:
    action = discrete(3, 2)
    module = ActorCritic(network(action), clip=0.1, value_coefficient=0.7, entropy_coefficient=0.03, value_clip=None)
    batch = minibatch(module, action)
    batch["weight"][3] = 0
    module = moved(module)
    with torch.no_grad():
        module.observe_returns(batch["return"][batch["weight"] > 0])
        loss = float(module.training_step(batch, 0))
        distribution, value = module(batch)
    log_probs = distribution.log_probs.double().numpy()
    policy, value_loss, entropy = [], [], []
    deviation = np.std([float(batch["return"][row]) for row in range(12) if row != 3])
    for row in range(12):
        if row == 3:
            continue
        new = sum(log_probs[row, branch, int(batch["action"][row, branch])] for branch in range(2))
        ratio, advantage = math.exp(new - float(batch["log_prob"][row])), float(batch["advantage"][row])
        policy.append(min(ratio * advantage, min(max(ratio, 0.9), 1.1) * advantage))
        value_loss.append(0.5 * ((float(value[row]) - float(batch["return"][row])) / deviation) ** 2)
        probabilities = [log_probs[row, 0, :3], log_probs[row, 1, :2]]
        entropy.append(-sum(float((np.exp(branch) * branch).sum()) for branch in probabilities))
    expected = -np.mean(policy) + 0.7 * np.mean(value_loss) - 0.03 * np.mean(entropy)
    assert loss == pytest.approx(expected, rel=1e-4)


def test_ppo_loss_ignores_transitions_with_weight_0() -> None:
    action = discrete(3)
    module = ActorCritic(network(action))
    batch = minibatch(module, action)
    batch["weight"][5] = 0
    module = moved(module)
    wild = {name: value.clone() for name, value in batch.items()}
    for name in ("advantage", "return", "log_prob", "value"):
        wild[name][5] = 50.0
    torch.testing.assert_close(module.training_step(batch, 0), module.training_step(wild, 0))


def test_ppo_joint_gradient_at_ratio_1_is_the_branch_gradient_times_the_branches() -> None:
    action = discrete(3, 3, 2)
    gradients = []
    for ratio in ("joint", "branch"):
        module = ActorCritic(network(action), value_coefficient=0, entropy_coefficient=0, ratio=ratio)
        batch = minibatch(module, action)
        module.training_step(batch, 0).backward()
        gradients.append(module.network.policy.logits.weight.grad)
    torch.testing.assert_close(gradients[0], 3 * gradients[1])


def test_clipped_surrogate_has_no_gradient_beyond_the_clip_range() -> None:
    log_ratio = torch.tensor([0.5, 0.5, -0.5, -0.5, 0.05], requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    surrogate = clipped_surrogate(log_ratio, advantage, torch.ones(5), clip=0.2)
    surrogate.loss.backward()
    assert log_ratio.grad is not None
    assert (log_ratio.grad != 0).tolist() == [False, True, True, False, True]
    assert float(surrogate.clip_fraction) == pytest.approx(0.8)
    expected_kl = np.mean([math.exp(x) - 1 - x for x in log_ratio.tolist()])
    assert float(surrogate.approximate_kl) == pytest.approx(expected_kl, rel=1e-5)


def test_ppo_value_clip_is_in_units_of_the_standard_deviation_of_returns() -> None:
    action = discrete(2)
    module = ActorCritic(network(action), value_clip=0.1)
    batch = minibatch(module, action, size=64)
    batch["return"] = 100 * batch["return"]
    module = moved(module)
    module.network.value.observe(batch["return"])
    value = module(batch)[1].detach()
    batch["value"] = value - 50.0
    limit = 0.1 * float(batch["return"].std(correction=0))
    assert limit < 50
    limited = batch["value"] + limit
    target = batch["return"]
    expected = (
        0.5 * torch.maximum((value - target) ** 2, (limited - target) ** 2).mean() / batch["return"].var(correction=0)
    )
    torch.testing.assert_close(module._value_loss(value, batch), expected)


def test_ppo_refuses_a_column_in_place_of_a_vector() -> None:
    action = discrete(2)
    module = ActorCritic(network(action))
    batch = minibatch(module, action)
    for field in ("log_prob", "value", "advantage", "return", "weight"):
        column = batch | {field: batch[field][:, None]}
        assert field in error_of(ValueError, module.training_step, column, 0)


def test_ppo_error_names_a_missing_field() -> None:
    action = discrete(2)
    module = ActorCritic(network(action))
    batch = minibatch(module, action)
    del batch["weight"]
    with pytest.raises(KeyError, match="weight"):
        module.training_step(batch, 0)


def test_weighted_mean_refuses_unequal_shapes() -> None:
    with pytest.raises(ValueError, match="same shape"):
        weighted_mean(torch.zeros(3, 1), torch.ones(3))


def test_explained_variance_is_1_for_exact_values_and_0_for_a_constant() -> None:
    target, weight = torch.randn(50), torch.ones(50)
    assert float(explained_variance(target + 3, target, weight)) == pytest.approx(1.0)
    assert float(explained_variance(torch.zeros(50), target, weight)) == pytest.approx(0.0, abs=1e-5)


def test_ppo_learning_rate_falls_to_zero_over_the_planned_steps() -> None:
    action = discrete(2)
    module = ActorCritic(network(action), learning_rate=1e-2, learning_rate_schedule="linear")
    driver = driven(module, TrainingPlan(batches=2, epochs=2))
    rates = []
    for _ in range(3):
        driver.begin_epoch()
        for _ in range(2):
            rates.append(driver.optimizers[0].param_groups[0]["lr"])
            driver.train_batch(minibatch(module, action))
        driver.end_epoch()
    assert rates == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3, 0, 0])


def test_ppo_learning_rate_of_an_extended_run_follows_the_longer_schedule() -> None:
    action = discrete(2)

    def driver_of(epochs: int) -> LightningDriver:
        return driven(
            ActorCritic(network(action), learning_rate=1e-2, learning_rate_schedule="linear"), TrainingPlan(1, epochs)
        )

    short, longer = driver_of(4), driver_of(8)
    for _ in range(4):
        short.train_batch(minibatch(short.module, action))
    longer.load_state(short.state())
    longer.train_batch(minibatch(longer.module, action))
    assert short.optimizers[0].param_groups[0]["lr"] == 0
    assert longer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-2 * 3 / 8)


def test_ppo_refuses_a_linear_learning_rate_schedule_without_max_steps() -> None:
    module = ActorCritic(network(discrete(2)), learning_rate_schedule="linear")
    with pytest.raises(ValueError, match=r"launcher\.max_steps, or learning_rate_schedule: constant"):
        driven(module, TrainingPlan(batches=4))


@pytest.mark.parametrize(("max_steps", "num_envs", "expected"), [(150_000, 8, 146), (26_000, 1, 203), (100, 8, 0)])
def test_on_policy_trainer_plan_counts_its_rollouts(max_steps: int, num_envs: int, expected: int) -> None:
    trainer = OnPolicyTrainer("policy", "rollout", 128, epochs=10, minibatches=4)
    assert trainer.plan(max_steps, num_envs) == TrainingPlan(batches=40, epochs=expected)
    assert trainer.plan(None, num_envs) == TrainingPlan(batches=40, epochs=None)


def driven(module: ActorCritic, plan: TrainingPlan) -> LightningDriver:
    return LightningDriver("policy", module, Fabric(accelerator="cpu", devices=1), plan=plan)


def bandit_policy(action: ActionSpec, rounds: int, ratio: str = "joint") -> tuple[Tensor, Tensor]:
    """Learn a bandit that pays for choice 1 of the first branch only (or for a small Box action).

    Returns the mean reward of the learned policy and its entropies by branch.
    """
    module = ActorCritic(network(action), learning_rate=1e-2, entropy_coefficient=0.01, ratio=ratio)  # type: ignore[arg-type]
    optimizer = module.configure_optimizers()
    generator = torch_generator(1)
    observation = {"observation.vector": torch.zeros(256, 3)}
    for _ in range(rounds):
        with torch.no_grad():
            distribution, value = module(observation)
            actions = distribution.sample(generator)
            branch_log_prob = distribution.branch_log_prob(actions)
            reward = pay(actions)
        advantage = (reward - reward.mean()) / (reward.std() + 1e-8)
        batch = observation | {
            "action": actions,
            "log_prob": branch_log_prob.sum(-1),
            "branch_log_prob": branch_log_prob,
            "value": value,
            "advantage": advantage,
            "return": reward,
            "weight": torch.ones(256),
        }
        for _ in range(4):
            loss = module.training_step(batch, 0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        distribution, _ = module(observation)
        return pay(distribution.sample(generator)).mean(), distribution.branch_entropy()[0]


def pay(action: Tensor) -> Tensor:
    if action.is_floating_point():
        return -(action[:, 0] - 0.5).square()
    return (action[:, 0] == 1).float()


@pytest.mark.parametrize("ratio", ["joint", "branch"])
def test_ppo_becomes_certain_only_in_the_rewarded_branch(ratio: str) -> None:
    reward, entropy = bandit_policy(discrete(4, 3, 3), 60, ratio)
    assert reward > 0.95
    assert entropy[0] < 0.3
    assert (entropy[1:] > 0.9 * math.log(3)).all()


def test_ppo_solves_a_continuous_bandit() -> None:
    box: ActionSpec = {"kind": "box", "shape": [2], "dtype": "float32", "low": [-1, -1], "high": [1, 1]}
    reward, _ = bandit_policy(box, 120)
    assert reward > -0.1


@pytest.mark.parametrize("separate", [False, True])
def test_policy_value_network_value_has_only_the_batch_axes(separate: bool) -> None:
    distribution, value = network(discrete(3, 2), separate=separate)({"observation.vector": torch.randn(4, 5, 3)})
    assert value.shape == (4, 5)
    assert distribution.entropy().shape == (4, 5)


def test_policy_value_network_with_separate_layers_keeps_value_gradients_separate() -> None:
    module = network(discrete(3), separate=True)
    _, value = module({"observation.vector": torch.randn(4, 3)})
    value.sum().backward()
    assert all(parameter.grad is None for parameter in module.body.parameters())


def test_policy_value_network_acts_on_latents() -> None:
    module = PolicyValueNetwork({"latent": {"shape": [8]}}, discrete(2))
    assert module({"latent": torch.randn(3, 8), "observation.image": torch.zeros(3, 2)})[1].shape == (3,)


def test_ppo_refuses_an_unknown_ratio() -> None:
    with pytest.raises(ValueError, match="branch"):
        ActorCritic(network(discrete(2)), ratio="both")  # type: ignore[arg-type]
