"""What noise earns."""

from __future__ import annotations

from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import NOISE_FREE, NOISE_HEAVY


class RewardByNoise(PagedMetric):
    """Mean intrinsic reward of views with more than 50 % noise, and of those with less than 5 %.

    Works where the ground truth has `noise_mask` and the agent shows its rewards. Reports
    `reward_noise_heavy` and `reward_noise_free`, in a record since the last one, in the summary over the
    whole run, and there also `reward_noise_ratio`, the first divided by the second.
    """

    title, needs = "reward by noise", ("noise_mask",)
    columns = ("noise_share", "reward", "rewarded")

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()

    def count(self, rows: Rows) -> None:
        share, reward, counts = (rows[name] for name in self.columns)
        self._tally.add("reward_noise_heavy", reward[counts & (share > NOISE_HEAVY)])
        self._tally.add("reward_noise_free", reward[counts & (share < NOISE_FREE)])

    def figures(self) -> dict[str, float]:
        return self._tally.take()

    def final_figures(self) -> dict[str, float]:
        means = self._tally.means()
        heavy, free = means.get("reward_noise_heavy"), means.get("reward_noise_free")
        return means | ({"reward_noise_ratio": heavy / free} if heavy is not None and free else {})
