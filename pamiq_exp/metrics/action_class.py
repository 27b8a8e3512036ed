"""Class of movement of a policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.buffered import MeansMetric, Rows
from pamiq_exp.metrics.statistics import BlockSums

CLASSES = {
    (False, False, False): 1,
    (True, False, False): 2,
    (False, True, False): 3,
    (False, False, True): 4,
    (True, True, False): 5,
    (True, False, True): 6,
    (False, True, True): 7,
    (True, True, True): 8,
}
"""Class by which of forward/back, strafing and turning is used: 1 still, 2 only forward and back, 3 only strafing,
4 only turning, 5 no turning, 6 no strafing, 7 no forward and back, 8 all three."""

USED = 0.1
"""An axis counts as used from this share of the steps on."""

MOVED = 1e-3
"""Meters from which on a step counts as movement."""


class ActionClass(MeansMetric):
    """Class of behavior of the newest part of a run, one of eight, see `CLASSES`.

    Works where the ground truth has `command` (of the last step: forward, to the right, clockwise, each -1, 0 or 1,
    first, `(num_envs, 3 or more)`), or with `branches` in any environment whose actions have such branches, 0 being
    stop.

    Reports `action_class` and, where the truth has `pose`, `blocked_share`: the share of the steps with a command to
    walk that did not change the position.

    Args:
        recent: Share of the run that counts, the newest.
        branches: Branches of the action for forward/back, strafing and turning, in place of the truth.
    """

    title = "class of actions"
    needs: tuple[str, ...] = ("command",)

    def __init__(self, recent: float = 0.1, branches: Sequence[int] | None = None) -> None:
        super().__init__()
        if branches is not None:
            if len(branches) != 3:
                raise ValueError(f"branches must name three branches of the action, not {list(branches)}")
            self.needs = ()
        self._recent = recent
        self._branches = None if branches is None else list(branches)
        self._used = BlockSums(4)
        self._position: NDArray[np.float64] = np.zeros((0, 2))
        self._begun = False

    def begin(self, turn: Turn) -> None:
        if self._branches is not None:
            self.columns = ("action",)
        else:
            self.columns = ("command", "pose") if "pose" in turn.ground_truth else ("command",)

    def count(self, rows: Rows) -> None:
        if self._branches is not None:
            self._count(rows["action"][..., self._branches])
            return
        first = 0 if self._begun else 1  # no step led to the first turn
        self._count(rows["command"][first:])
        if "pose" in rows:
            self._compare(rows["pose"][..., :2], rows["command"][first:, :, :2])
        self._begun = True

    def _count(self, actions: NDArray[np.integer]) -> None:
        turns, num_envs = actions.shape[:2]
        used = np.count_nonzero(actions[..., :3], axis=1)
        self._used.add_all(np.column_stack([used, np.full(turns, num_envs)]))

    def _compare(self, positions: NDArray[np.float64], sent: NDArray[np.integer]) -> None:
        known = np.concatenate([self._position[None], positions]) if self._begun else positions
        stayed = np.abs(np.diff(known, axis=0)).max(axis=-1) < MOVED
        self.means.add("blocked_share", stayed[sent.any(axis=-1)])
        self._position = positions[-1].copy()

    def metrics(self) -> dict[str, float]:
        return self._action_class() | super().metrics()

    def final_metrics(self) -> dict[str, float]:
        return self._action_class() | super().final_metrics()

    def _action_class(self) -> dict[str, float]:
        if not self._used.turns:
            return {}
        *axes, steps = self._used.newest(self._recent).tolist()
        forward, strafe, turning = (count >= USED * steps for count in axes)
        return {"action_class": float(CLASSES[forward, strafe, turning])}

    def counted_state(self) -> State:
        return {"positions": self._position, "begun": self._begun} if self._begun else {}

    def load_state(self, state: State) -> None:
        self._position = np.array(state["positions"], dtype=np.float64).reshape(-1, 2)
        self._begun = bool(np.asarray(state["begun"]))
