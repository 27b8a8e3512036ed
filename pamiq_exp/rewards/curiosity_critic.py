"""Curiosity-Critic (Bhaskara and Wang 2026): the prediction error minus the error that remains after learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.models.dynamics.forward_dynamics import ForwardDynamics
from pamiq_exp.models.dynamics.latent_model import NetworkModel, find_model
from pamiq_exp.models.nn.action_distributions import ActionEncoding
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import mlp
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.sequences import masked_mean
from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.prediction_error import squared_error
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.spaces import ActionSpec


class CuriosityCritic(DynamicsReward):
    """r = e - b(z_t, a_t), where the critic b predicts the error of the forward dynamics after it learned.

    e is the error of the forward dynamics before it learned from the transition (see `PredictionError`). On
    unpredictable input b becomes e, and on what is known both are 0, so only what can be learned is rewarded.

    Source: Bhaskara and Wang 2026, Curiosity-Critic (arXiv 2604.18701).

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics.
        model: Name of the `ErrorCritic`.
    """

    name = "curiosity_critic"

    def __init__(
        self, normalizer: Normalizer | None = None, dynamics: str = "dynamics", model: str = "error_critic"
    ) -> None:
        super().__init__(normalizer, dynamics, parts=("error", "remaining"))
        self._critic = NeededModel(model, ErrorCriticNetwork, self)

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        super().attach(models)
        self._critic.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        predicted = self.predict(transition)
        if predicted is None:
            return None
        error: NDArray[np.float32] = squared_error(*predicted).float().cpu().numpy()
        remaining: NDArray[np.float32] = self._critic.module(transition.latent, transition.action).cpu().numpy()
        self.note("error", error, transition.valid)
        self.note("remaining", remaining, transition.valid)
        return error - remaining


class ErrorCriticNetwork(nn.Module):
    """b: predicts the error of a forward dynamics from the latent vector and the action.

    Args:
        features: Size of a latent vector.
        action: The action space.
        hidden: Widths of the layers.
    """

    def __init__(self, features: int, action: ActionSpec, hidden: Sequence[int] = (128,)) -> None:
        super().__init__()
        self.action = ActionEncoding(action)
        width = features + self.action.width
        self.layers = nn.Sequential(mlp(width, hidden, "relu"), nn.Linear([width, *hidden][-1], 1))

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        """`(..., features)` and `(..., branches)` -> errors, `(...)`, at least 0."""
        return self.raw(latent, action).clamp(min=0)

    def raw(self, latent: Tensor, action: Tensor) -> Tensor:
        """The output before it is limited: below 0 it still has a gradient."""
        joined = torch.cat([latent, self.action(action)], -1)
        output: Tensor = to_float32(self.layers(joined.to(next(self.parameters()).dtype)))
        return output.squeeze(-1)


class ErrorCritic(NetworkModel[ErrorCriticNetwork]):
    """Trains b on the errors that the forward dynamics makes now, on transitions that it has already learned from.

    A batch holds sequences: the fields of the encoder (or `latent`), `action` and `ended`.

    Args:
        network: The network that predicts.
        encoder, learning_rate, weight_decay: See `LatentModel`.
        dynamics: Name of the forward dynamics.
    """

    def __init__(
        self,
        network: ErrorCriticNetwork,
        encoder: str = "encoder",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        dynamics: str = "dynamics",
    ) -> None:
        super().__init__(network, encoder, learning_rate, weight_decay)
        self._dynamics_name = dynamics
        self._dynamics: tuple[ForwardDynamics, ...] = ()

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Find encoder and forward dynamics. Raises ValueError without one of them."""
        super().attach_models(models)
        self._dynamics = (find_model(models, self._dynamics_name, ForwardDynamics, type(self).__name__),)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Mean squared error of the predicted error over the valid transitions."""
        latent = self.latents(batch)
        action, ended = batch["action"][:, :-1], batch["ended"][:, :-1]
        with torch.no_grad():
            prediction, _ = self._dynamics[0].network.predict_sequence(latent[:, :-1], action, ended)
            error = squared_error(prediction, latent[:, 1:])
        loss = masked_mean((self.network.raw(latent[:, :-1], action) - error).square(), ~ended)
        self.log("loss", loss)
        return loss


class TableCritic:
    """b as a table, for states that can be counted: new = ema_decay * old + (1 - ema_decay) * error.

    Args:
        states: Number of states.
        ema_decay: Weight of the old value.
    """

    def __init__(self, states: int, ema_decay: float = 0.9) -> None:
        self.ema_decay = float(ema_decay)
        self.values: NDArray[np.float64] = np.zeros(states)

    def __call__(self, state: int) -> float:
        """Return the error that remains in a state."""
        return float(self.values[state])

    def update(self, state: int, error: float) -> None:
        """Learn from the error in a state after the model learned from it."""
        self.values[state] = self.ema_decay * self.values[state] + (1 - self.ema_decay) * error
