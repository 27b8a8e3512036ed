"""NovelD (Zhang et al. 2021): difference of novelty on first visits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.rewards.hash_codes import HashCodes
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.rnd import RandomNetwork
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition

_NEVER = np.iinfo(np.int64).min // 2


class NovelD(Reward):
    """r = max(0, n(o_{t+1}) - alpha n(o_t)) on the first visit of a cell within a window, else 0.

    n is the error of random network distillation. A cell is one of the encoder's latent space: the signs of a few
    random projections (the paper counts observations of an episode). In an environment without episodes, a cell that
    was not visited for `window` turns counts as not visited.

    Source: Zhang et al. 2021, NovelD: a simple yet effective exploration criterion, equations 2 and 3.

    Args:
        num_envs: Number of reward streams.
        seed: Of the projections.
        normalizer: How the raw reward is scaled.
        alpha: Weight of the novelty of o_t.
        bits: Projections; there are 2^bits cells.
        window: Turns without a visit after which a cell counts as not visited.
        model: Name of the `RndModel`.
    """

    name = "noveld"
    needs_latents = True

    def __init__(
        self,
        num_envs: int,
        seed: int,
        normalizer: Normalizer | None = None,
        alpha: float = 0.5,
        bits: int = 10,
        window: int = 1000,
        model: str = "rnd",
    ) -> None:
        super().__init__(normalizer, parts=("novelty", "first_visits"))
        self._codes = HashCodes(bits, 20, seed)
        self.alpha, self.bits, self.window = float(alpha), int(bits), int(window)
        self._model = NeededModel(model, RandomNetwork, self)
        self._last_visit = np.full((num_envs, 2**bits), _NEVER, dtype=np.int64)
        self._turn = 0

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        network, latent, valid = self._model.module, transition.next_latent, transition.valid
        self._last_visit[~valid] = _NEVER
        if latent is None or not network.warmed_up:
            return None
        both = {
            name: torch.stack([transition.previous_observation[name], transition.observation[name]])
            for name in network.fields
        }
        before, now = network(both).float().cpu().numpy()
        first = self._first_visits(self._codes(latent))
        self.note("novelty", now, valid)
        self.note("first_visits", first.astype(np.float32), valid)
        reward: NDArray[np.float32] = np.maximum(now - np.float32(self.alpha) * before, 0) * first
        return reward

    def state(self) -> State:
        """The turn of the last visit to each cell."""
        return {"last_visit": self._last_visit, "turn": self._turn}

    def load_state(self, state: State) -> None:
        """Restore the visits."""
        self._last_visit = np.array(state["last_visit"], dtype=np.int64)
        self._turn = int(state["turn"])

    def _first_visits(self, cells: NDArray[np.int64]) -> NDArray[np.bool_]:
        envs = np.arange(len(cells))
        first: NDArray[np.bool_] = self._turn - self._last_visit[envs, cells] > self.window
        self._last_visit[envs, cells] = self._turn
        self._turn += 1
        return first
