"""What kind of movement a policy has settled on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import TruthMetric
from pamiq_exp.metrics.windows import BlockSums

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
"""Share of the steps from which on an axis counts as used."""

MOVED = 1e-3
"""Metres from which on a body has moved in a step."""


class ActionClass(TruthMetric):
    """Which of the lineage's eight classes of behaviour the newest part of a run belongs to, see `CLASSES`.

    Works where the ground truth has `command` (what each body did in the last step: forward, to the right,
    clockwise, each -1, 0 or 1, first, `(lanes, 3 or more)`), or with `branches` in any world whose actions
    have such branches, 0 meaning stop.

    Reports `action_class` and, where the truth has `pose`, `blocked_share`: of the steps with a command to
    go somewhere, the share that led nowhere.

    Args:
        recent: Share of the run that counts.
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
        self._tally = Tally()
        self._place = np.zeros((0, 2))
        self._begun = False

    def watch(self, turn: Turn) -> None:
        if self._branches is not None:
            self._count(turn.action[:, self._branches] != 0)
            return
        truth = turn.ground_truth
        if self._begun:  # the first truth tells of no step
            self._count(truth["command"][:, :3] != 0)
        if "pose" in truth:
            place = truth["pose"][:, :2]
            if self._begun:
                commands = truth["command"][:, :2].tolist()
                moved = np.abs(place - self._place).tolist()
                stuck = [max(by) < MOVED for by, command in zip(moved, commands, strict=True) if any(command)]
                self._tally.add("blocked_share", np.array(stuck, dtype=np.bool_))
            self._place = place.copy()
        self._begun = True

    def _count(self, used: NDArray[np.bool_]) -> None:
        self._used.add_all(np.array([*used.sum(axis=0), len(used)], dtype=np.int32))
        self._used.end_turn()

    def report(self) -> dict[str, float]:
        return self._action_class() | self._tally.take()

    def summary(self) -> dict[str, float]:
        return self._action_class() | self._tally.means()

    def _action_class(self) -> dict[str, float]:
        if not self._used.turns:
            return {}
        *axes, steps = self._used.newest(self._recent).tolist()
        forward, strafe, turning = (count >= USED * steps for count in axes)
        return {"action_class": float(CLASSES[forward, strafe, turning])}

    def state(self) -> State:
        return {"place": self._place, "begun": self._begun} if self._begun else {}

    def load_state(self, state: State) -> None:
        self._place = np.array(state["place"])
        self._begun = bool(np.asarray(state["begun"]))
