"""How much of what is seen is noise."""

from __future__ import annotations

from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import NOISE_HEAVY, TruthMetric, noise_share


class NoiseInView(TruthMetric):
    """Share of the view that is noise, and share of the steps in which it is more than half.

    Works where the ground truth has `noise_mask` (pixels that nothing could foretell, `(lanes, height,
    width)` bool). Reports `noise_share` and `noise_heavy_share`: in a record since the last one, in the
    summary over the whole run.
    """

    title, needs = "share of noise", ("noise_mask",)

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()

    def watch(self, turn: Turn) -> None:
        shares = noise_share(turn).tolist()
        self._tally.add_sum("noise_share", sum(shares), len(shares))
        self._tally.add_sum("noise_heavy_share", sum(share > NOISE_HEAVY for share in shares), len(shares))

    def report(self) -> dict[str, float]:
        return self._tally.take()

    def summary(self) -> dict[str, float]:
        return self._tally.means()
