"""Whether the intrinsic reward likes noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.metrics.pages import Rows
from pamiq_exp.metrics.ranks import spearman
from pamiq_exp.metrics.windowed_score import WindowedScore


class RewardNoiseCorrelation(WindowedScore):
    """Rank correlation (Spearman) of the intrinsic reward with the share of noise in the view.

    Strongly positive late in a run: the agent is drawn to noise. Strongly negative: it shuns it.

    Works where the ground truth has `noise_mask` and the agent shows its rewards. Reports
    `reward_noise_correlation`, see `WindowedScore`.
    """

    title, needs, name = "correlation of reward and noise", ("noise_mask",), "reward_noise_correlation"
    columns = ("noise_share", "reward", "rewarded")

    def other(self, rows: Rows) -> NDArray[np.generic]:
        """The share of noise in the view."""
        return rows["noise_share"]

    def score(self, reward: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
        """See the base class."""
        return spearman(reward, other)
