"""Which cells of a world have been visited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State


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

    def enter(self, truth: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Note where the bodies are; return which lanes are the first in their cell, `(lanes,)`."""
        reachable, pose = truth["reachable"], truth["pose"]
        if self._visited is None:
            self._visited = np.zeros(reachable.shape, dtype=np.bool_)
        if not self.reachable:
            self.reachable = max(int(np.count_nonzero(reachable)), 1)
        first = np.zeros(len(pose), dtype=np.bool_)
        for lane, (x, y) in enumerate(pose[:, :2].tolist()):
            place = int(y // self._cell), int(x // self._cell)
            if not self._visited[place] and reachable[place]:
                self._visited[place] = first[lane] = True
                self.count += 1
        return first

    def state(self) -> State:
        if self._visited is None:
            return {}
        return {"visited": self._visited.copy(), "reachable": self.reachable}

    def load_state(self, state: State) -> None:
        self._visited = np.array(state["visited"], dtype=np.bool_)
        self.count = int(np.count_nonzero(self._visited))
        self.reachable = int(np.asarray(state["reachable"]))
