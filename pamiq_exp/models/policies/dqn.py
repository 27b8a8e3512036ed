"""Deep Q-learning as a LightningModule (Mnih et al. 2015), with double, dueling and n-step variants."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn.functional import mse_loss, smooth_l1_loss

from pamiq_exp.models.nn.action_distributions import ActionDistribution
from pamiq_exp.models.nn.action_mask import split_action_mask
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.joint_actions import GreedyChoice, JointActions
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork
from pamiq_exp.models.policies.learning_rate import LearningRateSchedule, require_schedule, scheduled_adam
from pamiq_exp.models.policies.off_policy_networks import follow, next_inputs
from pamiq_exp.models.policies.ppo import weighted_mean
from pamiq_exp.spaces import ActionSpec, flatten_specs

ValueLoss: TypeAlias = Literal["huber", "mse"]
"""Loss of the errors of action values."""


class QNetwork(nn.Module):
    """Values of all joint choices of discrete actions, for any inputs.

    Args:
        inputs: The input fields, named as in buffers, and masks; see `PolicyValueNetwork`.
        action: The action space.
        channels: Widths of the convolutional layers, if an input is an image.
        hidden: Widths of the linear layers.
        activation: After each layer.
        dueling: Q = V + A - mean(A), with a value and advantages in place of one output per choice.
        normalize_inputs: Normalize inputs that are no images; see `InputNormalizer`.

    Raises:
        ValueError: For continuous actions, or too many joint choices.

    Source: for `dueling` Wang et al. 2016, Dueling network architectures, equation 9.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        action: ActionSpec,
        channels: Sequence[int] = (32, 64, 64),
        hidden: Sequence[int] = (256, 256),
        activation: ActivationName = "relu",
        dueling: bool = False,
        normalize_inputs: bool = False,
    ) -> None:
        super().__init__()
        self.joint = JointActions(action, "DQN")
        fields, self.mask = split_action_mask(flatten_specs(inputs), action)
        self.body = FieldsNetwork(fields, channels, hidden, activation, normalize=normalize_inputs)
        for layer in self.body.modules():
            # Orthogonal weights, which make policies begin well, leave a pole of CartPole at half of the return here.
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                layer.reset_parameters()
        self.choices = nn.Linear(self.body.width, self.joint.count)
        self.value = nn.Linear(self.body.width, 1) if dueling else None

    def values(self, batch: Batch) -> Tensor:
        """Return Q of all joint choices, `(..., choices)`, for fields with leading axes `(...)`."""
        features = self.body(batch)
        choices: Tensor = self.choices(features)
        if self.value is None:
            return choices
        value: Tensor = self.value(features)
        return value + choices - choices.mean(-1, keepdim=True)

    def allowed_values(self, batch: Batch) -> Tensor:
        """Return Q of all joint choices, minus infinity for those that the batch forbids; see `ActionMask`."""
        values = self.values(batch)
        if self.mask is None:
            return values
        return values.masked_fill(~self.joint.allowed(self.mask(batch)), -torch.inf)

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """Return the best allowed action of each environment for certain, and its value, `(...)`."""
        values = self.allowed_values(batch)
        return GreedyChoice(values, self.joint), values.amax(-1)


class DeepQLearning(LightningModule):
    """Deep Q-learning, trained on the batches of an `OffPolicyTrainer`; its `n_steps` are the n-step variant.

    The target of Q(o, a) is y = reward + bootstrap * Q'(o', a'), where Q' is the target network and a' its own best
    action, or with `double` that of Q.

    Sources: Mnih et al. 2015, Human-level control through deep reinforcement learning, algorithm 1; for `double` van
    Hasselt et al. 2016, Deep reinforcement learning with double Q-learning, equation 4.

    Args:
        network: The action values.
        double: Choose a' by Q instead of Q'.
        target_update_every: Batches between two updates of the target network.
        tau: Of each update: target = (1 - tau) * target + tau * Q; 1 copies.
        loss: `huber` (quadratic below an error of 1, linear above) or `mse`.
        learning_rate: Of Adam.
        learning_rate_schedule: `linear` lets the learning rate fall to 0 over the whole run; `constant` keeps it.

    Inputs that are normalized are counted in each batch, and count from the next update of the target network on, for
    both networks: values and their targets then see the same inputs.
    """

    updates: Tensor

    def __init__(
        self,
        network: QNetwork,
        double: bool = False,
        target_update_every: int = 1000,
        tau: float = 1.0,
        loss: ValueLoss = "huber",
        learning_rate: float = 1e-4,
        learning_rate_schedule: LearningRateSchedule = "constant",
    ) -> None:
        super().__init__()
        if loss not in get_args(ValueLoss):
            raise ValueError(f"loss must be one of {', '.join(get_args(ValueLoss))}, not {loss!r}")
        if target_update_every < 1:
            raise ValueError(f"target_update_every must be at least 1, not {target_update_every}")
        self.network = network
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.double_q = bool(double)
        self.target_update_every = int(target_update_every)
        self.tau = float(tau)
        self.learning_rate = float(learning_rate)
        self.learning_rate_schedule = require_schedule(learning_rate_schedule)
        self._loss = smooth_l1_loss if loss == "huber" else mse_loss
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def inference_module(self) -> QNetwork:
        """Inference needs only the network."""
        return self.network

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """See `QNetwork.forward`."""
        output: tuple[ActionDistribution, Tensor] = self.network(batch)
        return output

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of the action values on a batch of transitions."""
        weight = batch["weight"]
        self.network.body.count_inputs(batch)
        with torch.no_grad():
            following = next_inputs(batch, self.network.body.fields, self.network.mask)
            values = self.target.allowed_values(following)
            best = (self.network.allowed_values(following) if self.double_q else values).argmax(-1, keepdim=True)
            target = batch["reward"] + batch["bootstrap"] * values.gather(-1, best).squeeze(-1)
        index = self.network.joint.index(batch["action"]).unsqueeze(-1)
        value = self.network.values(batch).gather(-1, index).squeeze(-1)
        loss = weighted_mean(self._loss(value, target, reduction="none"), weight)
        self.log_dict({"loss": loss, "action_value": weighted_mean(value.detach(), weight)})
        return loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_index: int) -> None:
        """Move the target network when it is due."""
        self.updates += 1
        if int(self.updates) % self.target_update_every == 0:
            follow(self.target, self.network, self.tau)
            self.network.body.refresh_inputs()
            self.target.body.refresh_inputs(self.network.body)

    def configure_optimizers(self) -> Any:
        """See `scheduled_adam`."""
        return scheduled_adam(self, self.network.parameters(), self.learning_rate, self.learning_rate_schedule)
