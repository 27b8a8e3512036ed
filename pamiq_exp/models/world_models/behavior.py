"""Behavior learned from imagined trajectories: policy, critic and their losses (Hafner et al. 2023, DreamerV3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.action_distributions import ActionDistribution, make_action_head
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork
from pamiq_exp.models.nn.running_moments import Statistics
from pamiq_exp.models.nn.two_hot import TwoHotHead
from pamiq_exp.models.policies.ppo import weighted_mean
from pamiq_exp.models.world_models.imagination import Imagined, lambda_returns
from pamiq_exp.spaces import ActionSpec, ArraySpec


class TwoHotNetwork(nn.Module):
    """From latent vectors to a number, by linear layers and a two-hot head: critics and reward heads.

    Args:
        features: Size of a latent vector.
        hidden: Widths of the linear layers.
        activation: What follows each of them.
        layer_norm: See `mlp`.
    """

    def __init__(
        self, features: int, hidden: Sequence[int], activation: ActivationName, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.body = _latent_body(features, hidden, activation, layer_norm)
        self.head = TwoHotHead(self.body.width)

    def forward(self, latent: Tensor) -> Tensor:
        """`(..., features)` -> `(...)`."""
        value: Tensor = self.head(self.body({"latent": latent}))
        return value

    def loss(self, latent: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy against targets `(...)`, for latents `(..., features)`: `(...)`."""
        return self.head.loss(self.body({"latent": latent}), target)


class ImaginationPolicy(nn.Module):
    """A policy and a critic on latent vectors, without common layers.

    Args:
        features: Size of a latent vector.
        action: The action space.
        hidden: Widths of the linear layers of each.
        activation: What follows each layer.
        uniform: Weight of the uniform distribution that is mixed into discrete actions.
        layer_norm: See `mlp`.
    """

    def __init__(
        self,
        features: int,
        action: ActionSpec,
        hidden: Sequence[int] = (256, 256),
        activation: ActivationName = "silu",
        uniform: float = 0.01,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.body = _latent_body(features, hidden, activation, layer_norm)
        self.policy = make_action_head(self.body.width, action, uniform)
        self.critic = TwoHotNetwork(features, hidden, activation, layer_norm)

    def act(self, latent: Tensor) -> ActionDistribution:
        """Return the distribution over actions for latents `(..., features)`."""
        distribution: ActionDistribution = self.policy(self.body({"latent": latent}))
        return distribution

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """Return the distribution over actions and the value, `(...)`, for the field `latent (..., features)`."""
        return self.act(batch["latent"]), self.critic(batch["latent"])


class ReturnRange(Statistics):
    """Range from the 5th to the 95th percentile of returns, as a moving average over batches.

    Args:
        ema_decay: new = ema_decay * old + (1 - ema_decay) * range of the batch.
    """

    width: Tensor

    def __init__(self, ema_decay: float = 0.99) -> None:
        super().__init__()
        self.ema_decay = float(ema_decay)
        self.register_buffer("width", torch.full((), -1.0, dtype=torch.float64))

    @torch.no_grad()
    def update(self, returns: Tensor) -> Tensor:
        """Update with returns of any shape, and return the divisor of advantages: the range, but at least 1."""
        low, high = torch.quantile(returns.flatten(), returns.new_tensor([0.05, 0.95]))
        new = (high - low).double()
        self.width = torch.where(self.width < 0, new, self.width.lerp(new, 1 - self.ema_decay))
        return self.width.clamp(min=1).to(returns.dtype)


@dataclass(frozen=True)
class BehaviorSettings:
    """How a policy and a critic learn from imagined trajectories.

    Attributes:
        gamma: Discount factor.
        return_lambda: See `lambda_returns`.
        entropy_coefficient: Weight of the entropy bonus (joint entropy, in nats).
        slow_weight: Weight of the loss toward the slow critic.
    """

    gamma: float = 0.997
    return_lambda: float = 0.95
    entropy_coefficient: float = 3e-4
    slow_weight: float = 1.0


class BehaviorLosses(NamedTuple):
    """Losses on a batch of imagined trajectories, scalars, the mean imagined return, and that of each start, `(N,)`."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    imagined_return: Tensor
    start_return: Tensor

    def metrics(self) -> dict[str, Tensor]:
        """What a module logs of them."""
        return {
            "policy_loss": self.policy,
            "value_loss": self.value,
            "entropy": self.entropy,
            "imagined_return": self.imagined_return,
        }


def behavior_losses(
    network: ImaginationPolicy,
    slow_critic: TwoHotNetwork,
    return_range: ReturnRange,
    imagined: Imagined,
    weight: Tensor,
    settings: BehaviorSettings,
) -> BehaviorLosses:
    """Losses of policy and critic on imagined trajectories.

    The policy loss is REINFORCE: log-probabilities times advantages, divided by the range of returns where that is
    above 1, plus an entropy bonus. The critic learns the lambda-returns, regularized toward the slow critic.

    Args:
        network: Policy and critic.
        slow_critic: Moving average of the critic.
        return_range: Is updated with the returns of trajectories that count.
        imagined: The trajectories.
        weight: Of each imagined step, `(H, N)`.
        settings: The settings.

    Source: Hafner et al. 2023, sections "Critic learning" and "Actor learning".
    """
    with torch.no_grad():
        value = network.critic(imagined.latent)
        returns = lambda_returns(imagined.reward, imagined.continuation, value, settings.gamma, settings.return_lambda)
        counts = weight > 0.5
        scale = return_range.update(returns[counts] if bool(counts.any()) else returns)
        advantage = (returns - value[:-1]) / scale
        slow_value = slow_critic(imagined.latent[:-1])
    distribution = network.act(imagined.latent[:-1])
    policy_loss = -weighted_mean(distribution.log_prob(imagined.action) * advantage, weight)
    entropy = weighted_mean(distribution.entropy(), weight)
    value_loss = weighted_mean(network.critic.loss(imagined.latent[:-1], returns), weight)
    slow_loss = weighted_mean(network.critic.loss(imagined.latent[:-1], slow_value), weight)
    total = policy_loss - settings.entropy_coefficient * entropy + value_loss + settings.slow_weight * slow_loss
    return BehaviorLosses(total, policy_loss, value_loss, entropy, weighted_mean(returns, weight), returns[0])


@torch.no_grad()
def update_slow(slow: nn.Module, fast: nn.Module, ema_decay: float) -> None:
    """Move the parameters of a slow copy: new = ema_decay * slow + (1 - ema_decay) * fast."""
    for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
        old.lerp_(new, 1 - ema_decay)


def training_generator(device: torch.device) -> torch.Generator:
    """The generator that training draws from on `device`; the launcher seeds and saves it."""
    if device.type == "cuda":
        generators = cast("Sequence[torch.Generator]", torch.cuda.default_generators)
        return generators[device.index or 0]
    return torch.default_generator


def _latent_body(features: int, hidden: Sequence[int], activation: ActivationName, layer_norm: bool) -> FieldsNetwork:
    fields = {"latent": ArraySpec(shape=[features], dtype="float32")}
    return FieldsNetwork(fields, (), hidden, activation, layer_norm=layer_norm)
