"""Curiosity about views that were not seen before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.models.random_network import RandomNetwork
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class RandomNetworkDistillation(Reward):
    """r = mean over the features of (g(o_{t+1}) - h(o_{t+1}))^2: a network g learns to imitate a fixed random one, h.

    No transition is modelled, so that what cannot be foreseen does not matter by itself; but each noisy frame
    is a new one.

    Source: Burda et al. 2019, Exploration by random network distillation, section 2.2.

    Args:
        normaliser: How the raw reward is scaled.
        model: Name of the `RandomNetworkDistillation` model.
    """

    name = "rnd"

    def __init__(self, normaliser: Normaliser | None = None, model: str = "rnd") -> None:
        super().__init__(normaliser)
        self._model = NeededModel(model, RandomNetwork, self)

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        network = self._model.module
        if not network.ready:
            return None
        novelty: NDArray[np.float32] = network(transition.observation).float().cpu().numpy()
        return novelty
