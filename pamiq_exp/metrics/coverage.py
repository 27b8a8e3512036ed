"""How much of a world has been visited."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.tally import running_sums
from pamiq_exp.metrics.visited import VisitedCells


class CoverageCurve(Component):
    """Share of the reachable cells that have been visited, and its mean over all turns so far.

    Args:
        cell: Side of the cells, in metres.
    """

    def __init__(self, cell: float) -> None:
        self._cells = VisitedCells(cell)
        self._total = 0.0
        self._turns = 0

    def begin(self, reachable: NDArray[np.bool_]) -> None:
        """Learn which cells can be reached, `(rows, columns)`."""
        self._cells.begin(reachable)

    def add(self, pose: NDArray[np.float64]) -> None:
        """Count some turns: x and y (metres) of all environments first, `(turns, environments, 2 or more)`."""
        before = self._cells.count
        visited = before + np.cumsum(self._cells.enter(pose).sum(axis=1))
        self._turns += len(visited)
        self._total = running_sums(self._total, visited / max(self._cells.reachable, 1))[-1].item()

    def metrics(self, suffix: str = "") -> dict[str, float]:
        """Return `coverage` and `coverage_auc`; nothing without a turn or a reachable cell."""
        if not (self._turns and self._cells.reachable):
            return {}
        return {
            f"coverage{suffix}": self._cells.count / self._cells.reachable,
            f"coverage_auc{suffix}": self._total / self._turns,
        }

    def state(self) -> State:
        return {"total": self._total, "turns": self._turns} if self._turns else {}

    def load_state(self, state: State) -> None:
        self._total = float(np.asarray(state["total"]))
        self._turns = int(np.asarray(state["turns"]))


class Coverage(PagedMetric):
    """Share of the reachable cells that at least one lane has visited.

    Works with every environment whose ground truth has `pose` (x and y in metres first, `(lanes, n)`) and
    `reachable` (which square cells can be visited, `(rows, columns)`, the first one at x = y = 0).

    Reports `coverage`, and `coverage_auc`: its mean over all turns so far, the area under its curve. Nothing in a
    world without reachable cells.

    Args:
        cell: Side of the cells of `reachable`, in metres.
    """

    title, needs = "coverage", ("pose", "reachable")
    columns = ("pose",)

    def __init__(self, cell: float = 0.25) -> None:
        super().__init__()
        self._curve = CoverageCurve(cell)

    def begin(self, turn: Turn) -> None:
        self._curve.begin(turn.ground_truth["reachable"])

    def count(self, rows: Rows) -> None:
        self._curve.add(rows["pose"])

    def figures(self) -> dict[str, float]:
        return self._curve.metrics()
