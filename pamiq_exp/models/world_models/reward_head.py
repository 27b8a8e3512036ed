"""What will come of it: rewards and ends, foretold."""

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
from pamiq_exp.models.nn.two_hot import TwoHotHead
from pamiq_exp.models.world_models.world_model import View, WorldModel
from pamiq_exp.spaces import ActionSpec

LearnedReward: TypeAlias = Literal["recorded", "prediction_error"]
"""Which reward is learned: the one that was paid, or the error that the dynamics makes now."""

_FADING = 20_000
"""Transitions after which errors begin to fade from the scale by which they are divided."""


class RewardHeadsNetwork(nn.Module):
    """Reward and continuation of a transition, from z_t, a_t and the *prediction* of z_{t+1}.

    Not from z_{t+1} itself: in imagination there is only the prediction, and a reward for prediction errors
    could otherwise be read off the difference of the two, which imagination never has.

    Args:
        features: Numbers in a latent vector.
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

    def embed(self, latent: Tensor, action: Tensor, following: Tensor) -> Tensor:
        """Return what both heads read, `(..., width)`."""
        joined = torch.cat([latent, self.action(action), following], -1)
        embedded: Tensor = self.body(joined.to(self.continuation.weight.dtype))
        return embedded

    def continuation_logit(self, embedded: Tensor) -> Tensor:
        """Return the logit of going on, `(...)`."""
        return to_float32(self.continuation(embedded).squeeze(-1))

    def forward(self, latent: Tensor, action: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expected reward and the probability of going on, both `(...)`.

        Args:
            latent: z_t, `(..., features)`.
            action: a_t, canonical, `(..., branches)`.
            following: The dynamics' prediction of z_{t+1}, `(..., features)`.
        """
        embedded = self.embed(latent, action, following)
        return self.reward(embedded), self.continuation_logit(embedded).sigmoid()


class RewardHeads(LightningModule):
    """Learns what the agent is paid for a transition, and whether life goes on after it, from what was lived through.

    Trains on sequences with the fields `reward`, `terminated` and `ended` besides those that encoder and
    dynamics need; both are used as they are, without gradients.

    A reward for prediction errors changes while the dynamics learns: what a replayed transition paid when it was new
    says little of what it would pay now, and nothing can foretell it. With `reward="prediction_error"` it is
    asked anew: mean over the features of (z_{t+1} - f(z_t, a_t, memory))^2, divided by the deviation of such
    errors.

    `reward_r2` tells how much of the variance of rewards it foretells, measured on each batch before it is
    trained on; learning to act in imagination before that is well above 0 is learning to please a liar.

    Args:
        network: Predicts reward and continuation.
        dynamics: Name of the forward dynamics.
        encoder: Name of the encoder.
        burn_in: Steps at the start of a sequence that only fill the memory of the dynamics.
        learning_rate: Of Adam.
        memory: Share of the old value that `reward_r2` keeps at each batch.
        reward: The reward that was `recorded`, or the `prediction_error` of the dynamics as it is now.

    Raises:
        ValueError: There is no such reward.
    """

    def __init__(
        self,
        network: RewardHeadsNetwork,
        dynamics: str = "dynamics",
        encoder: str = "encoder",
        burn_in: int = 0,
        learning_rate: float = 1e-3,
        memory: float = 0.95,
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
        self.reward_figures = ExplainedVariance(memory)
        self.error_moments = RunningMoments(horizon=_FADING)

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Take encoder and dynamics from the models of the run."""
        self.world.attach(models)

    def inference_module(self) -> RewardHeadsNetwork:
        """Agents may ask the network alone."""
        return self.network

    @property
    def trainable(self) -> bool:
        """Whether latents mean something yet."""
        return self.world.ready

    @property
    def reward_r2(self) -> Tensor:
        """Share of the variance of rewards that is foretold, a scalar; see `ExplainedVariance.value`."""
        return self.reward_figures.value

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Cross-entropies of reward and continuation over the transitions that count."""
        view = self.world.look(batch, self.burn_in)
        weight = view.weight
        goes_on = (~batch["terminated"][:, self.burn_in :]).to(weight.dtype)
        embedded = self.network.embed(view.latent, view.action, view.following)
        reward, counts = self._rewards(batch, view)
        self.reward_figures.update(self.network.reward(embedded).detach(), reward, counts)
        reward_loss = (self.network.reward.loss(embedded, reward) * counts).sum() / counts.sum().clamp(min=1)
        total = weight.sum().clamp(min=1)
        logit = self.network.continuation_logit(embedded)
        continuation_loss = (
            nn.functional.binary_cross_entropy_with_logits(logit, goes_on, weight, reduction="sum") / total
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
        """Mean squared error of the foretold reward, and the share of variance told, on transitions never trained on.

        The scale of errors stays as it is.
        """
        view = self.world.look(batch, self.burn_in)
        reward, counts = self._rewards(batch, view, learning=False)
        said: Tensor = self.network(view.latent, view.action, view.following)[0]
        figures = ExplainedVariance(0.0).to(said.device)
        figures.update(said, reward, counts)
        self.log("held_out_reward_r2", figures.value)
        return ((said - reward).square() * counts).sum() / counts.sum().clamp(min=1)

    def _rewards(self, batch: Batch, view: View, learning: bool = True) -> tuple[Tensor, Tensor]:
        """Return what is to be foretold and how much each of it counts, both `(batch, T)`."""
        if self.reward == "recorded":
            return batch["reward"][:, self.burn_in :], view.weight
        error = to_float32(view.latent[:, 1:] - view.following[:, :-1]).square().mean(-1)
        known = view.weight[:, :-1] > 0.5
        if learning and bool(known.any()):
            self.error_moments.update(error[known])
        scaled = error / self.error_moments.std.clamp(min=1e-6).to(error.dtype)
        # What followed the last step of a sequence is not known.
        nothing = torch.zeros_like(scaled[:, :1])
        return torch.cat([scaled, nothing], 1), torch.cat([known.to(view.weight.dtype), nothing], 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the network."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
