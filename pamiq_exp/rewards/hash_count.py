"""Counts of hash codes as intrinsic reward (Tang et al. 2017)."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.rewards.hash_codes import HashCodes
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import Transition


class HashCount(Reward):
    """r = 1 / sqrt(N(c)), where N counts how often all environments saw the code c of z_{t+1}, this time included.

    The code is the signs of random projections of the encoder's latent vector. Nothing is predicted: the reward for a
    view falls with its count, whether it can be predicted or not.

    Source: Tang et al. 2017, #Exploration: a study of count-based exploration for deep reinforcement learning,
    algorithm 1.

    Args:
        seed: Of the projections.
        normalizer: How the raw reward is scaled.
        bits: Projections. More of them distinguish more views, and fewer views repeat.
    """

    name = "hash_count"
    needs_latents = True

    def __init__(self, seed: int, normalizer: Normalizer | None = None, bits: int = 16) -> None:
        super().__init__(normalizer)
        self._codes = HashCodes(bits, 62, seed)
        self._counts: Counter[int] = Counter()

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        if transition.next_latent is None:
            return None
        codes = self._codes(transition.next_latent).tolist()
        self._counts.update(code for code, counts in zip(codes, transition.valid, strict=True) if counts)
        return np.array([1 / math.sqrt(max(self._counts[code], 1)) for code in codes], dtype=np.float32)

    def state(self) -> State:
        """Codes and their counts."""
        codes = sorted(self._counts)
        return {
            "codes": np.array(codes, dtype=np.int64),
            "counts": np.array([self._counts[code] for code in codes], dtype=np.int64),
        }

    def load_state(self, state: State) -> None:
        """Restore the counts."""
        codes, counts = (np.asarray(state[name]).tolist() for name in ("codes", "counts"))
        self._counts = Counter(dict(zip(codes, counts, strict=True)))
