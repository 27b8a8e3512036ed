"""Return and length of episodes."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.metrics.buffered import BufferedMetric, Rows


class Episodes(BufferedMetric):
    """Mean return and length of the newest episodes; reports nothing until one has ended.

    The return is the undiscounted sum of an episode's rewards; its length is the number of its actions. Reports
    `return_mean`, `episode_length_mean` and `episodes` (how many have ended in all).

    Args:
        window: How many of the newest episodes the means cover.
    """

    title, needs = "episodes", ()
    columns = ("extrinsic_reward", "ended")

    def __init__(self, window: int = 100) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window must be at least 1 episode, not {window}")
        self._returns: deque[float] = deque(maxlen=window)
        self._lengths: deque[float] = deque(maxlen=window)
        self._episodes = 0
        self._sums = np.zeros(0)
        self._steps = np.zeros(0)
        self._begins = np.ones(0, dtype=np.bool_)

    def count(self, rows: Rows) -> None:
        rewards, ended = rows["extrinsic_reward"], rows["ended"]
        if not self._sums.size:
            self._sums, self._steps = np.zeros(rewards.shape[1]), np.zeros(rewards.shape[1])
            self._begins = np.ones(rewards.shape[1], dtype=np.bool_)
        done = 0
        while done < len(rewards):
            done += self._count_part(rewards[done:], ended[done:])

    def _count_part(self, rewards: NDArray[np.float32], ended: NDArray[np.bool_]) -> int:
        """Count turns up to the first one in which an episode ends or begins; return how many those were."""
        ends = np.flatnonzero(ended.any(axis=1))
        before_next = int(ends[0]) + 1 if ends.size else len(ended)
        turns = 1 if self._begins.any() else before_next
        self._sums = np.cumsum(np.concatenate([self._sums[None], rewards[:turns]]), axis=0)[-1]
        self._steps += turns
        self._sums[self._begins] = self._steps[self._begins] = 0.0
        self._begins = ended[turns - 1].copy()
        for env in np.flatnonzero(self._begins):
            self._returns.append(float(self._sums[env]))
            self._lengths.append(float(self._steps[env]))
            self._episodes += 1
        return turns

    def metrics(self) -> dict[str, float]:
        if not self._returns:
            return {}
        return {
            "return_mean": sum(self._returns) / len(self._returns),
            "episode_length_mean": sum(self._lengths) / len(self._lengths),
            "episodes": float(self._episodes),
        }

    def counted_state(self) -> State:
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
