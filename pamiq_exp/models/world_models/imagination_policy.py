"""Actor-critic that learns in imagination, in any forward dynamics."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from lightning import LightningModule
from torch import Tensor

from pamiq_exp.models.dynamics.latent_model import find_model
from pamiq_exp.models.nn.action_distributions import ActionDistribution
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.policies.ppo import weighted_mean
from pamiq_exp.models.world_models.behavior import (
    BehaviorSettings,
    ImaginationPolicy,
    ReturnRange,
    behavior_losses,
    training_generator,
    update_slow,
)
from pamiq_exp.models.world_models.imagination import Imagined, imagine
from pamiq_exp.models.world_models.reward_head import RewardHeads
from pamiq_exp.models.world_models.world_model import WorldModel


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
        self.settings = BehaviorSettings(
            float(gamma), float(return_lambda), float(entropy_coefficient), float(slow_weight)
        )
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
            training_generator(context.latent.device),
        )
        continues = torch.cat([context.weight.flatten()[None], imagined.continuation[:-1]])
        return imagined, continues.cumprod(0)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Losses of policy and critic on trajectories imagined from a batch of replayed sequences."""
        imagined, weight = self.imagine(batch)
        losses = behavior_losses(self.network, self.slow_critic, self.range, imagined, weight, self.settings)
        self.log_dict(
            {
                "loss": losses.total,
                **losses.metrics(),
                "imagined_reward": weighted_mean(imagined.reward, weight),
                "return_range": self.range.width,
            }
        )
        return losses.total

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_index: int) -> None:
        """Update the slow critic."""
        update_slow(self.slow_critic, self.network.critic, self.critic_ema_decay)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with epsilon 1e-5."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, eps=1e-5)
