"""Touches of things in the world."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.buffered import MeansMetric, Rows


class ObjectsTouched(MeansMetric):
    """Number of things that have been pushed, switched or bumped into, and the rate of touches.

    Works where the ground truth has `touched` (which things the agent touches now, `(num_envs, things)` bool). Reports
    `objects_touched`, the number of different things touched so far in any environment, and `object_touch_rate`, the
    share of steps with a touch: in a record since the last one, in the summary over the whole run.
    """

    title, needs = "touched things", ("touched",)

    def __init__(self) -> None:
        super().__init__()
        self._ever: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

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
        self.means.add("object_touch_rate", np.asarray(touched.any(axis=-1)))

    def metrics(self) -> dict[str, float]:
        return self._count() | super().metrics()

    def final_metrics(self) -> dict[str, float]:
        return self._count() | super().final_metrics()

    def _count(self) -> dict[str, float]:
        return {"objects_touched": float(np.count_nonzero(self._ever))} if self._ever.size else {}

    def counted_state(self) -> State:
        return {"ever": self._ever} if self._ever.size else {}

    def load_state(self, state: State) -> None:
        self._ever = np.array(state["ever"], dtype=np.bool_)
