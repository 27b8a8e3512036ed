"""How often the remote control is pressed."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import TruthMetric


class RemotePresses(TruthMetric):
    """Presses of the remote control for each step of a lane.

    Works where the ground truth has `presses` (how often each lane has pressed it so far, `(lanes,)`):
    what the world did counts, not what was asked of it. Reports `remote_press_rate`, in a record since the
    last one, in the summary over the whole run, and in the summary `remote_presses`, their number.
    """

    title, needs = "presses of a remote control", ("presses",)

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()
        self._before = np.zeros(0, dtype=np.int64)

    def watch(self, turn: Turn) -> None:
        presses = turn.ground_truth["presses"]
        if self._before.size:
            self._tally.add("remote_press_rate", presses - self._before)
        self._before = presses.copy()

    def report(self) -> dict[str, float]:
        return self._tally.take()

    def summary(self) -> dict[str, float]:
        means = self._tally.means()
        return means | {"remote_presses": self._tally.total("remote_press_rate")} if means else {}

    def state(self) -> State:
        return {"before": self._before} if self._before.size else {}

    def load_state(self, state: State) -> None:
        self._before = np.array(state["before"], dtype=np.int64)
