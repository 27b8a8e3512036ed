"""How much of a world has been visited."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.tally import running_sums
from pamiq_exp.metrics.visited import VisitedCells


class Coverage(PagedMetric):
    """Share of the reachable cells that at least one lane has visited.

    Works with every environment whose ground truth has `pose` (x and y in metres first, `(lanes, n)`) and
    `reachable` (which square cells can be visited, `(rows, columns)`, the first one at x = y = 0).

    Reports `coverage`, and `coverage_auc`: its mean over all turns so far, the area under its curve.

    Args:
        cell: Side of the cells of `reachable`, in metres.
    """

    title, needs = "coverage", ("pose", "reachable")
    columns = ("pose",)

    def __init__(self, cell: float = 0.25) -> None:
        super().__init__()
        self._cells = VisitedCells(cell)
        self._total = 0.0
        self._turns = 0

    def begin(self, turn: Turn) -> None:
        self._cells.begin(turn)

    def count(self, rows: Rows) -> None:
        before = self._cells.count
        visited = before + np.cumsum(self._cells.enter(rows["pose"]).sum(axis=1))
        self._turns += len(visited)
        self._total = running_sums(self._total, visited / self._cells.reachable)[-1].item()

    def figures(self) -> dict[str, float]:
        if not self._turns:
            return {}
        return {
            "coverage": self._cells.count / self._cells.reachable,
            "coverage_auc": self._total / self._turns,
        }

    def counted(self) -> State:
        return {"total": self._total, "turns": self._turns} if self._turns else {}

    def load_state(self, state: State) -> None:
        self._total = float(np.asarray(state["total"]))
        self._turns = int(np.asarray(state["turns"]))
