"""Learning behavior in imagination."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.nn.action_distributions import ActionDistribution, make_action_head
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork
from pamiq_exp.models.nn.running_moments import Statistics
from pamiq_exp.models.nn.two_hot import TwoHotHead
from pamiq_exp.models.policies.ppo import weighted_mean
from pamiq_exp.models.world_models.imagination import Imagined, imagine, lambda_returns
from pamiq_exp.models.world_models.reward_head import RewardHeads
from pamiq_exp.models.world_models.world_model import WorldModel, find_model
from pamiq_exp.spaces import ActionSpec, ArraySpec


class Critic(nn.Module):
    """Values of latent vectors, as two-hot numbers.

    Args:
        features: Numbers in a latent vector.
        hidden: Widths of the linear layers.
        activation: What follows each of them.
    """

    def __init__(self, features: int, hidden: Sequence[int], activation: ActivationName) -> None:
        super().__init__()
        self.body = _latent_body(features, hidden, activation)
        self.head = TwoHotHead(self.body.width)

    def forward(self, latent: Tensor) -> Tensor:
        """`(..., features)` -> `(...)`."""
        value: Tensor = self.head(self.body({"latent": latent}))
        return value

    def loss(self, latent: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy against targets `(...)`, for latents `(..., features)`: `(...)`."""
        return self.head.loss(self.body({"latent": latent}), target)


class ImaginationPolicy(nn.Module):
    """A policy and a critic, each with layers of its own, that read latent vectors.

    Args:
        features: Numbers in a latent vector.
        action: The action space.
        hidden: Widths of the linear layers of each.
        activation: What follows each layer.
        uniform: Share of chance in each choice, so that nothing is ever left untried.
    """

    def __init__(
        self,
        features: int,
        action: ActionSpec,
        hidden: Sequence[int] = (256, 256),
        activation: ActivationName = "silu",
        uniform: float = 0.01,
    ) -> None:
        super().__init__()
        self.body = _latent_body(features, hidden, activation)
        self.policy = make_action_head(self.body.width, action, uniform)
        self.critic = Critic(features, hidden, activation)

    def act(self, latent: Tensor) -> ActionDistribution:
        """Return the distribution over actions for latents `(..., features)`."""
        distribution: ActionDistribution = self.policy(self.body({"latent": latent}))
        return distribution

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """Return the distribution over actions and the value, `(...)`, for the field `latent (..., features)`."""
        return self.act(batch["latent"]), self.critic(batch["latent"])


class ReturnRange(Statistics):
    """How far returns spread: from their 5th to their 95th percentile, smoothed over batches.

    Args:
        rate: Share of a new batch.
    """

    width: Tensor

    def __init__(self, rate: float = 0.01) -> None:
        super().__init__()
        self.rate = float(rate)
        self.register_buffer("width", torch.full((), -1.0, dtype=torch.float64))

    @torch.no_grad()
    def update(self, returns: Tensor) -> Tensor:
        """Take in returns of any shape; give back what to divide advantages by: the range, but at least 1."""
        low, high = torch.quantile(returns.flatten(), returns.new_tensor([0.05, 0.95]))
        new = (high - low).double()
        self.width = torch.where(self.width < 0, new, self.width.lerp(new, self.rate))
        return self.width.clamp(min=1).to(returns.dtype)


class ImaginationActorCritic(LightningModule):
    """A policy and its critic that learn from imagined trajectories alone.

    A batch of lived sequences only says where to begin: from each of their steps the policy acts for `horizon`
    steps in the forward dynamics, and an `RewardHeads` says what that pays. Returns mix all numbers of steps
    (`lambda_returns`). The policy learns by the score function: log-probabilities times advantages, divided by
    the range of returns where that is above 1, plus an entropy bonus. The critic learns the returns, and not to
    part from a slow copy of itself. A step counts as much as life is expected to last up to it.

    Source: Hafner et al. 2023, Mastering diverse domains through world models, section "Critic learning" and
    "Actor learning".

    Args:
        network: Policy and critic.
        dynamics: Name of the forward dynamics.
        outcome: Name of the `RewardHeads`.
        encoder: Name of the encoder.
        burn_in: Steps at the start of a lived sequence that only fill the memory of the dynamics.
        horizon: Imagined steps.
        gamma: Discount.
        return_lambda: See `lambda_returns`.
        entropy_coefficient: Weight of the entropy bonus (joint entropy, in nats).
        slow_weight: Weight of the loss that ties the critic to its slow copy.
        slow_rate: Share of the critic that its slow copy takes on at each batch.
        range_rate: See `ReturnRange`.
        min_reward_r2: Nothing is learned before the outcome model foretells this share of the variance of
            rewards; None does not wait.
        learning_rate: Of Adam, for both.

    Raises:
        ValueError: For a horizon below 1.
    """

    def __init__(
        self,
        network: ImaginationPolicy,
        dynamics: str = "dynamics",
        outcome: str = "outcome",
        encoder: str = "encoder",
        burn_in: int = 0,
        horizon: int = 15,
        gamma: float = 0.997,
        return_lambda: float = 0.95,
        entropy_coefficient: float = 3e-4,
        slow_weight: float = 1.0,
        slow_rate: float = 0.02,
        range_rate: float = 0.01,
        min_reward_r2: float | None = 0.1,
        learning_rate: float = 1e-4,
    ) -> None:
        super().__init__()
        if horizon < 1:
            raise ValueError(f"the horizon must be at least 1 step, not {horizon}")
        self.network = network
        self.slow_critic = copy.deepcopy(network.critic).requires_grad_(False)
        self.world = WorldModel(dynamics, encoder)
        self._outcome_name = outcome
        # In a tuple, or it would become a submodule: trained, published and saved twice.
        self._outcome: tuple[RewardHeads, ...] = ()
        self.burn_in = int(burn_in)
        self.horizon = int(horizon)
        self.gamma = float(gamma)
        self.return_lambda = float(return_lambda)
        self.entropy_coefficient = float(entropy_coefficient)
        self.slow_weight = float(slow_weight)
        self.slow_rate = float(slow_rate)
        self.range = ReturnRange(range_rate)
        self.min_reward_r2 = min_reward_r2
        self.learning_rate = float(learning_rate)

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Take encoder, dynamics and outcome model from the models of the run."""
        self.world.attach(models)
        self._outcome = (find_model(models, self._outcome_name, RewardHeads),)

    def inference_module(self) -> ImaginationPolicy:
        """Inference needs the network alone."""
        return self.network

    @property
    def trainable(self) -> bool:
        """Whether latents mean something yet, and rewards are foretold well enough to act on them."""
        if not self.world.ready or not self._outcome:
            return False
        return self.min_reward_r2 is None or float(self._outcome[0].reward_r2) >= self.min_reward_r2

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """See `ImaginationPolicy.forward`."""
        output: tuple[ActionDistribution, Tensor] = self.network(batch)
        return output

    def imagine(self, batch: Batch) -> tuple[Imagined, Tensor]:
        """Imagine from every step of lived sequences; return it with the weight of each imagined step, `(H, N)`."""
        view = self.world.look(batch, self.burn_in)
        dream = imagine(
            self.network.act,
            self.world.network,
            self._outcome[0].network,
            view.latent.flatten(0, 1),
            view.state.flatten(0, 1),
            self.horizon,
            _global_generator(view.latent.device),
        )
        going_on = torch.cat([view.weight.flatten()[None], dream.continuation[:-1]])
        return dream, going_on.cumprod(0)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Losses of policy and critic on trajectories imagined from a batch of lived sequences."""
        dream, weight = self.imagine(batch)
        with torch.no_grad():
            value = self.network.critic(dream.latent)
            returns = lambda_returns(dream.reward, dream.continuation, value, self.gamma, self.return_lambda)
            scale = self.range.update(returns[weight > 0.5] if bool((weight > 0.5).any()) else returns)
            advantage = (returns - value[:-1]) / scale
            slow_value = self.slow_critic(dream.latent[:-1])
        distribution = self.network.act(dream.latent[:-1])
        policy_loss = -weighted_mean(distribution.log_prob(dream.action) * advantage, weight)
        entropy = weighted_mean(distribution.entropy(), weight)
        value_loss = weighted_mean(self.network.critic.loss(dream.latent[:-1], returns), weight)
        slow_loss = weighted_mean(self.network.critic.loss(dream.latent[:-1], slow_value), weight)
        loss = policy_loss - self.entropy_coefficient * entropy + value_loss + self.slow_weight * slow_loss
        self.log_dict(
            {
                "loss": loss,
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "imagined_return": weighted_mean(returns, weight),
                "imagined_reward": weighted_mean(dream.reward, weight),
                "return_range": self.range.width,
            }
        )
        return loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_index: int) -> None:
        """Let the slow critic follow."""
        with torch.no_grad():
            pairs = zip(self.slow_critic.parameters(), self.network.critic.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, self.slow_rate)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with epsilon 1e-5."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, eps=1e-5)


def _latent_body(features: int, hidden: Sequence[int], activation: ActivationName) -> FieldsNetwork:
    return FieldsNetwork({"latent": ArraySpec(shape=[features], dtype="float32")}, (), hidden, activation)


def _global_generator(device: torch.device) -> torch.Generator:
    """The generator that training draws from on `device`; the launcher seeds and saves it."""
    if device.type == "cuda":
        generators = cast("Sequence[torch.Generator]", torch.cuda.default_generators)
        return generators[device.index or 0]
    return torch.default_generator
