"""Sticky actions (Machado et al. 2018): with some probability the last action is repeated instead of the new one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world import drawing
from pamiq_exp.environments.noise_world.starts import env_keys

UNIT = 0
"""Of the draws that decide whether an action sticks."""


class StickyActions:
    """Decides in which environments an action sticks, by the step alone: nothing has to be saved.

    Args:
        probability: That an action sticks.
        seed: Seeds the draws.
        num_envs: How many environments there are.
    """

    def __init__(self, probability: float, seed: int, num_envs: int) -> None:
        self.probability = probability
        self._keys = env_keys(seed, "sticky", num_envs)

    def __call__(self, action: NDArray[np.int64], last: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """Return the actions that are taken, `(num_envs, branches)`, at a step; the first one never sticks."""
        if not self.probability or step == 0:
            return action
        bits = np.array([int(drawing.draw(UNIT, step, low, high)) for low, high in self._keys])
        return np.where((bits < self.probability * 2.0**32)[:, None], last, action)
