"""How much of what is seen is noise."""

from __future__ import annotations

from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import NOISE_HEAVY


class NoiseInView(PagedMetric):
    """Share of the view that is noise, and share of the steps in which it is more than half.

    Works where the ground truth has `noise_mask` (pixels that nothing could foretell, `(lanes, height,
    width)` bool). Reports `noise_share` and `noise_heavy_share`: in a record since the last one, in the
    summary over the whole run.
    """

    title, needs = "share of noise", ("noise_mask",)
    columns = ("noise_share",)

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()

    def count(self, rows: Rows) -> None:
        self._tally.add("noise_share", rows["noise_share"])
        self._tally.add("noise_heavy_share", rows["noise_share"] > NOISE_HEAVY)

    def figures(self) -> dict[str, float]:
        return self._tally.take()

    def final_figures(self) -> dict[str, float]:
        return self._tally.means()
