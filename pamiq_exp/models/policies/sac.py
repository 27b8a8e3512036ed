"""Soft actor-critic as a LightningModule (Haarnoja et al. 2018)."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.nn.action_distributions import ActionDistribution
from pamiq_exp.models.nn.action_mask import ActionMask, split_action_mask
from pamiq_exp.models.nn.inputs import ActionScale, Batch, is_image
from pamiq_exp.models.nn.joint_actions import JointActions, JointCategorical
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork, mlp
from pamiq_exp.models.nn.random_shift import random_shift
from pamiq_exp.models.nn.squashed_gaussian import SquashedGaussian, SquashedGaussianHead, has_bounds
from pamiq_exp.models.policies.off_policy_networks import EnsembleMlp, follow, image_trunk, next_inputs
from pamiq_exp.models.policies.ppo import weighted_mean
from pamiq_exp.spaces import ActionSpec, ArraySpec, flatten_specs

CRITICS = 2
"""Action-value networks; the smaller value counts (Fujimoto et al. 2018)."""


class SacPolicy(nn.Module):
    """The part of SAC that acts: an encoder of the inputs, and the policy on its features.

    Args:
        fields: The input fields.
        action: The action space.
        channels: Widths of the convolutional layers, if an input is an image.
        hidden: Widths of the linear layers.
        activation_name: What follows each layer.
        image_features: Size of the vector between convolutions and linear layers.
        mask: Reads which choices an observation allows; None without masks.
    """

    def __init__(
        self,
        fields: Mapping[str, ArraySpec],
        action: ActionSpec,
        channels: Sequence[int],
        hidden: Sequence[int],
        activation_name: ActivationName,
        image_features: int,
        mask: ActionMask | None = None,
    ) -> None:
        super().__init__()
        self.mask = mask
        self.encoder = FieldsNetwork(fields, channels, (), activation_name)
        self.trunk, width = image_trunk(fields, self.encoder.width, image_features)
        self.body = mlp(width, hidden, activation_name)
        width = hidden[-1] if hidden else width
        self.joint: JointActions | None = None
        self.head: nn.Module
        if action["kind"] == "box":
            self.head = SquashedGaussianHead(width, action)
        else:
            self.joint = JointActions(action, "SAC")
            self.head = nn.Linear(width, self.joint.count)

    def act(self, features: Tensor, batch: Batch) -> ActionDistribution:
        """Return the distribution over actions for features of the encoder, `(batch, width)`, and masks of a batch."""
        output = self.head(self.body(self.trunk(features)))
        if self.joint is not None:
            return JointCategorical(output, self.joint, self.allowed(batch))
        assert isinstance(output, SquashedGaussian)
        return output

    def forward(self, batch: Batch) -> tuple[ActionDistribution, None]:
        """Return the distribution over actions of each environment, and no value: SAC has none of observations."""
        return self.act(self.encoder(batch), batch), None

    def allowed(self, batch: Batch) -> Tensor | None:
        """Return which joint choices a batch allows, `(batch, choices)`; None for all."""
        return None if self.joint is None or self.mask is None else self.joint.allowed(self.mask(batch))


class SoftCritic(nn.Module, ABC):
    """Base class of two soft action-value networks on features of the encoder."""

    @abstractmethod
    def values(self, features: Tensor, action: Tensor) -> Tensor:
        """Return Q of canonical actions `(batch, branches)`: `(2, batch)`."""

    @abstractmethod
    def soft_value(self, features: Tensor, policy: ActionDistribution, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Return the soft value of each observation under a policy, and the policy's entropy, both `(batch,)`.

        V = E[min(Q_1, Q_2) + temperature * entropy]. Gradients reach the policy, not the critic.
        """


class BoxCritic(SoftCritic):
    """Soft action values of continuous actions; expectations are taken over one sample. See `SacNetwork`."""

    def __init__(
        self,
        fields: Mapping[str, ArraySpec],
        action: ActionSpec,
        width: int,
        hidden: Sequence[int],
        activation_name: ActivationName,
        image_features: int,
    ) -> None:
        super().__init__()
        self.scale = ActionScale(action)
        self.trunk, width = image_trunk(fields, width, image_features)
        self.networks = EnsembleMlp(CRITICS, width + math.prod(action["shape"]), hidden, 1, activation_name)

    def values(self, features: Tensor, action: Tensor) -> Tensor:
        """See the base class."""
        values: Tensor = self.networks(torch.cat([self.trunk(features), self.scale.read(action)], -1))
        return values.squeeze(-1)

    def soft_value(self, features: Tensor, policy: ActionDistribution, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        assert isinstance(policy, SquashedGaussian)
        action, log_prob = policy.rsample()
        with torch.no_grad():
            state = self.trunk(features)
        values = self.networks(torch.cat([state, action], -1), frozen=True).squeeze(-1)
        return torch.minimum(*values) - temperature * log_prob, -log_prob


class ChoiceCritic(SoftCritic):
    """Soft action values of all joint choices; expectations are exact. See `SacNetwork`."""

    def __init__(
        self,
        fields: Mapping[str, ArraySpec],
        action: ActionSpec,
        width: int,
        hidden: Sequence[int],
        activation_name: ActivationName,
        image_features: int,
    ) -> None:
        super().__init__()
        self.joint = JointActions(action, "SAC")
        self.trunk, width = image_trunk(fields, width, image_features)
        self.networks = EnsembleMlp(CRITICS, width, hidden, self.joint.count, activation_name)

    def values(self, features: Tensor, action: Tensor) -> Tensor:
        """See the base class."""
        values: Tensor = self.networks(self.trunk(features))
        index = self.joint.index(action).expand(CRITICS, -1).unsqueeze(-1)
        return values.gather(-1, index).squeeze(-1)

    def soft_value(self, features: Tensor, policy: ActionDistribution, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        assert isinstance(policy, JointCategorical)
        with torch.no_grad():
            values = torch.minimum(*self.networks(self.trunk(features)))
        value = (policy.log_probs.exp() * (values - temperature * policy.log_probs)).sum(-1)
        return value, policy.entropy()


class SacNetwork(nn.Module):
    """Policy and critics of SAC, for any inputs, and continuous or discrete actions.

    Images pass through one convolutional encoder for policy and critics, which learns from the critics alone.

    Args:
        inputs: The input fields, named as in buffers, and masks; see `PolicyValueNetwork`.
        action: The action space. Continuous actions need bounds.
        channels: Widths of the convolutional layers, if an input is an image.
        hidden: Widths of the linear layers of the policy, and of each critic.
        activation: After each layer.
        image_features: Size of the vector between convolutions and linear layers.

    Raises:
        ValueError: For continuous actions without bounds.

    Sources: Haarnoja et al. 2018, Soft actor-critic algorithms and applications; Christodoulou 2019, Soft actor-critic
    for discrete action settings; for images Yarats et al. 2021, Mastering visual continuous control (DrQ-v2).
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        action: ActionSpec,
        channels: Sequence[int] = (32, 32, 32),
        hidden: Sequence[int] = (256, 256),
        activation: ActivationName = "relu",
        image_features: int = 50,
    ) -> None:
        super().__init__()
        if action["kind"] == "box" and not has_bounds(action):
            raise ValueError(
                "SAC needs actions with bounds on both sides, and some of this environment's have none: choose "
                "policy=ppo, or bound them with a wrapper"
            )
        fields, mask = split_action_mask(flatten_specs(inputs), action)
        self.images = [name for name, spec in fields.items() if is_image(spec)]
        self.policy = SacPolicy(fields, action, channels, hidden, activation, image_features, mask)
        kind = BoxCritic if action["kind"] == "box" else ChoiceCritic
        self.critic: SoftCritic = kind(fields, action, self.policy.encoder.width, hidden, activation, image_features)
        choices = self.policy.joint
        self.target_entropy = -float(math.prod(action["shape"])) if choices is None else 0.98 * math.log(choices.count)
        """-(number of continuous actions), or 0.98 of the entropy of equally likely choices."""


class SoftActorCritic(LightningModule):
    """Soft actor-critic with a learned temperature, trained on the batches of an `OffPolicyTrainer`.

    The target of the critics is y = reward + bootstrap * V(next observation), where V is the smaller of two target
    critics' values plus temperature * entropy; the policy maximizes V of the critics; the temperature keeps the
    policy's entropy at its target. One backward pass takes all three gradients at the same parameters.

    Sources: Haarnoja et al. 2018, Soft actor-critic algorithms and applications, equations 5 to 9 and 18 and algorithm
    1; see `SacNetwork` for discrete actions and images.

    Args:
        network: Policy and critics.
        tau: Of the target critics: target = (1 - tau) * target + tau * critic after each batch.
        learning_rate: Of Adam, for policy and temperature.
        critic_learning_rate: Likewise for critics and encoder; None for the same.
        initial_temperature: Before anything is learned.
        target_entropy: In nats, of actions scaled to -1 to 1; None for that of `SacNetwork`.
        shift: Pixels by which images are shifted at random (`random_shift`); 0 for none.
    """

    def __init__(
        self,
        network: SacNetwork,
        tau: float = 0.005,
        learning_rate: float = 3e-4,
        critic_learning_rate: float | None = None,
        initial_temperature: float = 1.0,
        target_entropy: float | None = None,
        shift: int = 4,
    ) -> None:
        super().__init__()
        self.network = network
        self.target_critic = copy.deepcopy(network.critic).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(initial_temperature)))
        self.tau = float(tau)
        self.learning_rate = float(learning_rate)
        self.critic_learning_rate = self.learning_rate if critic_learning_rate is None else float(critic_learning_rate)
        self.target_entropy = None if target_entropy is None else float(target_entropy)
        self.shift = int(shift)

    def inference_module(self) -> SacPolicy:
        """Inference needs only the policy."""
        return self.network.policy

    def forward(self, batch: Batch) -> tuple[ActionDistribution, None]:
        """See `SacPolicy.forward`."""
        output: tuple[ActionDistribution, None] = self.network.policy(batch)
        return output

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Losses of critics, policy and temperature on a batch of transitions."""
        policy, critic, weight = self.network.policy, self.network.critic, batch["weight"]
        temperature = self.log_temperature.exp()
        features = policy.encoder(self._shifted(batch))
        with torch.no_grad():
            next_batch = self._shifted(next_inputs(batch, policy.encoder.fields, policy.mask))
            following = policy.encoder(next_batch)
            next_value, _ = self.target_critic.soft_value(following, policy.act(following, next_batch), temperature)
            target = batch["reward"] + batch["bootstrap"] * next_value
        values = critic.values(features, batch["action"])
        critic_loss = 0.5 * weighted_mean((values - target).square().sum(0), weight)
        seen = features.detach()
        value, entropy = critic.soft_value(seen, policy.act(seen, batch), temperature.detach())
        policy_loss = -weighted_mean(value, weight)
        mean_entropy = weighted_mean(entropy.detach(), weight)
        temperature_loss = temperature * (mean_entropy - self._target_entropy(batch))
        loss = critic_loss + policy_loss + temperature_loss
        self.log_dict(
            {
                "loss": loss,
                "critic_loss": critic_loss,
                "policy_loss": policy_loss,
                "temperature": temperature,
                "policy_entropy": mean_entropy,
                "action_value": weighted_mean(values[0].detach(), weight),
            }
        )
        return loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_index: int) -> None:
        """Move the target critics."""
        follow(self.target_critic, self.network.critic, self.tau)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, with a group each for policy, critics and temperature."""
        policy, encoder = self.network.policy, self.network.policy.encoder
        acting = [*policy.trunk.parameters(), *policy.body.parameters(), *policy.head.parameters()]
        judging = [*encoder.parameters(), *self.network.critic.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": acting},
            {"params": judging, "lr": self.critic_learning_rate},
            {"params": [self.log_temperature]},
        ]
        return torch.optim.Adam(groups, lr=self.learning_rate, fused=True)

    def _target_entropy(self, batch: Batch) -> Tensor | float:
        """Of a batch: where choices are forbidden, 0.98 of the entropy of those that are left."""
        if self.target_entropy is not None:
            return self.target_entropy
        allowed = self.network.policy.allowed(batch)
        if allowed is None:
            return self.network.target_entropy
        return weighted_mean(0.98 * allowed.sum(-1).log(), batch["weight"])

    def _shifted(self, batch: Batch) -> Batch:
        if not self.shift or not self.network.images:
            return batch
        return {**batch, **{name: random_shift(batch[name], self.shift) for name in self.network.images}}
