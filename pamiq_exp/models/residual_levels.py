"""Models of what the model below could not foresee."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pamiq_exp.models.dynamics import ResidualDynamics
from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.latent_model import NetworkModel
from pamiq_exp.models.moments import RunningMoments
from pamiq_exp.spaces import ActionSpec

FLOOR = 1e-4
"""Variance below which a residual is not blown up any more."""


class ResidualLevels(nn.Module):
    """Level 0 predicts the scaled latent vector, level i + 1 the scaled residual of level i, all from (z_t, a_t).

    Scales are running ones: with a scale of each sample's own, a vanishing residual would keep its size.

    Args:
        features: Numbers in a latent vector.
        action: The action space.
        levels: Number of levels.
        width, depth: Of each network; see `ResidualDynamics`.
    """

    def __init__(self, features: int, action: ActionSpec, levels: int = 3, width: int = 128, depth: int = 1) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"there must be at least 1 level, not {levels}")
        self.networks = nn.ModuleList(ResidualDynamics(features, action, width, depth) for _ in range(levels))
        self.scales = nn.ModuleList([RunningMoments(features), *(RunningMoments() for _ in range(levels - 1))])

    def forward(self, latent: Tensor, action: Tensor, target: Tensor) -> Tensor:
        """Mean squared residuals of each level, `(levels, batch)`."""
        return torch.stack([residual.square().mean(-1) for residual in self.residuals(latent, action, target)])

    def residuals(self, latent: Tensor, action: Tensor, target: Tensor, learn: bool = False) -> Sequence[Tensor]:
        """The residual of each level, `(batch, features)`; with `learn` the scales take in what they scale."""
        state = latent.new_zeros(len(latent), 0)
        residuals: list[Tensor] = []
        for network, scale in zip(self.networks, self.scales, strict=True):
            assert isinstance(scale, RunningMoments)
            if learn:
                scale.update(target if scale.mean.ndim else target.flatten())
            prediction, _ = network(latent, action, state)
            residuals.append(scale.whiten(target, FLOOR) - prediction)
            target = residuals[-1].detach()
        return residuals


class ResidualLevelsModel(NetworkModel[ResidualLevels]):
    """Trains all levels at once, each on what those below it leave over at present.

    Source: the "meta" models of P-AMI<Q> (2024).

    Args:
        network: The levels.
        encoder, learning_rate, weight_decay: See `LatentModel`.
    """

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Sum of the mean squared residuals of all levels, on sequences `(batch, length, ...)`."""
        pairs = self.pairs(batch)
        residuals = self.network.residuals(pairs.latent, pairs.action, pairs.target, learn=True)
        losses = [pairs.mean(residual.square().mean(-1)) for residual in residuals]
        self.log_dict({f"loss_level_{level}": loss for level, loss in enumerate(losses)})
        loss = torch.stack(losses).sum()
        self.log("loss", loss)
        return loss
