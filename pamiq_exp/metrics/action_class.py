"""What kind of movement a policy has settled on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import TruthMetric, pose_rows
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
        self._places: list[tuple[float, float]] = []
        self._begun = False

    def watch(self, turn: Turn) -> None:
        if self._branches is not None:
            self._count(turn.action[:, self._branches].tolist())
            return
        truth = turn.ground_truth
        commands = truth["command"].tolist()
        places = [(row[0], row[1]) for row in pose_rows(turn)] if "pose" in truth else []
        if self._begun:  # the first truth tells of no step
            self._count(commands)
            self._compare(places, commands)
        self._places, self._begun = places, True

    def _count(self, actions: list[list[int]]) -> None:
        used = (sum(action[axis] != 0 for action in actions) for axis in range(3))
        self._used.add_all(np.array([*used, len(actions)], dtype=np.int32))
        self._used.end_turn()

    def _compare(self, places: list[tuple[float, float]], commands: list[list[int]]) -> None:
        sent = [
            abs(x - before_x) < MOVED and abs(y - before_y) < MOVED
            for (x, y), (before_x, before_y), command in zip(places, self._places, commands, strict=False)
            if command[0] or command[1]
        ]
        if sent:
            self._tally.add_sum("blocked_share", sum(sent), len(sent))

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
        return {"places": np.array(self._places), "begun": self._begun} if self._begun else {}

    def load_state(self, state: State) -> None:
        self._places = [(x, y) for x, y in np.asarray(state["places"]).reshape(-1, 2).tolist()]
        self._begun = bool(np.asarray(state["begun"]))
