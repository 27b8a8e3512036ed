"""Which cells of a world have been visited."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State


def places(pose: NDArray[np.float64], cell: float, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the cell that each body is in, counted row by row over cells of that shape, from `(..., 2 or more)`."""
    column, row = (pose[..., axis] // cell for axis in (0, 1))
    return np.ravel_multi_index((row.astype(np.intp), column.astype(np.intp)), shape)


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
        self._can_be_new: NDArray[np.bool_] = np.zeros((0, 0), dtype=np.bool_)

    def begin(self, reachable: NDArray[np.bool_]) -> None:
        """Learn which cells can be reached, `(rows, columns)`."""
        self._can_be_new = np.array(reachable, dtype=np.bool_)
        if self._visited is None:
            self._visited = np.zeros(self._can_be_new.shape, dtype=np.bool_)
            self.reachable = int(np.count_nonzero(self._can_be_new))
        self._can_be_new &= ~self._visited

    def enter(self, pose: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Note where bodies are, `(turns, lanes, 2 or more)`; return who is the first in a cell, `(turns, lanes)`."""
        if self._visited is None:
            raise RuntimeError("call begin first")
        if not self.reachable:
            return np.zeros(pose.shape[:2], dtype=np.bool_)
        cells, at = np.unique(places(pose, self._cell, self._visited.shape), return_index=True)
        new = self._can_be_new.reshape(-1)[cells]
        self._can_be_new.reshape(-1)[cells] = False
        self._visited.reshape(-1)[cells[new]] = True
        self.count += int(np.count_nonzero(new))
        first = np.zeros(pose.shape[:2], dtype=np.bool_)
        first.reshape(-1)[at[new]] = True
        return first

    def state(self) -> State:
        if self._visited is None:
            return {}
        return {"visited": self._visited.copy(), "reachable": self.reachable}

    def load_state(self, state: State) -> None:
        self._visited = np.array(state["visited"], dtype=np.bool_)
        self.count = int(np.count_nonzero(self._visited))
        self.reachable = int(np.asarray(state["reachable"]))
