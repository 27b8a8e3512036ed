"""Which cells of a world have been visited."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.truth_metric import pose_rows


def places(turn: Turn, cell: float) -> list[tuple[int, int]]:
    """Return row and column of the cell that each body is in; worked out once a turn."""

    def work_out() -> list[tuple[int, int]]:
        return [(int(y // cell), int(x // cell)) for x, y, *_ in pose_rows(turn)]

    return turn.once(f"places {cell}", work_out)


class VisitedCells(Component):
    """Remembers the reachable cells that at least one lane has entered.

    Args:
        cell: Side of the cells of `reachable`, in metres.
    """

    def __init__(self, cell: float = 0.25) -> None:
        if not cell > 0:
            raise ValueError(f"cell must be a positive number of metres, not {cell!r}")
        self.count = 0
        self.reachable = 0
        self._cell = cell
        self._visited: NDArray[np.bool_] | None = None

    def enter(self, turn: Turn) -> list[bool]:
        """Note where the bodies are; return which lanes are the first in their cell."""
        reachable = turn.ground_truth["reachable"]
        if self._visited is None:
            self._visited = np.zeros(reachable.shape, dtype=np.bool_)
        if not self.reachable:
            self.reachable = max(int(np.count_nonzero(reachable)), 1)
        first = []
        for place in places(turn, self._cell):
            is_first = bool(not self._visited[place] and reachable[place])
            if is_first:
                self._visited[place] = True
                self.count += 1
            first.append(is_first)
        return first

    def state(self) -> State:
        if self._visited is None:
            return {}
        return {"visited": self._visited.copy(), "reachable": self.reachable}

    def load_state(self, state: State) -> None:
        self._visited = np.array(state["visited"], dtype=np.bool_)
        self.count = int(np.count_nonzero(self._visited))
        self.reachable = int(np.asarray(state["reachable"]))
