"""Never Give Up (Badia et al. 2020): novelty within the episode, modulated by novelty over the whole run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.models.nn.running_moments import merge_moments
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.rnd import RandomNetwork
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition

KERNEL_EPSILON = 1e-3
PSEUDO_COUNT = 1e-3
CLUSTER_DISTANCE = 8e-3
MAX_SIMILARITY = 8.0


class NeverGiveUp(Reward):
    """r = r_episodic min(max(alpha, 1), L) for f = f(o_{t+1}), the encoder's features of what the agent controls.

    With d_i the squared distances from f to its k nearest neighbors among the earlier features of the episode, and
    m the mean of all such distances so far:

        K_i = eps / (max(d_i / m - xi, 0) + eps),   s = sqrt(sum K_i) + c,   r_episodic = 1 / s, or 0 if s > s_max
        alpha = 1 + (e - mean e) / std e,   e the error of random network distillation on o_{t+1}

    The first observation of an episode is in its memory, so there is always a neighbor. The memory keeps the newest
    `capacity` features; after it, an episode without an end forgets.

    Source: Badia et al. 2020, Never give up: learning directed exploration strategies, equations 1 to 3, algorithm 1.

    Args:
        num_envs: Number of reward streams.
        normalizer: How the raw reward is scaled.
        neighbors: k.
        limit: L, the largest factor by which novelty over the whole life raises the reward.
        capacity: Features in the memory of an episode.
        model: Name of the `RndModel`.
    """

    name = "ngu"
    needs_latents = True

    def __init__(
        self,
        num_envs: int,
        normalizer: Normalizer | None = None,
        neighbors: int = 10,
        limit: float = 5.0,
        capacity: int = 2000,
        model: str = "rnd",
    ) -> None:
        super().__init__(normalizer, parts=("episodic", "modulator"))
        if neighbors < 1 or capacity < neighbors or limit < 1:
            raise ValueError(
                "neighbors, capacity and limit must be at least 1, neighbors and 1, not "
                f"{neighbors}, {capacity} and {limit}"
            )
        self.neighbors, self.limit, self.capacity = int(neighbors), float(limit), int(capacity)
        self._model = NeededModel(model, RandomNetwork, self)
        self._memory: NDArray[np.float32] = np.zeros((num_envs, self.capacity, 0), dtype=np.float32)
        self._counts = np.zeros(num_envs, dtype=np.int64)
        """Features that each memory got in this episode."""
        self._distance = np.zeros(2)
        """Number and mean of the squared distances to neighbors."""
        self._moments = np.zeros(3)
        """Count, mean and variance of the errors of random network distillation."""

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        network, valid = self._model.module, transition.valid
        self._counts[~valid] = 0
        if transition.latent is None or transition.next_latent is None or not network.warmed_up:
            return None
        before, now = (each.float().cpu().numpy() for each in (transition.latent, transition.next_latent))
        if self._memory.shape[-1] != now.shape[-1]:
            self._memory = np.zeros((*self._memory.shape[:2], now.shape[-1]), dtype=np.float32)
            self._counts[:] = 0
        error = network(transition.observation).double().cpu().numpy()
        modulator = self._modulator(error, valid)
        episodic = np.zeros(len(valid), dtype=np.float32)
        for env in range(len(valid)):
            if valid[env] and self._counts[env] == 0:
                self._remember(env, before[env])
            if valid[env]:
                episodic[env] = self._episodic(env, now[env])
            self._remember(env, now[env])
        self.note("episodic", episodic, valid)
        self.note("modulator", modulator, valid)
        return episodic * modulator

    def state(self) -> State:
        """Memories, distances and errors so far."""
        filled = int(np.minimum(self._counts, self.capacity).max(initial=0))
        return {
            "memory": self._memory[:, :filled].copy(),
            "counts": self._counts.copy(),
            "distance": self._distance.copy(),
            "moments": self._moments.copy(),
        }

    def load_state(self, state: State) -> None:
        """Restore them."""
        memory = np.asarray(state["memory"], dtype=np.float32)
        self._memory = np.zeros((len(memory), self.capacity, memory.shape[-1]), dtype=np.float32)
        self._memory[:, : memory.shape[1]] = memory
        self._counts = np.array(state["counts"], dtype=np.int64)
        self._distance, self._moments = np.array(state["distance"]), np.array(state["moments"])

    def _remember(self, env: int, features: NDArray[np.float32]) -> None:
        if np.isfinite(features).all():
            self._memory[env, self._counts[env] % self.capacity] = features
            self._counts[env] += 1

    def _episodic(self, env: int, features: NDArray[np.float32]) -> float:
        known = self._memory[env, : min(int(self._counts[env]), self.capacity)]
        distances = np.square(known - features, dtype=np.float64).sum(-1)
        if len(distances) > self.neighbors:
            distances = np.partition(distances, self.neighbors - 1)[: self.neighbors]
        count, mean = self._distance
        self._distance[:] = count + len(distances), (count * mean + distances.sum()) / (count + len(distances))
        relative = np.maximum(distances / max(self._distance[1], 1e-12) - CLUSTER_DISTANCE, 0)
        similarity = np.sqrt((KERNEL_EPSILON / (relative + KERNEL_EPSILON)).sum()) + PSEUDO_COUNT
        return 0.0 if similarity > MAX_SIMILARITY else float(1 / similarity)

    def _modulator(self, error: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        known = error[valid & np.isfinite(error)]
        if known.size:
            count, mean, variance = self._moments
            self._moments[:] = merge_moments(count, mean, variance, known.size, known.mean(), known.var())
        alpha = 1 + (error - self._moments[1]) / np.sqrt(self._moments[2] + 1e-12)
        factor: NDArray[np.float32] = np.clip(alpha, 1, self.limit).astype(np.float32)
        return factor
