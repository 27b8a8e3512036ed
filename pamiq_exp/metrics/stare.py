"""How long somebody stares at noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.truth_metric import NOISE_HEAVY, TruthMetric, noise_share, pose_rows


class Stare(NamedTuple):
    """How many turns one lane has stared, from which square of the map, and where it looked when that began."""

    length: int
    x: float
    y: float
    heading: float


class LongestStare(TruthMetric):
    """Longest run of steps of one lane that sees mostly noise and neither goes nor turns away.

    A stare lasts while more than half of the view is noise, the body stays in one square of `cell` metres,
    and its heading stays within `turn` degrees of that at the beginning.

    Works where the ground truth has `pose` and `noise_mask`. Reports `longest_stare` in turns.

    Args:
        cell: Side of the square, in metres.
        turn: Degrees.
    """

    title, needs = "longest stare", ("pose", "noise_mask")

    def __init__(self, cell: float = 0.5, turn: float = 30.0) -> None:
        super().__init__()
        self._cell = cell
        self._turn = math.radians(turn)
        self._stares: list[Stare] = []
        self._longest = 0

    def watch(self, turn: Turn) -> None:
        rows, shares = pose_rows(turn), noise_share(turn).tolist()
        stares = self._stares or [Stare(0, 0.0, 0.0, 0.0)] * len(rows)
        self._stares = [self._next(*each) for each in zip(stares, rows, shares, strict=True)]
        self._longest = max(self._longest, *(stare.length for stare in self._stares))

    def _next(self, stare: Stare, row: list[float], share: float) -> Stare:
        if share <= NOISE_HEAVY:
            return Stare(0, 0.0, 0.0, 0.0)
        x, y, heading = row[0] // self._cell, row[1] // self._cell, row[2]
        turned = abs((heading - stare.heading + math.pi) % (2.0 * math.pi) - math.pi)
        if stare.length and (x, y) == (stare.x, stare.y) and turned < self._turn - 1e-9:
            return stare._replace(length=stare.length + 1)
        return Stare(1, x, y, heading)

    def report(self) -> dict[str, float]:
        return {"longest_stare": float(self._longest)} if self._stares else {}

    def state(self) -> State:
        return {"stares": np.array(self._stares), "longest": self._longest} if self._stares else {}

    def load_state(self, state: State) -> None:
        self._stares = [Stare(int(length), *rest) for length, *rest in np.asarray(state["stares"]).tolist()]
        self._longest = int(np.asarray(state["longest"]))
