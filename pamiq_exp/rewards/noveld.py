"""NovelD (Zhang et al. 2021): difference of novelty on first visits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.rewards.hash_codes import HashCodes
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.rnd import RandomNetwork
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class NovelD(Reward):
    """r = max(0, n(o_{t+1}) - alpha n(o_t)) on the first visit of o_{t+1} in an episode, else 0.

    n is the norm of the error of random network distillation. With `bits` = None a visit is one of exactly this
    observation, as in the paper. Where no two observations are equal (pictures of a camera), it is one of a cell: the
    signs of `bits` random projections of the encoder's latent vector. Visits are forgotten at the end of an episode,
    and, with a `window`, after so many turns: for environments without ends.

    Source: Zhang et al. 2021, NovelD: a simple yet effective exploration criterion, equations 2 and 3.

    Args:
        num_envs: Number of reward streams.
        seed: Of the projections.
        normalizer: How the raw reward is scaled.
        alpha: Weight of the novelty of o_t.
        bits: Projections; there are 2^bits cells. None counts observations.
        window: Turns without a visit after which a visit is forgotten; None for the whole episode.
        model: Name of the `RndModel`.
    """

    name = "noveld"

    def __init__(
        self,
        num_envs: int,
        seed: int,
        normalizer: Normalizer | None = None,
        alpha: float = 0.5,
        bits: int | None = None,
        window: int | None = None,
        model: str = "rnd",
    ) -> None:
        super().__init__(normalizer, parts=("novelty", "first_visits"))
        self._codes = None if bits is None else HashCodes(bits, 20, seed)
        self.needs_latents = bits is not None
        self.alpha, self.window = float(alpha), window
        self._model = NeededModel(model, RandomNetwork, self)
        self._last_visits: list[dict[int, int]] = [{} for _ in range(num_envs)]
        """For each environment, the turn of the last visit to each observation or cell of this episode."""
        self._turn = 0

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        network, valid = self._model.module, transition.valid
        for env in np.flatnonzero(~valid):
            self._last_visits[env].clear()
        if not network.warmed_up or (self._codes is not None and transition.next_latent is None):
            return None
        both = {
            name: torch.stack([transition.previous_observation[name], transition.observation[name]])
            for name in network.fields
        }
        before, now = network.error_norm(both).float().cpu().numpy()
        first = self._first_visits(transition)
        self.note("novelty", now, valid)
        self.note("first_visits", first.astype(np.float32), valid)
        reward: NDArray[np.float32] = np.maximum(now - np.float32(self.alpha) * before, 0) * first
        return reward

    def state(self) -> State:
        """The visits of all environments, one after another, and the turn."""
        return {
            "counts": np.array([len(visits) for visits in self._last_visits], dtype=np.int64),
            "keys": np.array([key for visits in self._last_visits for key in visits], dtype=np.int64),
            "turns": np.array([turn for visits in self._last_visits for turn in visits.values()], dtype=np.int64),
            "turn": self._turn,
        }

    def load_state(self, state: State) -> None:
        """Restore the visits."""
        ends = np.cumsum(np.asarray(state["counts"]))[:-1]
        keys, turns = (np.split(np.asarray(state[name]), ends) for name in ("keys", "turns"))
        self._last_visits = [
            dict(zip(each.tolist(), at.tolist(), strict=True)) for each, at in zip(keys, turns, strict=True)
        ]
        self._turn = int(state["turn"])

    def _first_visits(self, transition: Transition) -> NDArray[np.bool_]:
        """Where o_{t+1} was not visited before, `(num_envs,)`; o_t counts as visited."""
        first = np.zeros(len(transition.valid), dtype=np.bool_)
        keys = zip(self._keys(transition, False), self._keys(transition, True), strict=True)
        for env, (before, now) in enumerate(keys):
            visits = self._last_visits[env]
            if transition.valid[env] and not visits:
                visits[before] = self._turn - 1
            last = visits.get(now)
            first[env] = last is None or (self.window is not None and self._turn - last > self.window)
            visits[now] = self._turn
        self._turn += 1
        return first

    def _keys(self, transition: Transition, now: bool) -> Iterator[int]:
        """A number for the observation or the cell of each environment, at o_{t+1} or o_t."""
        if self._codes is not None:
            latent = transition.next_latent if now else transition.latent
            assert latent is not None  # both or none
            return iter(self._codes(latent).tolist())
        values = transition.observation if now else transition.previous_observation
        fields = [values[name].cpu().numpy() for name in self._model.module.fields]
        return (_digest(row) for row in zip(*fields, strict=True))


def _digest(arrays: tuple[NDArray[np.generic], ...]) -> int:
    digest = blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True)
