"""Scores that compare the rewards of a window of time with something else."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.windows import Window


class WindowedScore(PagedMetric):
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
    def other(self, rows: Rows) -> NDArray[np.generic]:
        """Return what rewards are compared with, `(turns, lanes)`; called once for all turns."""

    @abstractmethod
    def score(self, reward: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
        """Return the score of a window; None if it says nothing."""

    def count(self, rows: Rows) -> None:
        other, reward, counts = self.other(rows), rows["reward"], rows["rewarded"]
        if self._window.holds(int(np.count_nonzero(counts))):
            self._window.add(reward[counts], other[counts])
            return
        for turn in range(len(counts)):
            if (full := self._window.add(reward[turn, counts[turn]], other[turn, counts[turn]])) is not None:
                self._end_window(full)

    def _end_window(self, full: NDArray[np.float64]) -> None:
        self._newest = self.score(*full.T)
        if self._newest is not None:
            self._sum += self._newest
            self._windows += 1

    def figures(self) -> dict[str, float]:
        return {} if self._newest is None else {self.name: self._newest}

    def final_figures(self) -> dict[str, float]:
        if self._windows:
            return {self.name: self._sum / self._windows}
        rest = self._window.rest()
        score = self.score(*rest.T) if len(rest) else None
        return {} if score is None else {self.name: score}

    def counted(self) -> State:
        if not self._windows:
            return {}
        return {"newest": self._newest, "sum": self._sum, "windows": self._windows}

    def load_state(self, state: State) -> None:
        newest = state["newest"]
        self._newest = None if newest is None else float(np.asarray(newest))
        self._sum, self._windows = float(np.asarray(state["sum"])), int(np.asarray(state["windows"]))
