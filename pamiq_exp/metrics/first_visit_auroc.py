"""Whether the intrinsic reward tells new places from old ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.pages import Rows
from pamiq_exp.metrics.ranks import auroc
from pamiq_exp.metrics.visited import VisitedCells
from pamiq_exp.metrics.windowed_score import WindowedScore


class FirstVisitAuroc(WindowedScore):
    """Probability that a step into a cell that nobody had visited earns more than another step.

    1 means that new places always earn more, 0.5 that the reward does not know them. Each window with at
    least `least` first visits gives one score.

    Works where the ground truth has `pose` and `reachable`, see `Coverage`, and the agent shows its
    rewards. Reports `first_visit_auroc`, see `WindowedScore`.

    Args:
        window: Environment steps in a window.
        least: First visits that a window must hold.
        cell: Side of the cells of `reachable`, in metres.
    """

    title, needs, name = "first visits", ("pose", "reachable"), "first_visit_auroc"
    columns = ("pose", "reward", "rewarded")

    def __init__(self, window: int = 4000, least: int = 20, cell: float = 0.25) -> None:
        super().__init__(window)
        self._least = least
        self._cells = VisitedCells(cell)

    def begin(self, turn: Turn) -> None:
        self._cells.begin(turn.ground_truth["reachable"])

    def other(self, rows: Rows) -> NDArray[np.generic]:
        """Whether each lane is the first in its cell."""
        return self._cells.enter(rows["pose"])

    def score(self, reward: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
        """See the base class."""
        return auroc(reward, other > 0) if np.count_nonzero(other) >= self._least else None
