"""Curiosity about what has become easier to foresee."""

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
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.spaces import ActionSpec


class LearningProgress(Reward):
    """Learning-progress monitoring: the error expected from the past minus the error made now.

    eps is the error of the forward model on the transition, and h(z_t, a_t) predicts the logarithm of the errors
    that were made earlier under like conditions. With `form` "log", r = h - log(eps + eps_0); with "exp",
    r = exp(h) - (eps + eps_0). Positive while predictions improve, negative at the first contact with a change.

    On unpredictable input the log form has mean 0. The exp form compares a geometric mean with an arithmetic
    one: for Gaussian noise in J independent numbers E r = sigma^2 (2/J exp(psi(J/2)) - 1) < 0 (Jensen).

    The log errors are recorded before the forward model learns from the transition (field `log_error`), and h
    learns from these records, so that it lags behind; by how much is set by its buffer and its trainer.

    Source: Hou, An and Du 2025, Beyond noisy-TVs: noise-robust exploration via learning progress monitoring.

    Args:
        error: The reward that measures eps.
        normalizer: How the raw reward is scaled.
        form: "log" or "exp".
        smallest: eps_0, about a thousandth of the variance of what is predicted: below it nothing is progress.
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
        smallest: float = 1e-3,
        upper_limit: float | None = None,
        model: str = "previous_error",
    ) -> None:
        super().__init__(normalizer, parts=("error", "log_error", "expected_log_error"))
        if form not in ("log", "exp"):
            raise ValueError(f"form must be 'log' or 'exp', not {form!r}")
        if not smallest > 0:
            raise ValueError(f"smallest must be positive, not {smallest}")
        self.error = error
        self.needs_latents = True
        self.form, self.smallest, self.upper_limit = form, float(smallest), upper_limit
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
        self._log_error = np.log(error + np.float32(self.smallest))
        expected = self._model.module(latent, transition.action).float().cpu().numpy()
        self.note("error", error, transition.valid)
        self.note("log_error", self._log_error, transition.valid)
        self.note("expected_log_error", expected, transition.valid)
        progress: NDArray[np.float32]
        if self.form == "log":
            progress = expected - self._log_error
        else:
            progress = np.exp(expected) - (error + np.float32(self.smallest))
        return progress if self.upper_limit is None else np.minimum(progress, np.float32(self.upper_limit))

    def fields(self) -> dict[str, NDArray[Any]]:
        """`log_error`: log(eps + eps_0) of the transition just judged."""
        return {} if self._log_error is None else {"log_error": self._log_error}


LIMIT = 10.0
"""Largest magnitude of a predicted log error."""


class PreviousErrorNetwork(nn.Module):
    """Predicts the logarithm of the error that a forward model made, from where it was and what was done.

    Args:
        features: Numbers in a latent vector.
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
        return output.squeeze(-1).clamp(-LIMIT, LIMIT)


class PreviousError(NetworkModel[PreviousErrorNetwork]):
    """Learns the errors that the agent's reward recorded, so that it always lags behind the forward model.

    A batch holds single records: what the encoder reads (or `latent`), `action`, `log_error` and `ended`.

    Args:
        network: The network that predicts.
        encoder, learning_rate, weight_decay: See `LatentModel`.
    """

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Mean squared error of the log error over the records that mean something."""
        predicted = self.network(self.latents(batch), batch["action"])
        weight = (~batch["ended"]).to(predicted.dtype)
        loss: Tensor = ((predicted - batch["log_error"]).square() * weight).sum() / weight.sum().clamp(min=1)
        self.log("loss", loss)
        return loss
