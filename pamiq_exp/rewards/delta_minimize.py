"""Decrease of the prediction error from one turn to the next as intrinsic reward (P-AMI<Q> 2024)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import PublishedModel, Transition


class DeltaMinimize(Reward):
    """r_t = e_{t-1} - e_t, the decrease of the prediction error between consecutive transitions; 0 at the first one.

    Not learning progress: the two errors belong to different transitions. Its discounted sum is
    e_{t-1} - (1 - gamma) sum_k gamma^k e_{t+k}, so it is highest where errors are low.

    Source: the "delta" reward of P-AMI<Q> (2024).

    Args:
        error: The reward whose raw value is e.
        normalizer: How the raw reward is scaled.
    """

    name = "delta_minimize"

    def __init__(self, error: Reward, normalizer: Normalizer | None = None) -> None:
        super().__init__(normalizer, parts=("error",))
        self.error = error
        self.needs_latents = error.needs_latents
        self._previous: NDArray[np.float32] | None = None

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self.error.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        error, valid = self.error.compute(transition), transition.valid
        if error is None:
            self._previous = None
            return None
        self.note("error", error, valid)
        previous = error if self._previous is None else np.where(np.isnan(self._previous), error, self._previous)
        self._previous = np.where(valid, error, np.float32(np.nan))
        return previous - error

    def state(self) -> State:
        """The previous error of each environment; NaN where there is none."""
        return {} if self._previous is None else {"previous": self._previous}

    def load_state(self, state: State) -> None:
        """Restore the previous errors."""
        self._previous = np.array(state["previous"], dtype=np.float32)
