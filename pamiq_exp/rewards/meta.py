"""Curiosity about what even the models of errors could not foresee."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.models.residual_levels import ResidualLevels
from pamiq_exp.rewards.levels import LevelScheme, level_coefficients
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class Meta(Reward):
    """r = sum_i c_i mean(delta_i^2), with delta_i the residual of level i; level i + 1 models the residuals of level i.

    On unpredictable input each level tends to c_i, whatever it is, since targets have variance 1: a scheme whose
    coefficients sum to 0 ignores noise for that reason alone.

    Source: the "meta" reward of P-AMI<Q> (2024).

    Args:
        levels: Their number: `${models.levels.network.levels}`.
        normaliser: How the raw reward is scaled.
        scheme: See `level_coefficients`.
        model: Name of the `ResidualLevelsModel`.
    """

    name = "meta"
    needs_latents = True

    def __init__(
        self,
        levels: int,
        normaliser: Normaliser | None = None,
        scheme: LevelScheme = "lerp_min_max",
        model: str = "levels",
    ) -> None:
        super().__init__(normaliser, parts=[f"level_{level}" for level in range(levels)])
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
