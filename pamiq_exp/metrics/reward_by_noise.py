"""What noise earns."""

from __future__ import annotations

from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import NOISE_FREE, NOISE_HEAVY, TruthMetric, noise_share, rewards


class RewardByNoise(TruthMetric):
    """Mean intrinsic reward of views with more than 50 % noise, and of those with less than 5 %.

    Works where the ground truth has `noise_mask` and the agent shows its rewards. Reports
    `reward_noise_heavy` and `reward_noise_free`, in a record since the last one, in the summary over the
    whole run, and there also `reward_noise_ratio`, the first divided by the second.
    """

    title, needs = "reward by noise", ("noise_mask",)

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()

    def watch(self, turn: Turn) -> None:
        earned = rewards(turn)
        if earned is None:
            return
        reward, counts = earned
        share = noise_share(turn)
        self._tally.add("reward_noise_heavy", reward[counts & (share > NOISE_HEAVY)])
        self._tally.add("reward_noise_free", reward[counts & (share < NOISE_FREE)])

    def report(self) -> dict[str, float]:
        return self._tally.take()

    def summary(self) -> dict[str, float]:
        means = self._tally.means()
        heavy, free = means.get("reward_noise_heavy"), means.get("reward_noise_free")
        return means | ({"reward_noise_ratio": heavy / free} if heavy is not None and free else {})
