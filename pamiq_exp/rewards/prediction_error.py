"""Curiosity about what was not foreseen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.models import DynamicsNetwork
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import PublishedModel, Transition, published


class PredictionError(Reward):
    """r = mean over the features of (z_{t+1} - f(z_t, a_t, memory))^2.

    Captured by anything that nobody can predict: that is the question this project asks. It says nothing
    until the encoder is ready.

    Sources: Schmidhuber 1991, A possibility for implementing curiosity and boredom; Pathak et al. 2017,
    Curiosity-driven exploration by self-supervised prediction.

    Args:
        normaliser: How the raw reward is scaled.
        dynamics: Name of the model that predicts.
    """

    name = "prediction_error"
    needs_latents = True

    def __init__(self, normaliser: Normaliser | None = None, dynamics: str = "dynamics") -> None:
        super().__init__(normaliser)
        self._dynamics_name = dynamics
        self._dynamics: PublishedModel | None = None
        self._memory: torch.Tensor | None = None

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._dynamics = published(models, self._dynamics_name, self)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        latent, target = transition.latent, transition.next_latent
        if latent is None or target is None:
            return None
        network = self._network()
        memory = self._memory
        if memory is None:
            memory = network.initial_state(len(latent), latent.device)
        prediction, memory = network(latent, transition.action, memory)
        if network.state_width:
            self._memory = memory * torch.from_numpy(transition.valid).to(memory.device)[:, None]
        error: NDArray[np.float32] = (target - prediction).square().mean(-1).float().cpu().numpy()
        return error

    def state(self) -> State:
        """The memory of a recurrent dynamics."""
        return {} if self._memory is None else {"memory": self._memory}

    def load_state(self, state: State) -> None:
        """Restore the memory."""
        self._memory = state["memory"]

    def _network(self) -> DynamicsNetwork:
        if self._dynamics is None:
            raise RuntimeError("PredictionError has no model yet: attach() comes before the first step")
        network = self._dynamics.module
        if not isinstance(network, DynamicsNetwork):
            raise TypeError(
                f"the model '{self._dynamics_name}' is a {type(network).__name__} at inference; "
                "PredictionError needs a DynamicsNetwork (see pamiq_exp.models.ForwardDynamics)"
            )
        return network
