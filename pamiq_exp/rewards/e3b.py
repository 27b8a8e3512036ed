"""E3B: elliptical episodic bonus (Henaff et al. 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import Transition

_REFRESH = 1000
"""Updates after which the inverse is computed anew, so that rounding errors do not add up."""


class EllipticalBonus(Reward):
    """r = phi' C^-1 phi for phi = phi(o_{t+1}), where C = ridge I + sum of phi phi' over the episode before it.

    An episode is one of the environment, cut after `window` turns. Its first observation enters C and has no bonus,
    as in the authors' code (facebookresearch/e3b). After each turn the inverse is updated by
    u = C^-1 phi, C^-1 -= u u' / (1 + phi' u), in double precision. phi is the agent's encoder; the paper uses
    inverse-dynamics features, which keep what the agent controls.

    Source: Henaff et al. 2022, Exploration via elliptical episodic bonuses, equation 2 and algorithm 1.

    Args:
        normalizer: How the raw reward is scaled.
        ridge: Diagonal of C without any data.
        window: Largest number of turns in an episode; None for no limit.
    """

    name = "e3b"
    needs_latents = True

    def __init__(self, normalizer: Normalizer | None = None, ridge: float = 0.1, window: int | None = 1000) -> None:
        super().__init__(normalizer)
        if not ridge > 0 or (window is not None and window < 1):
            raise ValueError(f"ridge and window must be positive, not {ridge} and {window}")
        self.ridge, self.window = float(ridge), window
        self._inverse: NDArray[np.float64] | None = None
        self._covariance: NDArray[np.float64] = np.zeros(0)
        self._age: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        if transition.next_latent is None or transition.latent is None:
            return None
        features = transition.next_latent.double().cpu().numpy()
        num_envs, width = features.shape
        if self._inverse is None:
            self._inverse = np.tile(np.eye(width) / self.ridge, (num_envs, 1, 1))
            self._covariance = np.tile(np.eye(width) * self.ridge, (num_envs, 1, 1))
            self._age = np.zeros(num_envs, dtype=np.int64)
            self._include(transition.latent.double().cpu().numpy())
        over = ~transition.valid if self.window is None else ~transition.valid | (self._age >= self.window)
        self._inverse[over] = np.eye(width) / self.ridge
        self._covariance[over] = np.eye(width) * self.ridge
        self._age[over] = 0
        bonus = self._include(features)
        bonus[over] = 0
        self._age += 1
        due = self._age % _REFRESH == 0
        if due.any():
            self._inverse[due] = np.linalg.inv(self._covariance[due])
        return bonus.astype(np.float32)

    def _include(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the bonus of features, `(num_envs, features)` -> `(num_envs,)`, and add them to C."""
        assert self._inverse is not None
        features[~np.isfinite(features).all(1)] = 0  # would stay in the covariance to the end of the episode
        update = np.matmul(self._inverse, features[:, :, None])[:, :, 0]
        bonus: NDArray[np.float64] = np.einsum("lf,lf->l", features, update)
        scaled = update / np.sqrt(1 + bonus)[:, None]
        self._inverse -= scaled[:, :, None] * scaled[:, None, :]
        self._covariance += features[:, :, None] * features[:, None, :]
        return bonus

    def state(self) -> State:
        """The covariances, their inverses, and the ages of the episodes."""
        if self._inverse is None:
            return {}
        return {"inverse": self._inverse, "covariance": self._covariance, "age": self._age}

    def load_state(self, state: State) -> None:
        """Restore the covariances."""
        self._inverse = np.array(state["inverse"], dtype=np.float64)
        self._covariance = np.array(state["covariance"], dtype=np.float64)
        self._age = np.array(state["age"], dtype=np.int64)
