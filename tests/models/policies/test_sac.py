"""SAC: losses and gradients against independent computations."""

from __future__ import annotations

import math

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, distributions, nn
from torch.nn.functional import linear

from pamiq_exp.lightning_loop import LightningDriver
from pamiq_exp.models import SacNetwork, SoftActorCritic
from pamiq_exp.models.policies.off_policy_networks import EnsembleMlp
from pamiq_exp.spaces import ActionSpec

INPUTS = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}
PICTURES = {"observation": {"image": {"shape": [16, 16, 6], "dtype": "uint8"}}}
BOX: ActionSpec = {"kind": "box", "shape": [2], "dtype": "float32", "low": [-2.0, 0.0], "high": [2.0, 1.0]}
CHOICES: ActionSpec = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [2, 2]}
MIDDLE, REACH = torch.tensor([0.0, 0.5]), torch.tensor([2.0, 0.5])


def learner(action: ActionSpec, inputs: dict[str, object] = INPUTS) -> SoftActorCritic:
    torch.manual_seed(0)
    network = SacNetwork(inputs, action, channels=(4, 4), hidden=(8, 8), activation="tanh", image_features=5)
    module = SoftActorCritic(network, initial_temperature=0.3, shift=2)
    with torch.no_grad():
        for parameter in module.target_critic.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return module


def transitions(action: ActionSpec, size: int = 10) -> dict[str, Tensor]:
    torch.manual_seed(1)
    box = action["kind"] == "box"
    return {
        "observation.vector": torch.randn(size, 3),
        "next.observation.vector": torch.randn(size, 3),
        "action": MIDDLE + REACH * (2 * torch.rand(size, 2) - 1) if box else torch.randint(0, 2, (size, 2)),
        "reward": torch.randn(size),
        "bootstrap": torch.where(torch.arange(size) % 3 == 0, 0.0, 0.9),
        "weight": (torch.arange(size) % 4 != 0).float(),
    }


def trained_on(module: SoftActorCritic, batch: dict[str, Tensor]) -> LightningDriver:
    driver = LightningDriver("policy", module, Fabric(accelerator="cpu", devices=1))
    driver.begin_epoch()
    torch.manual_seed(2)
    driver.train_batch(batch, last=True)
    return driver


def of_member(network: EnsembleMlp, member: int, x: Tensor) -> Tensor:
    """What one MLP of an ensemble gives, as torch's linear layers compute it."""
    layers = list(zip(network.weights, network.biases, strict=True))
    for index, (weight, bias) in enumerate(layers):
        x = linear(x, weight[member].T, bias[member, 0])
        x = torch.tanh(x) if index < len(layers) - 1 else x
    return x


def squashed(head: nn.Module, features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """A reparametrized action, scaled to -1 to 1, and its log-density by torch's own distributions."""
    mean, log_std = head.layer(features).chunk(2, -1)  # type: ignore[operator, union-attr]
    normal = distributions.Normal(mean, log_std.exp())
    squashing = distributions.TransformedDistribution(normal, [distributions.TanhTransform(cache_size=1)])
    action = torch.tanh(mean + log_std.exp() * noise)
    return action, squashing.log_prob(action).sum(-1)


def test_sac_losses_and_gradients_of_continuous_actions_match_the_equations() -> None:
    module, batch = learner(BOX), transitions(BOX)
    torch.manual_seed(2)
    noise_next, noise = torch.randn(10, 2), torch.randn(10, 2)
    policy, critic = module.network.policy, module.network.critic
    temperature = 0.3
    observation, following = batch["observation.vector"], batch["next.observation.vector"]
    scaled = (batch["action"] - MIDDLE) / REACH
    with torch.no_grad():
        next_action, next_log_prob = squashed(policy.head, policy.body(following), noise_next)
        joined = torch.cat([following, next_action], -1)
        q_next = torch.min(*(of_member(module.target_critic.networks, k, joined) for k in (0, 1))).squeeze(-1)
        target = batch["reward"] + batch["bootstrap"] * (q_next - temperature * next_log_prob)
    keep = batch["weight"] > 0
    joined = torch.cat([observation, scaled], -1)
    q = [of_member(critic.networks, k, joined).squeeze(-1) for k in (0, 1)]
    critic_loss = sum(0.5 * ((each - target) ** 2)[keep].mean() for each in q)
    action, log_prob = squashed(policy.head, policy.body(observation), noise)
    q_policy = torch.min(*(of_member(critic.networks, k, torch.cat([observation, action], -1)) for k in (0, 1)))
    policy_loss = (temperature * log_prob - q_policy.squeeze(-1))[keep].mean()
    temperature_loss = (-module.log_temperature.exp() * (log_prob.detach() - 2.0))[keep].mean()
    acting = [*policy.body.parameters(), *policy.head.parameters()]
    critics = list(critic.parameters())
    expected = [
        *torch.autograd.grad(policy_loss, acting, retain_graph=True),
        *torch.autograd.grad(critic_loss, critics),
        *torch.autograd.grad(temperature_loss, [module.log_temperature]),
    ]
    driver = trained_on(module, batch)
    logged = driver.logged.values
    assert logged["critic_loss"] == pytest.approx(float(critic_loss.detach()), abs=1e-5)
    assert logged["policy_loss"] == pytest.approx(float(policy_loss.detach()), abs=1e-5)
    assert driver.loss == pytest.approx(float((critic_loss + policy_loss + temperature_loss).detach()), abs=1e-5)
    for parameter, gradient in zip([*acting, *critics, module.log_temperature], expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-5)


def test_sac_losses_of_discrete_actions_take_the_expectation_over_all_choices() -> None:
    module, batch = learner(CHOICES), transitions(CHOICES)
    policy, critic = module.network.policy, module.network.critic
    joint = batch["action"][:, 0] * 2 + batch["action"][:, 1]
    critic_loss, policy_loss, entropy, count = 0.0, 0.0, 0.0, 0
    with torch.no_grad():
        for row in torch.nonzero(batch["weight"]).flatten().tolist():
            observation, following = batch["observation.vector"][row], batch["next.observation.vector"][row]
            p_next = torch.softmax(policy.head(policy.body(following)), -1)
            q_next = torch.min(*(of_member(module.target_critic.networks, k, following) for k in (0, 1)))
            v_next = sum(p_next[a] * (q_next[a] - 0.3 * p_next[a].log()) for a in range(4))
            target = batch["reward"][row] + batch["bootstrap"][row] * v_next
            q = [of_member(critic.networks, k, observation) for k in (0, 1)]
            critic_loss += float(sum(0.5 * (each[joint[row]] - target) ** 2 for each in q))
            p = torch.softmax(policy.head(policy.body(observation)), -1)
            policy_loss += float(sum(p[a] * (0.3 * p[a].log() - torch.min(*q)[a]) for a in range(4)))
            entropy -= float((p * p.log()).sum())
            count += 1
    driver = trained_on(module, batch)
    assert driver.logged.values["critic_loss"] == pytest.approx(critic_loss / count, abs=1e-5)
    assert driver.logged.values["policy_loss"] == pytest.approx(policy_loss / count, abs=1e-5)
    assert driver.logged.values["policy_entropy"] == pytest.approx(entropy / count, abs=1e-5)
    assert module.network.target_entropy == pytest.approx(0.98 * math.log(4))


def test_sac_excludes_forbidden_choices_from_values_policy_and_target_entropy() -> None:
    mask = {"shape": [4], "dtype": "float32", "low": 0.0, "high": 1.0}
    module = learner(CHOICES, {"observation": {"vector": {"shape": [3], "dtype": "float32"}, "action_mask": mask}})
    policy, critic = module.network.policy, module.network.critic
    allowed, next_allowed = torch.tensor([1.0, 1, 1, 0]), torch.tensor([0.0, 1, 1, 1])  # joint: 0, 2 and 2, 3
    batch = transitions(CHOICES)
    batch["observation.action_mask"] = allowed.expand(10, 4)
    batch["next.observation.action_mask"] = next_allowed.expand(10, 4)
    batch["action"][:, 1] = 0
    critic_loss, policy_loss, keep = 0.0, 0.0, torch.nonzero(batch["weight"]).flatten().tolist()
    with torch.no_grad():
        for row in keep:
            observation, following = batch["observation.vector"][row], batch["next.observation.vector"][row]
            p_next = torch.softmax(policy.head(policy.body(following))[[2, 3]], -1)
            q_next = torch.min(*(of_member(module.target_critic.networks, k, following) for k in (0, 1)))[[2, 3]]
            target = batch["reward"][row] + batch["bootstrap"][row] * (p_next * (q_next - 0.3 * p_next.log())).sum()
            q = [of_member(critic.networks, k, observation) for k in (0, 1)]
            critic_loss += float(sum(0.5 * (each[2 * batch["action"][row, 0]] - target) ** 2 for each in q))
            p = torch.softmax(policy.head(policy.body(observation))[[0, 2]], -1)
            policy_loss += float((p * (0.3 * p.log() - torch.min(*q)[[0, 2]])).sum())
    driver = trained_on(module, batch)
    assert driver.logged.values["critic_loss"] == pytest.approx(critic_loss / len(keep), abs=1e-5)
    assert driver.logged.values["policy_loss"] == pytest.approx(policy_loss / len(keep), abs=1e-5)
    difference = driver.logged.values["policy_entropy"] - 0.98 * math.log(2)
    assert module.log_temperature.grad is not None
    assert float(module.log_temperature.grad) == pytest.approx(0.3 * difference, abs=1e-5)


def test_sac_updates_target_critics_by_tau_and_temperature_by_target_entropy() -> None:
    module, batch = learner(BOX), transitions(BOX)
    module.tau, module.target_entropy = 0.25, 100.0
    before = [parameter.clone() for parameter in module.target_critic.parameters()]
    trained_on(module, batch)
    pairs = zip(before, module.target_critic.parameters(), module.network.critic.parameters(), strict=True)
    for old, new, critic in pairs:
        assert torch.allclose(new, 0.75 * old + 0.25 * critic, atol=1e-6)
    assert float(module.log_temperature.exp()) > 0.3  # the entropy is below its target
    assert not any(parameter.requires_grad for parameter in module.target_critic.parameters())


def test_sac_image_encoder_is_trained_only_by_the_critics() -> None:
    module = learner(BOX, PICTURES)
    batch = transitions(BOX)
    for name in ("observation.vector", "next.observation.vector"):
        del batch[name]
        batch[name.replace("vector", "image")] = torch.randint(0, 256, (10, 16, 16, 6), dtype=torch.uint8)
    encoder = list(module.network.policy.encoder.parameters())
    torch.manual_seed(3)
    both = torch.autograd.grad(module.training_step(batch, 0), encoder)
    zero = torch.zeros_like(batch["action"])
    module.network.critic.values = lambda features, action: zero[:, 0].expand(2, -1) + 0 * features.sum()  # type: ignore[method-assign]
    torch.manual_seed(3)
    without = torch.autograd.grad(module.training_step(batch, 0), encoder)
    assert any((gradient != 0).any() for gradient in both)
    assert all((gradient == 0).all() for gradient in without)


def test_sac_refuses_actions_without_bounds() -> None:
    unbounded: ActionSpec = {**BOX, "high": [2.0, math.inf]}
    with pytest.raises(ValueError, match="SAC needs actions with bounds"):
        learner(unbounded)
