"""How wrong would I have been about this, some time ago?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pamiq_exp.models.distributions import ActionEncoding
from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.latent_model import NetworkModel
from pamiq_exp.models.layers import mlp
from pamiq_exp.models.precision import wide
from pamiq_exp.spaces import ActionSpec

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
        output: Tensor = wide(self.layers(joined.to(next(self.parameters()).dtype)))
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
