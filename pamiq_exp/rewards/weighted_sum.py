"""Weighted sum of rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import GroundTruth, Reward
from pamiq_exp.rewards.transition import PublishedModel, Transition


class WeightedSum(Reward):
    """r = sum of w_i r_i, each r_i scaled by its own normalizer and logged by itself.

    Args:
        parts: The rewards, by name; the name replaces their own in the metrics.
        weights: One weight for each part.
        normalizer: How the sum is scaled.

    Raises:
        ValueError: Parts and weights do not have the same names.
    """

    name = "weighted_sum"

    def __init__(
        self, parts: Mapping[str, Reward], weights: Mapping[str, float], normalizer: Normalizer | None = None
    ) -> None:
        super().__init__(normalizer)
        if set(parts) != set(weights) or not parts:
            raise ValueError(
                f"each part needs a weight and each weight a part; parts: {sorted(parts)}, weights: {sorted(weights)}"
            )
        self.parts = dict(parts)
        self.weights = {name: float(weight) for name, weight in weights.items()}
        self.needs_latents = any(part.needs_latents for part in self.parts.values())
        self.recorded_fields = tuple(name for part in self.parts.values() for name in part.recorded_fields)
        for name, part in self.parts.items():
            part.name = name

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        for part in self.parts.values():
            part.attach(models)

    def attach_oracle(self, ground_truth: GroundTruth) -> None:
        """See the base class."""
        for part in self.parts.values():
            part.attach_oracle(ground_truth)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class; None while no part has a reward."""
        total = np.zeros(len(transition.valid), dtype=np.float32)
        for name, part in self.parts.items():
            total += np.float32(self.weights[name]) * part(transition)
        silent = transition.valid.any() and not any(part.rewarded.any() for part in self.parts.values())
        return None if silent and np.isfinite(total).all() else total

    def policy_inputs(self, num_envs: int, device: torch.device) -> dict[str, torch.Tensor]:
        """See the base class."""
        inputs: dict[str, torch.Tensor] = {}
        for part in self.parts.values():
            inputs |= part.policy_inputs(num_envs, device)
        return inputs

    def fields(self) -> dict[str, NDArray[Any]]:
        """See the base class."""
        fields: dict[str, NDArray[Any]] = {}
        for part in self.parts.values():
            fields |= part.fields()
        return fields

    def cuts(self) -> NDArray[np.bool_] | None:
        """Environments in which the goal of any part changes."""
        cuts = [cut for part in self.parts.values() if (cut := part.cuts()) is not None]
        return np.logical_or.reduce(cuts) if cuts else None

    def report(self) -> dict[str, float]:
        """The metrics of the sum and of all parts."""
        metrics = super().report()
        for part in self.parts.values():
            metrics |= part.report()
        return metrics
