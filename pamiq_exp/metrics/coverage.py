"""How much of a world has been visited."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import StepObserver, Turn

logger = logging.getLogger(__name__)


class Coverage(StepObserver):
    """Share of the reachable cells that at least one lane has visited.

    Works with every environment whose ground truth has `pose` (x and y in metres first, `(lanes, n)`) and
    `reachable` (which square cells can be visited, `(rows, columns)`, the first one at x = y = 0). Where there
    is none, it says so once in the log and reports nothing.

    Reports `coverage`, and `coverage_auc`: its mean over all turns so far, the area under its curve.

    Args:
        cell: Side of the cells of `reachable`, in metres.
    """

    def __init__(self, cell: float = 0.25) -> None:
        if not cell > 0:
            raise ValueError(f"cell must be a positive number of metres, not {cell!r}")
        self._cell = cell
        self._visited: NDArray[np.bool_] | None = None
        self._reachable = 0
        self._count = 0
        self._total = 0.0
        self._turns = 0
        self._blind = False

    def on_step(self, turn: Turn) -> None:
        truth = turn.ground_truth
        if self._blind or "pose" not in truth or "reachable" not in truth:
            if not self._blind:
                logger.info("no coverage: this environment does not tell where its bodies are")
            self._blind = True
            return
        reachable = truth["reachable"]
        if self._visited is None:
            self._visited = np.zeros(reachable.shape, dtype=np.bool_)
        self._reachable = int(np.count_nonzero(reachable)) if not self._turns else self._reachable
        for x, y in truth["pose"][:, :2]:
            place = int(y // self._cell), int(x // self._cell)
            if not self._visited[place] and reachable[place]:
                self._visited[place] = True
                self._count += 1
        self._turns += 1
        self._total += self._count / max(self._reachable, 1)

    def report(self) -> dict[str, float]:
        if not self._turns:
            return {}
        return {
            "coverage": self._count / max(self._reachable, 1),
            "coverage_auc": self._total / self._turns,
        }

    def state(self) -> State:
        if self._visited is None:
            return {}
        return {
            "visited": self._visited.copy(),
            "reachable": self._reachable,
            "total": self._total,
            "turns": self._turns,
        }

    def load_state(self, state: State) -> None:
        self._visited = np.array(state["visited"], dtype=np.bool_)
        self._count = int(np.count_nonzero(self._visited))
        self._reachable = int(np.asarray(state["reachable"]))
        self._total = float(np.asarray(state["total"]))
        self._turns = int(np.asarray(state["turns"]))
