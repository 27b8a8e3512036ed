"""Actor-critic in imagination (the behavior learning of Hafner et al. 2023, DreamerV3)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.dynamics.latent_model import find_model
from pamiq_exp.models.nn.action_distributions import ActionDistribution, make_action_head
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork
from pamiq_exp.models.nn.running_moments import Statistics
from pamiq_exp.models.nn.two_hot import TwoHotHead
from pamiq_exp.models.policies.ppo import weighted_mean
from pamiq_exp.models.world_models.imagination import Imagined, imagine, lambda_returns
from pamiq_exp.models.world_models.reward_head import RewardHeads
from pamiq_exp.models.world_models.world_model import WorldModel
from pamiq_exp.spaces import ActionSpec, ArraySpec


class Critic(nn.Module):
    """Value network on latent vectors, with a two-hot head.

    Args:
        features: Size of a latent vector.
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
    """A policy and a critic on latent vectors, without common layers.

    Args:
        features: Size of a latent vector.
        action: The action space.
        hidden: Widths of the linear layers of each.
        activation: What follows each layer.
        uniform: Weight of the uniform distribution that is mixed into discrete actions.
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


class ImaginationActorCritic(LightningModule):
    """A policy and a critic that learn only from imagined trajectories.

    From each step of a batch of replayed sequences the policy acts for `horizon` steps in the forward dynamics, with
    rewards and continuation from `RewardHeads`. Returns are `lambda_returns`. The policy loss is REINFORCE:
    log-probabilities times advantages, divided by the range of returns where that is above 1, plus an entropy bonus.
    The critic learns the returns, regularized toward a moving average of itself. Each imagined step is weighted by
    the probability that the episode has continued up to it.

    Source: Hafner et al. 2023, Mastering diverse domains through world models, sections "Critic learning" and "Actor
    learning".

    Args:
        network: Policy and critic.
        dynamics: Name of the forward dynamics.
        reward_heads: Name of the `RewardHeads`.
        encoder: Name of the encoder.
        burn_in: Steps at the start of a replayed sequence that only fill the memory of the dynamics.
        horizon: Imagined steps.
        gamma: Discount factor.
        return_lambda: See `lambda_returns`.
        entropy_coefficient: Weight of the entropy bonus (joint entropy, in nats).
        slow_weight: Weight of the loss toward the slow critic.
        critic_ema_decay: Of the slow critic: slow = ema_decay * slow + (1 - ema_decay) * critic after each batch.
        range_ema_decay: See `ReturnRange`.
        min_reward_r2: Training starts when the reward head explains this fraction of the variance of rewards; None to
            start at once.
        learning_rate: Of Adam, for both.

    Raises:
        ValueError: For a horizon below 1.
    """

    def __init__(
        self,
        network: ImaginationPolicy,
        dynamics: str = "dynamics",
        reward_heads: str = "outcome",
        encoder: str = "encoder",
        burn_in: int = 0,
        horizon: int = 15,
        gamma: float = 0.997,
        return_lambda: float = 0.95,
        entropy_coefficient: float = 3e-4,
        slow_weight: float = 1.0,
        critic_ema_decay: float = 0.98,
        range_ema_decay: float = 0.99,
        min_reward_r2: float | None = 0.1,
        learning_rate: float = 1e-4,
    ) -> None:
        super().__init__()
        if horizon < 1:
            raise ValueError(f"the horizon must be at least 1 step, not {horizon}")
        self.network = network
        self.slow_critic = copy.deepcopy(network.critic).requires_grad_(False)
        self.world = WorldModel(dynamics, encoder)
        self._reward_heads_name = reward_heads
        # In a tuple, or it would become a submodule: trained, published and saved twice.
        self._reward_heads: tuple[RewardHeads, ...] = ()
        self.burn_in = int(burn_in)
        self.horizon = int(horizon)
        self.gamma = float(gamma)
        self.return_lambda = float(return_lambda)
        self.entropy_coefficient = float(entropy_coefficient)
        self.slow_weight = float(slow_weight)
        self.critic_ema_decay = float(critic_ema_decay)
        self.range = ReturnRange(range_ema_decay)
        self.min_reward_r2 = min_reward_r2
        self.learning_rate = float(learning_rate)

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Find encoder, dynamics and reward heads among the models of the run."""
        self.world.attach(models)
        self._reward_heads = (find_model(models, self._reward_heads_name, RewardHeads, type(self).__name__),)

    def inference_module(self) -> ImaginationPolicy:
        """Inference needs only the network."""
        return self.network

    @property
    def trainable(self) -> bool:
        """Whether the encoder is warmed up, and `reward_r2` of the reward heads is at least `min_reward_r2`."""
        if not self.world.warmed_up or not self._reward_heads:
            return False
        return self.min_reward_r2 is None or float(self._reward_heads[0].reward_r2) >= self.min_reward_r2

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """See `ImaginationPolicy.forward`."""
        output: tuple[ActionDistribution, Tensor] = self.network(batch)
        return output

    def imagine(self, batch: Batch) -> tuple[Imagined, Tensor]:
        """Imagine from every step of replayed sequences; return it with the weight of each imagined step, `(H, N)`."""
        context = self.world.encode_context(batch, self.burn_in)
        imagined = imagine(
            self.network.act,
            self.world.network,
            self._reward_heads[0].network,
            context.latent.flatten(0, 1),
            context.state.flatten(0, 1),
            self.horizon,
            _global_generator(context.latent.device),
        )
        continues = torch.cat([context.weight.flatten()[None], imagined.continuation[:-1]])
        return imagined, continues.cumprod(0)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Losses of policy and critic on trajectories imagined from a batch of replayed sequences."""
        imagined, weight = self.imagine(batch)
        with torch.no_grad():
            value = self.network.critic(imagined.latent)
            returns = lambda_returns(imagined.reward, imagined.continuation, value, self.gamma, self.return_lambda)
            scale = self.range.update(returns[weight > 0.5] if bool((weight > 0.5).any()) else returns)
            advantage = (returns - value[:-1]) / scale
            slow_value = self.slow_critic(imagined.latent[:-1])
        distribution = self.network.act(imagined.latent[:-1])
        policy_loss = -weighted_mean(distribution.log_prob(imagined.action) * advantage, weight)
        entropy = weighted_mean(distribution.entropy(), weight)
        value_loss = weighted_mean(self.network.critic.loss(imagined.latent[:-1], returns), weight)
        slow_loss = weighted_mean(self.network.critic.loss(imagined.latent[:-1], slow_value), weight)
        loss = policy_loss - self.entropy_coefficient * entropy + value_loss + self.slow_weight * slow_loss
        self.log_dict(
            {
                "loss": loss,
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "imagined_return": weighted_mean(returns, weight),
                "imagined_reward": weighted_mean(imagined.reward, weight),
                "return_range": self.range.width,
            }
        )
        return loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_index: int) -> None:
        """Update the slow critic."""
        with torch.no_grad():
            pairs = zip(self.slow_critic.parameters(), self.network.critic.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - self.critic_ema_decay)

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
