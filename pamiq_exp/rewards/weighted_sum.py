"""Several rewards at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import PublishedModel, Transition


class WeightedSum(Reward):
    """r = sum of w_i r_i, each r_i scaled by its own normaliser and logged by itself.

    Args:
        parts: The rewards, by name; the name takes the place of their own in the figures.
        weights: One weight for each part.
        normaliser: How the sum is scaled.

    Raises:
        ValueError: Parts and weights do not have the same names.
    """

    name = "weighted_sum"

    def __init__(
        self, parts: Mapping[str, Reward], weights: Mapping[str, float], normaliser: Normaliser | None = None
    ) -> None:
        super().__init__(normaliser)
        if set(parts) != set(weights) or not parts:
            raise ValueError(
                f"each part needs a weight and each weight a part; parts: {sorted(parts)}, weights: {sorted(weights)}"
            )
        self.parts = dict(parts)
        self.weights = {name: float(weight) for name, weight in weights.items()}
        self.needs_latents = any(part.needs_latents for part in self.parts.values())
        for name, part in self.parts.items():
            part.name = name

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        for part in self.parts.values():
            part.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32]:
        """See the base class."""
        total = np.zeros(len(transition.valid), dtype=np.float32)
        for name, part in self.parts.items():
            total += np.float32(self.weights[name]) * part(transition)
        return total

    def report(self) -> dict[str, float]:
        """The figures of the sum and of all parts."""
        figures = super().report()
        for part in self.parts.values():
            figures |= part.report()
        return figures
