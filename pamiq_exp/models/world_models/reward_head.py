"""Reward and continue heads of a world model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.nn.action_distributions import ActionEncoding
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import ActivationName, mlp
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.running_moments import ExplainedVariance, RunningMoments
from pamiq_exp.models.nn.sequences import masked_mean
from pamiq_exp.models.nn.two_hot import TwoHotHead
from pamiq_exp.models.world_models.world_model import Context, WorldModel
from pamiq_exp.spaces import ActionSpec

LearnedReward: TypeAlias = Literal["recorded", "prediction_error"]
"""Which reward is learned: the recorded one, or the current prediction error of the dynamics."""

_ERROR_HORIZON = 20_000
"""Transitions in the moving average of the scale of prediction errors."""


class RewardHeadsNetwork(nn.Module):
    """Heads for the reward and the continuation of a transition, from z_t, a_t and the *prediction* of z_{t+1}.

    Not from z_{t+1} itself: in imagination there is only the prediction. A reward for prediction errors could otherwise
    be computed from the difference of the two.

    Args:
        features: Size of a latent vector.
        action: The action space.
        hidden: Widths of the linear layers.
        activation: What follows each of them.
    """

    def __init__(
        self, features: int, action: ActionSpec, hidden: Sequence[int] = (256,), activation: ActivationName = "silu"
    ) -> None:
        super().__init__()
        self.action = ActionEncoding(action)
        joined = 2 * features + self.action.width
        self.body = mlp(joined, hidden, activation)
        width = hidden[-1] if hidden else joined
        self.reward = TwoHotHead(width)
        self.continuation = nn.Linear(width, 1)

    def embed(self, latent: Tensor, action: Tensor, prediction: Tensor) -> Tensor:
        """Return the input of both heads, `(..., width)`."""
        joined = torch.cat([latent, self.action(action), prediction], -1)
        embedded: Tensor = self.body(joined.to(self.continuation.weight.dtype))
        return embedded

    def continuation_logit(self, embedded: Tensor) -> Tensor:
        """Return the logit that the episode continues, `(...)`."""
        return to_float32(self.continuation(embedded).squeeze(-1))

    def forward(self, latent: Tensor, action: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expected reward and the probability that the episode continues, both `(...)`.

        Args:
            latent: z_t, `(..., features)`.
            action: a_t, canonical, `(..., branches)`.
            prediction: Of z_{t+1} by the dynamics, `(..., features)`.
        """
        embedded = self.embed(latent, action, prediction)
        return self.reward(embedded), self.continuation_logit(embedded).sigmoid()


class RewardHeads(LightningModule):
    """Trains the reward and continue heads on replayed sequences.

    Sequences have the fields `reward`, `terminated` and `ended` besides those of encoder and dynamics, which are used
    without gradients.

    A reward for prediction errors changes while the dynamics learns, so the recorded reward of a replayed transition is
    outdated. With `reward="prediction_error"` it is computed again: mean over the features of
    (z_{t+1} - f(z_t, a_t, memory))^2, divided by the standard deviation of such errors.

    `reward_r2` is the fraction of the variance of rewards that is predicted, on each batch before it is trained on. A
    policy should not learn from imagined rewards before it is well above 0.

    Args:
        network: The heads.
        dynamics: Name of the forward dynamics.
        encoder: Name of the encoder.
        burn_in: Steps at the start of a sequence that only fill the memory of the dynamics.
        learning_rate: Of Adam.
        ema_decay: Of the moving sums behind `reward_r2`, for each batch.
        reward: The `recorded` reward, or the current `prediction_error` of the dynamics.

    Raises:
        ValueError: For another `reward`.
    """

    def __init__(
        self,
        network: RewardHeadsNetwork,
        dynamics: str = "dynamics",
        encoder: str = "encoder",
        burn_in: int = 0,
        learning_rate: float = 1e-3,
        ema_decay: float = 0.95,
        reward: LearnedReward = "recorded",
    ) -> None:
        super().__init__()
        if reward not in get_args(LearnedReward):
            raise ValueError(f"reward must be one of {', '.join(get_args(LearnedReward))}, not {reward!r}")
        self.network = network
        self.world = WorldModel(dynamics, encoder)
        self.burn_in = int(burn_in)
        self.learning_rate = float(learning_rate)
        self.reward = reward
        self.reward_metrics = ExplainedVariance(ema_decay)
        self.error_moments = RunningMoments(horizon=_ERROR_HORIZON)

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Find encoder and dynamics among the models of the run."""
        self.world.attach(models)

    def inference_module(self) -> RewardHeadsNetwork:
        """Inference needs only the network."""
        return self.network

    @property
    def trainable(self) -> bool:
        """Whether the encoder is warmed up."""
        return self.world.warmed_up

    @property
    def reward_r2(self) -> Tensor:
        """Fraction of the variance of rewards that is predicted, a scalar; see `ExplainedVariance.value`."""
        return self.reward_metrics.value

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Cross-entropies of reward and continuation over the valid transitions."""
        context = self.world.encode_context(batch, self.burn_in)
        weight = context.weight
        continues = (~batch["terminated"][:, self.burn_in :]).to(weight.dtype)
        embedded = self.network.embed(context.latent, context.action, context.prediction)
        reward, reward_weight = self._rewards(batch, context)
        self.reward_metrics.update(self.network.reward(embedded).detach(), reward, reward_weight)
        reward_loss = masked_mean(self.network.reward.loss(embedded, reward), reward_weight)
        total = weight.sum().clamp(min=1)
        logit = self.network.continuation_logit(embedded)
        continuation_loss = (
            nn.functional.binary_cross_entropy_with_logits(logit, continues, weight, reduction="sum") / total
        )
        loss = reward_loss + continuation_loss
        self.log_dict(
            {
                "loss": loss,
                "reward_loss": reward_loss,
                "continuation_loss": continuation_loss,
                "reward_r2": self.reward_r2,
            }
        )
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Mean squared error and explained variance of the predicted reward, on held-out transitions.

        The scale of errors is not updated.
        """
        context = self.world.encode_context(batch, self.burn_in)
        reward, weight = self._rewards(batch, context, learning=False)
        predicted: Tensor = self.network(context.latent, context.action, context.prediction)[0]
        metrics = ExplainedVariance(0.0).to(predicted.device)
        metrics.update(predicted, reward, weight)
        self.log("held_out_reward_r2", metrics.value)
        return masked_mean((predicted - reward).square(), weight)

    def _rewards(self, batch: Batch, context: Context, learning: bool = True) -> tuple[Tensor, Tensor]:
        """Return the rewards to predict and their weights, both `(batch, T)`."""
        if self.reward == "recorded":
            return batch["reward"][:, self.burn_in :], context.weight
        error = to_float32(context.latent[:, 1:] - context.prediction[:, :-1]).square().mean(-1)
        known = context.weight[:, :-1] > 0.5
        if learning and bool(known.any()):
            self.error_moments.update(error[known])
        scaled = error / self.error_moments.std.clamp(min=1e-6).to(error.dtype)
        # The error at the last step of a sequence is not known: its weight is 0.
        unknown = torch.zeros_like(scaled[:, :1])
        return torch.cat([scaled, unknown], 1), torch.cat([known.to(context.weight.dtype), unknown], 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the network."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
