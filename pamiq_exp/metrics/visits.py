"""How evenly a world is visited."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.visited import places
from pamiq_exp.metrics.windows import BlockSums

HEADINGS = 24
PER_RADIAN = HEADINGS / (2.0 * math.pi)


class VisitationEntropy(PagedMetric):
    """Entropy of the visits to cells and of the headings, as shares of the largest possible ones.

    H / log n with H = -sum p log p over the n reachable cells, or over 24 headings: 1 is perfectly even, 0
    is one cell or one heading only. These are plug-in estimates: compare runs of equal length only.

    Works where the ground truth has `pose` (x, y in metres, heading in radians) and `reachable`, see
    `Coverage`. Reports `visit_entropy` and `heading_entropy`, and both with `_recent` over the newest part
    of the run.

    Args:
        cell: Side of the cells of `reachable`, in metres.
        recent: Share of the run that counts as recent.
    """

    title, needs = "visitation entropy", ("pose", "reachable")
    columns = ("pose",)

    def __init__(self, cell: float = 0.25, recent: float = 0.2) -> None:
        super().__init__()
        if not 0 < recent <= 1:
            raise ValueError(f"recent is a share above 0 and up to 1, not {recent!r}")
        self._cell = cell
        self._recent = recent
        self._reachable: NDArray[np.bool_] = np.zeros((0, 0), dtype=np.bool_)
        self._cells = BlockSums(0)
        self._headings = BlockSums(HEADINGS)

    def begin(self, turn: Turn) -> None:
        self._reachable = np.array(turn.ground_truth["reachable"], dtype=np.bool_)
        if self._cells.size != self._reachable.size:
            self._cells = BlockSums(self._reachable.size)

    def count(self, rows: Rows) -> None:
        cells = places(rows["pose"], self._cell, self._reachable.shape)
        self._cells.add(np.where(self._reachable.reshape(-1)[cells], cells, -1))
        self._headings.add(np.rint(rows["pose"][..., 2] * PER_RADIAN).astype(np.intp) % HEADINGS)

    def figures(self) -> dict[str, float]:
        if not self._reachable.size:
            return {}
        figures = {}
        for name, sums, most in (
            ("visit_entropy", self._cells, int(np.count_nonzero(self._reachable))),
            ("heading_entropy", self._headings, HEADINGS),
        ):
            figures[name] = evenness(sums.newest(), most)
            figures[f"{name}_recent"] = evenness(sums.newest(self._recent), most)
        return figures


def evenness(counts: NDArray[np.int64], most: int) -> float:
    """Return the entropy of counts as a share of that of `most` equally frequent cases."""
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log(share)).sum() / math.log(most)) if most > 1 else 0.0
