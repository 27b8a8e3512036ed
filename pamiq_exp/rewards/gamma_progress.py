"""Curiosity about what the model has learned lately."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.models import DynamicsNetwork
from pamiq_exp.models.progress import TwoAges
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class GammaProgress(Reward):
    """r = L(theta_old; x) - L(theta; x): how much less wrong the model is than its slow copy, on the same transition.

    The noise of the two losses is common to both and cancels to first order. Their difference is averaged over
    the last `window` transitions of a lane. Negative values mean forgetting.

    Source: Kim et al. 2020, Active world model learning with progress curiosity, equation 6.

    Args:
        normaliser: How the raw reward is scaled.
        dynamics: Name of the `ProgressDynamics` model.
        window: Transitions to average over.
    """

    name = "gamma_progress"
    needs_latents = True

    def __init__(self, normaliser: Normaliser | None = None, dynamics: str = "dynamics", window: int = 8) -> None:
        super().__init__(normaliser, parts=("error", "old_error"))
        if window < 1:
            raise ValueError(f"window must be at least 1 transition, not {window}")
        self.window = int(window)
        self._model = NeededModel(dynamics, TwoAges, self)
        self._memories: dict[str, torch.Tensor] = {}
        self._differences: NDArray[np.float32] | None = None
        """The last differences of each lane, `(window, lanes)`; NaN where there is none."""
        self._turn = 0

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        latent, target, valid = transition.latent, transition.next_latent, transition.valid
        if latent is None or target is None:
            return None
        both = self._model.module
        error = self._loss("new", both.network, transition, latent, target)
        old_error = self._loss("old", both.old, transition, latent, target)
        self.note("error", error, valid)
        self.note("old_error", old_error, valid)
        if self._differences is None:
            self._differences = np.full((self.window, len(latent)), np.nan, dtype=np.float32)
        self._differences[self._turn % self.window] = old_error - error
        self._turn += 1
        known = ~np.isnan(self._differences)
        mean: NDArray[np.float32] = np.where(known, self._differences, 0).sum(0) / np.maximum(known.sum(0), 1)
        self._differences[:, ~valid] = np.nan
        return mean.astype(np.float32)

    def state(self) -> State:
        """The window and the memories of recurrent networks."""
        if self._differences is None:
            return {}
        return {"differences": self._differences, "turn": self._turn, "memories": dict(self._memories)}

    def load_state(self, state: State) -> None:
        """Restore the window and the memories."""
        self._differences = np.array(state["differences"], dtype=np.float32)
        self._turn = int(state["turn"])
        self._memories = dict(state["memories"])

    def _loss(
        self, age: str, network: DynamicsNetwork, transition: Transition, latent: torch.Tensor, target: torch.Tensor
    ) -> NDArray[np.float32]:
        memory = self._memories.get(age)
        if memory is None:
            memory = network.initial_state(len(latent), latent.device)
        law, memory = network.predict(latent, transition.action, memory)
        if network.state_width:
            self._memories[age] = memory * torch.from_numpy(transition.valid).to(memory.device)[:, None]
        loss: NDArray[np.float32] = law.loss(target).float().cpu().numpy()
        return loss
