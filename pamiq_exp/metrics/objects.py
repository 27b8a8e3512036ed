"""Who touches the things in the rooms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.pages import BufferedMetric, Rows
from pamiq_exp.metrics.statistics import Tally


class ObjectsTouched(BufferedMetric):
    """How many of the things in the rooms have been pushed, switched or bumped into.

    Works where the ground truth has `touched` (whether each environment's body touches each thing now, `(num_envs,
    things)` bool). Reports `objects_touched`, the number of different things touched so far by any environment, and
    `object_touch_rate`, the share of steps with a touch: in a record since the last one, in the summary over
    the whole run.
    """

    title, needs = "touched things", ("touched",)

    def __init__(self) -> None:
        super().__init__()
        self._ever: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._tally = Tally()

    def begin(self, turn: Turn) -> None:
        has_things = turn.ground_truth["touched"].shape[1] > 0
        self.columns = ("touched",) if has_things else ()

    def count(self, rows: Rows) -> None:
        if not rows:
            return
        touched = rows["touched"]
        if not self._ever.size:
            self._ever = np.zeros(touched.shape[-1], dtype=np.bool_)
        self._ever |= touched.any(axis=(0, 1))
        self._tally.add("object_touch_rate", np.asarray(touched.any(axis=-1)))

    def figures(self) -> dict[str, float]:
        return self._count() | self._tally.take()

    def final_figures(self) -> dict[str, float]:
        return self._count() | self._tally.means()

    def _count(self) -> dict[str, float]:
        return {"objects_touched": float(np.count_nonzero(self._ever))} if self._ever.size else {}

    def counted(self) -> State:
        return {"ever": self._ever} if self._ever.size else {}

    def load_state(self, state: State) -> None:
        self._ever = np.array(state["ever"], dtype=np.bool_)
