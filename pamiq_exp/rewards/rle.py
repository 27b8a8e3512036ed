"""Wanting something else every now and then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.models.random_goals import GoalFeatures
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.seeding import numpy_generator


class RandomLatentExploration(Reward):
    """r = phi(o_{t+1}) . z / |phi(o_{t+1})| for a random unit vector z, drawn anew every `segment` turns.

    Not a measure of novelty: over random z it has mean 0 and standard deviation 1 / sqrt(d), always. The policy is told
    z (field `goal`), and returns do not look beyond the turn at which it changes. The lanes change theirs at
    different times.

    Source: Mahankali et al. 2024, Random latent exploration for deep reinforcement learning, algorithm 1.

    Args:
        lanes: Number of reward streams.
        seed: Of the goals.
        normaliser: How the raw reward is scaled.
        features: d, numbers in a goal: `${models.random_goals.features}`.
        segment: Turns for which a goal lasts.
        model: Name of the `RandomGoals` model.
    """

    name = "rle"

    def __init__(
        self,
        lanes: int,
        seed: int,
        normaliser: Normaliser | None = None,
        features: int = 16,
        segment: int = 500,
        model: str = "random_goals",
    ) -> None:
        super().__init__(normaliser)
        if segment < 1:
            raise ValueError(f"segment must be at least 1 turn, not {segment}")
        self.segment = int(segment)
        self._generator = numpy_generator(seed)
        self._model = NeededModel(model, GoalFeatures, self)
        self._goals = self._draw(lanes, features)
        self._ages: NDArray[np.int64] = np.arange(lanes) * self.segment // lanes
        self._changed = np.zeros(lanes, dtype=np.bool_)

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32]:
        """See the base class."""
        features = self._model.module(transition.observation).float().cpu().numpy()
        along = np.einsum("lf,lf->l", features, self._goals)
        reward: NDArray[np.float32] = along / np.maximum(np.linalg.norm(features, axis=1), 1e-8)
        self._ages += 1
        self._changed = (self._ages >= self.segment) | ~transition.valid
        self._ages[self._changed] = 0
        self._goals[self._changed] = self._draw(int(self._changed.sum()), self._goals.shape[1])
        return reward.astype(np.float32)

    def policy_inputs(self, lanes: int, device: torch.device) -> dict[str, torch.Tensor]:
        """`goal`: z, `(lanes, features)`."""
        return {"goal": torch.from_numpy(self._goals.copy()).to(device)}

    def cuts(self) -> NDArray[np.bool_]:
        """Lanes whose goal has just changed."""
        return self._changed

    def state(self) -> State:
        """Goals and their ages."""
        return {"goals": self._goals, "ages": self._ages, "changed": self._changed}

    def load_state(self, state: State) -> None:
        """Restore the goals."""
        self._goals = np.array(state["goals"], dtype=np.float32)
        self._ages = np.array(state["ages"], dtype=np.int64)
        self._changed = np.array(state["changed"], dtype=np.bool_)

    def _draw(self, count: int, features: int) -> NDArray[np.float32]:
        directions: NDArray[Any] = self._generator.standard_normal((count, features))
        unit: NDArray[np.float32] = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
        return unit
