"""Scores of the intrinsic reward against something else, in windows of time: rank correlation and AUROC."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.buffered import BufferedMetric, Rows
from pamiq_exp.metrics.coverage import VisitedCells
from pamiq_exp.metrics.statistics import Window

Numbers = NDArray[np.float64]


def midranks(values: Numbers) -> Numbers:
    """Return the ranks from 1; equal values get the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Numbers = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    return ranks


def auroc(score: Numbers, label: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve: the probability that a positive scores above a negative, ties one half.

    U / (n1 n0) with the statistic U of Mann and Whitney (1947); None if either class is empty.
    """
    ones = int(np.count_nonzero(label))
    zeros = len(label) - ones
    if not ones or not zeros:
        return None
    above = midranks(score)[label].sum() - ones * (ones + 1) / 2.0
    return float(above / (ones * zeros))


def spearman(first: Numbers, second: Numbers) -> float | None:
    """Return the rank correlation (Spearman 1904); None if either is constant."""
    if len(first) < 2 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(midranks(first), midranks(second))[0, 1])


class WindowedScore(BufferedMetric):
    """Base class of metrics that compute a score from the rewards of many steps and another column.

    Rewards drift while an agent learns, so each window of steps has a score of its own: a record holds the score of
    the newest full window, the summary the mean over all windows, or the score of the steps so far if none is full.

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
        """Return what rewards are compared with, `(turns, num_envs)`; called once for each turn, in order."""

    @abstractmethod
    def score(self, reward: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
        """Return the score of a window; None where it is undefined."""

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

    def metrics(self) -> dict[str, float]:
        return {} if self._newest is None else {self.name: self._newest}

    def final_metrics(self) -> dict[str, float]:
        if self._windows:
            return {self.name: self._sum / self._windows}
        rest = self._window.rest()
        score = self.score(*rest.T) if len(rest) else None
        return {} if score is None else {self.name: score}

    def counted_state(self) -> State:
        if not self._windows:
            return {}
        return {"newest": self._newest, "sum": self._sum, "windows": self._windows}

    def load_state(self, state: State) -> None:
        newest = state["newest"]
        self._newest = None if newest is None else float(np.asarray(newest))
        self._sum, self._windows = float(np.asarray(state["sum"])), int(np.asarray(state["windows"]))


class FirstVisitAuroc(WindowedScore):
    """AUROC of the intrinsic reward as a detector of first visits to cells.

    It is the probability that a step into an unvisited cell has a higher reward than another step: 1 if it always has,
    0.5 at chance. Each window with at least `min_visits` first visits gives one score.

    Works where the ground truth has `pose` and `reachable`, see `Coverage`, and the agent shows its
    rewards. Reports `first_visit_auroc`, see `WindowedScore`.

    Args:
        window: Environment steps in a window.
        min_visits: Fewest first visits in a window with a score.
        cell: Side of the cells of `reachable`, in meters.
    """

    title, needs, name = "first visits", ("pose", "reachable"), "first_visit_auroc"
    columns = ("pose", "reward", "rewarded")

    def __init__(self, window: int = 4000, min_visits: int = 20, cell: float = 0.25) -> None:
        super().__init__(window)
        self._min_visits = min_visits
        self._cells = VisitedCells(cell)

    def begin(self, turn: Turn) -> None:
        self._cells.begin(turn.ground_truth["reachable"])

    def other(self, rows: Rows) -> NDArray[np.generic]:
        """Return whether each pose is the first in its cell."""
        return self._cells.enter(rows["pose"])

    def score(self, reward: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
        return auroc(reward, other > 0) if np.count_nonzero(other) >= self._min_visits else None
