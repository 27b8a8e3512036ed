"""How often the remote control is pressed."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.tally import Tally


class RemotePresses(PagedMetric):
    """Presses of the remote control for each step of a lane.

    Works where the ground truth has `presses` (how often each lane has pressed it so far, `(lanes,)`):
    what the world did counts, not what was asked of it. Reports `remote_press_rate`, in a record since the
    last one, in the summary over the whole run, and in the summary `remote_presses`, their number.
    """

    title, needs = "presses of a remote control", ("presses",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()
        self._before = np.zeros(0, dtype=np.int64)

    def count(self, rows: Rows) -> None:
        presses = rows["presses"]
        known = np.vstack([self._before, presses]) if self._before.size else presses
        self._tally.add("remote_press_rate", np.diff(known, axis=0))
        self._before = presses[-1].copy()

    def figures(self) -> dict[str, float]:
        return self._tally.take()

    def final_figures(self) -> dict[str, float]:
        means = self._tally.means()
        return means | {"remote_presses": self._tally.total("remote_press_rate")} if means else {}

    def counted(self) -> State:
        return {"before": self._before} if self._before.size else {}

    def load_state(self, state: State) -> None:
        self._before = np.array(state["before"], dtype=np.int64)
