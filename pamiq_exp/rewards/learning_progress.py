"""Learning progress monitoring (Hou, An and Du 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.models.dynamics.latent_model import NetworkModel
from pamiq_exp.models.nn.action_distributions import ActionEncoding
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import mlp
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.sequences import masked_mean
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.spaces import ActionSpec


class LearningProgress(Reward):
    """r = h(z_t, a_t) - log(eps + min_error): the error expected from the past against the error now.

    eps is the error of the forward dynamics on the transition, and h predicts the logarithm of earlier errors from z_t
    and a_t. That is `form` "log"; with "exp", r = exp(h) - (eps + min_error). Positive while predictions improve,
    negative at the first contact with a change.

    On unpredictable input the log form has mean 0. The exp form compares a geometric mean with an arithmetic
    one: for Gaussian noise in J independent numbers E r = sigma^2 (2/J exp(psi(J/2)) - 1) < 0 (Jensen).

    The log errors are stored before the forward dynamics learns from the transition (field `log_error`), and h learns
    from them, so that it lags behind; its buffer and its trainer set by how much.

    Source: Hou, An and Du 2025, Beyond noisy-TVs: noise-robust exploration via learning progress monitoring.

    Args:
        error: The reward whose raw value is eps.
        normalizer: How the raw reward is scaled.
        form: "log" or "exp".
        min_error: Added to eps, about a thousandth of the variance of a feature: smaller errors are all alike.
        upper_limit: Largest raw reward; None for no limit.
        model: Name of the `PreviousError` model.
    """

    name = "learning_progress"
    recorded_fields = ("log_error",)

    def __init__(
        self,
        error: Reward,
        normalizer: Normalizer | None = None,
        form: Literal["log", "exp"] = "log",
        min_error: float = 1e-3,
        upper_limit: float | None = None,
        model: str = "previous_error",
    ) -> None:
        super().__init__(normalizer, parts=("error", "log_error", "expected_log_error"))
        if form not in ("log", "exp"):
            raise ValueError(f"form must be 'log' or 'exp', not {form!r}")
        if not min_error > 0:
            raise ValueError(f"min_error must be positive, not {min_error}")
        self.error = error
        self.needs_latents = True
        self.form, self.min_error, self.upper_limit = form, float(min_error), upper_limit
        self._model = NeededModel(model, PreviousErrorNetwork, self)
        self._log_error: NDArray[np.float32] | None = None

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self.error.attach(models)
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        error, latent = self.error.compute(transition), transition.latent
        self._log_error = None
        if error is None or latent is None:
            return None
        self._log_error = np.log(error + np.float32(self.min_error))
        expected = self._model.module(latent, transition.action).float().cpu().numpy()
        self.note("error", error, transition.valid)
        self.note("log_error", self._log_error, transition.valid)
        self.note("expected_log_error", expected, transition.valid)
        progress: NDArray[np.float32]
        if self.form == "log":
            progress = expected - self._log_error
        else:
            progress = np.exp(expected) - (error + np.float32(self.min_error))
        return progress if self.upper_limit is None else np.minimum(progress, np.float32(self.upper_limit))

    def fields(self) -> dict[str, NDArray[Any]]:
        """`log_error`: log(eps + min_error) of the last transition."""
        return {} if self._log_error is None else {"log_error": self._log_error}


MAX_LOG_ERROR = 10.0
"""Largest magnitude of a predicted log error."""


class PreviousErrorNetwork(nn.Module):
    """h: predicts the logarithm of the error of a forward dynamics from the latent vector and the action.

    Args:
        features: Size of a latent vector.
        action: The action space.
        hidden: Widths of the layers.
    """

    def __init__(self, features: int, action: ActionSpec, hidden: Sequence[int] = (256, 128, 64)) -> None:
        super().__init__()
        self.action = ActionEncoding(action)
        self.layers = nn.Sequential(
            mlp(features + self.action.width, hidden, "relu"), nn.Linear([features, *hidden][-1], 1)
        )

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        """`(..., features)` and `(..., branches)` -> log errors, `(...)`."""
        joined = torch.cat([latent, self.action(action)], -1)
        output: Tensor = to_float32(self.layers(joined.to(next(self.parameters()).dtype)))
        return output.squeeze(-1).clamp(-MAX_LOG_ERROR, MAX_LOG_ERROR)


class PreviousError(NetworkModel[PreviousErrorNetwork]):
    """Trains h on the errors that the agent's reward stored, so that it lags behind the forward dynamics.

    A batch holds single transitions: the fields of the encoder (or `latent`), `action`, `log_error` and `ended`.

    Args:
        network: The network that predicts.
        encoder, learning_rate, weight_decay: See `LatentModel`.
    """

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Mean squared error of the log error over the valid transitions."""
        predicted: Tensor = self.network(self.latents(batch), batch["action"])
        loss = masked_mean((predicted - batch["log_error"]).square(), ~batch["ended"])
        self.log("loss", loss)
        return loss
