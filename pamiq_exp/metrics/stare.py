"""How long somebody stares at noise."""

from __future__ import annotations

import math

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.truth_metric import NOISE_HEAVY, TruthMetric, noise_share


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
        self._length = np.zeros(0, dtype=np.int64)
        self._square = np.zeros((0, 2))
        self._heading = np.zeros(0)
        self._longest = 0

    def watch(self, turn: Turn) -> None:
        pose = turn.ground_truth["pose"]
        if not self._length.size:
            self._length = np.zeros(len(pose), dtype=np.int64)
            self._square, self._heading = np.zeros((len(pose), 2)), np.zeros(len(pose))
        heavy = noise_share(turn) > NOISE_HEAVY
        if not heavy.any():
            self._length[:] = 0
            return
        square, heading = pose[:, :2] // self._cell, pose[:, 2]
        turned = np.abs((heading - self._heading + math.pi) % (2.0 * math.pi) - math.pi)
        same = (square == self._square).all(axis=1) & (turned < self._turn - 1e-9) & (self._length > 0)
        self._length = np.where(heavy, np.where(same, self._length, 0) + 1, 0)
        self._heading = np.where(same, self._heading, heading)
        self._square = square
        self._longest = max(self._longest, int(self._length.max()))

    def report(self) -> dict[str, float]:
        return {"longest_stare": float(self._longest)} if self._length.size else {}

    def state(self) -> State:
        if not self._length.size:
            return {}
        return {
            "length": self._length,
            "square": self._square,
            "heading": self._heading,
            "longest": self._longest,
        }

    def load_state(self, state: State) -> None:
        self._length = np.array(state["length"], dtype=np.int64)
        self._square, self._heading = np.array(state["square"]), np.array(state["heading"])
        self._longest = int(np.asarray(state["longest"]))
