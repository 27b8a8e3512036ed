"""How long somebody stares at noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.truth_metric import NOISE_HEAVY


class Stare(NamedTuple):
    """How many turns one lane has stared, from which square of the map, and where it looked when that began."""

    length: int
    x: float
    y: float
    heading: float


NO_STARE = Stare(0, 0.0, 0.0, 0.0)


class LongestStare(PagedMetric):
    """Longest run of steps of one lane that sees mostly noise and neither goes nor turns away.

    A stare lasts while more than half of the view is noise, the body stays in one square of `cell` metres,
    and its heading stays within `turn` degrees of that at the beginning.

    Works where the ground truth has `pose` and `noise_mask`. Reports `longest_stare` in turns.

    Args:
        cell: Side of the square, in metres.
        turn: Degrees.
    """

    title, needs = "longest stare", ("pose", "noise_mask")
    columns = ("pose", "noise_share")

    def __init__(self, cell: float = 0.5, turn: float = 30.0) -> None:
        super().__init__()
        self._cell = cell
        self._turn = math.radians(turn)
        self._stares: list[Stare] = []
        self._longest = 0

    def count(self, rows: Rows) -> None:
        heavy = rows["noise_share"] > NOISE_HEAVY
        stares = self._stares or [NO_STARE] * heavy.shape[1]
        lanes = zip(stares, rows["pose"].swapaxes(0, 1), heavy.T, strict=True)
        self._stares = [self._go_on(*lane) for lane in lanes]

    def _go_on(self, stare: Stare, pose: NDArray[np.float64], heavy: NDArray[np.bool_]) -> Stare:
        """Return the stare of one lane after some turns, `(turns, 3 or more)` and `(turns,)`."""
        squares = (pose[:, :2] // self._cell).tolist()
        for is_heavy, (x, y), heading in zip(heavy.tolist(), squares, pose[:, 2].tolist(), strict=True):
            if not is_heavy:
                stare = NO_STARE
            elif stare.length and x == stare.x and y == stare.y and self._is_near(heading, stare.heading):
                stare = Stare(stare.length + 1, x, y, stare.heading)
            else:
                stare = Stare(1, x, y, heading)
            self._longest = max(self._longest, stare.length)
        return stare

    def _is_near(self, heading: float, other: float) -> bool:
        return abs((heading - other + math.pi) % (2.0 * math.pi) - math.pi) < self._turn - 1e-9

    def figures(self) -> dict[str, float]:
        return {"longest_stare": float(self._longest)} if self._stares else {}

    def counted(self) -> State:
        return {"stares": np.array(self._stares), "longest": self._longest} if self._stares else {}

    def load_state(self, state: State) -> None:
        self._stares = [Stare(int(length), *rest) for length, *rest in np.asarray(state["stares"]).tolist()]
        self._longest = int(np.asarray(state["longest"]))
