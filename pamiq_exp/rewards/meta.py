"""Meta curiosity: residuals of models of residuals (P-AMI<Q> 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.models.dynamics import ResidualDynamics
from pamiq_exp.models.dynamics.latent_model import NetworkModel
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.running_moments import RunningMoments
from pamiq_exp.rewards.hierarchical import LevelScheme, level_coefficients
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.spaces import ActionSpec


class Meta(Reward):
    """r = sum_i c_i mean(delta_i^2), where level i + 1 predicts the residual delta_i of level i.

    Targets have variance 1, so on unpredictable input each mean(delta_i^2) tends to 1 and r to the sum of the c_i: a
    scheme whose coefficients sum to 0 gives noise a mean reward of 0.

    Source: the "meta" reward of P-AMI<Q> (2024).

    Args:
        levels: Number of levels: `${models.levels.network.levels}`.
        normalizer: How the raw reward is scaled.
        scheme: See `level_coefficients`.
        model: Name of the `ResidualLevelsModel`.
    """

    name = "meta"
    needs_latents = True

    def __init__(
        self,
        levels: int,
        normalizer: Normalizer | None = None,
        scheme: LevelScheme = "lerp_min_max",
        model: str = "levels",
    ) -> None:
        super().__init__(normalizer, parts=[f"level_{level}" for level in range(levels)])
        self.coefficients = level_coefficients(levels, scheme)
        self._model = NeededModel(model, ResidualLevels, self)

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises ValueError if the model has another number of levels."""
        if transition.latent is None or transition.next_latent is None:
            return None
        squares = self._model.module(transition.latent, transition.action, transition.next_latent)
        errors: NDArray[np.float32] = squares.float().cpu().numpy()
        if len(errors) != len(self.coefficients):
            raise ValueError(f"the model has {len(errors)} levels, the reward {len(self.coefficients)}")
        for level, values in enumerate(errors):
            self.note(f"level_{level}", values, transition.valid)
        reward: NDArray[np.float32] = self.coefficients @ errors
        return reward


MIN_VARIANCE = 1e-4
"""Added to the variance by which a residual is scaled."""


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
        """The residual of each level, `(batch, features)`; with `learn` the scales are updated."""
        state = latent.new_zeros(len(latent), 0)
        residuals: list[Tensor] = []
        for network, scale in zip(self.networks, self.scales, strict=True):
            assert isinstance(scale, RunningMoments)
            if learn:
                scale.update(target if scale.mean.ndim else target.flatten())
            prediction, _ = network(latent, action, state)
            residuals.append(scale.whiten(target, MIN_VARIANCE) - prediction)
            target = residuals[-1].detach()
        return residuals


class ResidualLevelsModel(NetworkModel[ResidualLevels]):
    """Trains all levels at once, each on the current residual of the level below.

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
