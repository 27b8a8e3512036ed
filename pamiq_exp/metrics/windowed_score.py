"""Scores that compare the rewards of a window of time with something else."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.truth_metric import TruthMetric, rewards
from pamiq_exp.metrics.windows import Window


class WindowedScore(TruthMetric):
    """Base class of metrics that work out one score from the rewards and something else of many steps.

    Rewards drift while an agent learns, so scores are worked out in one window of time after the other: a
    record holds the score of the newest full window, the summary the mean over all windows (of what there
    is, if not even one is full).

    Args:
        window: Environment steps in a window, about a tenth of a run.
    """

    name: str

    def __init__(self, window: int = 4000) -> None:
        super().__init__()
        self._window = Window(window, 2)
        self._newest: float | None = None
        self._sum = 0.0
        self._windows = 0

    @abstractmethod
    def other(self, turn: Turn) -> NDArray[Any]:
        """Return what rewards are compared with, `(lanes,)`; called each turn."""

    @abstractmethod
    def score(self, reward: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
        """Return the score of a window; None if it says nothing."""

    def watch(self, turn: Turn) -> None:
        other = self.other(turn)
        earned = rewards(turn)
        if earned is None:
            return
        reward, counts = earned
        if (full := self._window.add(reward[counts], other[counts])) is not None:
            self._newest = self.score(*full.T)
            if self._newest is not None:
                self._sum += self._newest
                self._windows += 1

    def report(self) -> dict[str, float]:
        return {} if self._newest is None else {self.name: self._newest}

    def summary(self) -> dict[str, float]:
        if self._windows:
            return {self.name: self._sum / self._windows}
        rest = self._window.rest()
        score = self.score(*rest.T) if len(rest) else None
        return {} if score is None else {self.name: score}

    def state(self) -> State:
        if not self._windows:
            return {}
        return {"newest": self._newest, "sum": self._sum, "windows": self._windows}

    def load_state(self, state: State) -> None:
        newest = state["newest"]
        self._newest = None if newest is None else float(np.asarray(newest))
        self._sum, self._windows = float(np.asarray(state["sum"])), int(np.asarray(state["windows"]))
