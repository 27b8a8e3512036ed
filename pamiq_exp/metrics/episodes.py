"""What episodes brought."""

from __future__ import annotations

from collections import deque

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import StepObserver, Turn


class Episodes(StepObserver):
    """Mean return and length of the newest episodes; reports nothing as long as none has ended.

    The return is the plain sum of an episode's rewards; its length is the number of its actions. Reports
    `return_mean`, `episode_length_mean` and `episodes` (how many have ended in all).

    Args:
        window: How many of the newest episodes the means cover.
    """

    def __init__(self, window: int = 100) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1 episode, not {window}")
        self._returns: deque[float] = deque(maxlen=window)
        self._lengths: deque[float] = deque(maxlen=window)
        self._episodes = 0
        self._sums = np.zeros(0)
        self._steps = np.zeros(0)
        self._begins = np.ones(0, dtype=np.bool_)

    def on_step(self, turn: Turn) -> None:
        reward, ended = turn.observation.reward, turn.observation.ended
        if not self._sums.size:
            self._sums, self._steps = np.zeros(len(reward)), np.zeros(len(reward))
            self._begins = np.ones(len(reward), dtype=np.bool_)
        self._sums += reward
        self._steps += 1.0
        if self._begins.any():
            self._sums[self._begins] = self._steps[self._begins] = 0.0
        self._begins = ended.copy()
        for lane in np.flatnonzero(ended) if ended.any() else ():
            self._returns.append(float(self._sums[lane]))
            self._lengths.append(float(self._steps[lane]))
            self._episodes += 1

    def report(self) -> dict[str, float]:
        if not self._returns:
            return {}
        return {
            "return_mean": sum(self._returns) / len(self._returns),
            "episode_length_mean": sum(self._lengths) / len(self._lengths),
            "episodes": float(self._episodes),
        }

    def state(self) -> State:
        return {
            "returns": np.array(self._returns),
            "lengths": np.array(self._lengths),
            "episodes": self._episodes,
            "sums": self._sums.copy(),
            "steps": self._steps.copy(),
            "begins": self._begins.copy(),
        }

    def load_state(self, state: State) -> None:
        self._returns.clear()
        self._returns.extend(float(value) for value in np.asarray(state["returns"]))
        self._lengths.clear()
        self._lengths.extend(float(value) for value in np.asarray(state["lengths"]))
        self._episodes = int(np.asarray(state["episodes"]))
        self._sums = np.array(state["sums"], dtype=np.float64)
        self._steps = np.array(state["steps"], dtype=np.float64)
        self._begins = np.array(state["begins"], dtype=np.bool_)
