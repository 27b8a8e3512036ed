"""How reward depends on how much of the view is noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.metrics.pages import PagedMetric, Rows

TENTHS = 10


class RewardByTenth(PagedMetric):
    """Mean intrinsic reward of views by their share of noise: below 10 %, below 20 %, and so on.

    Works where the ground truth has `noise_mask` and the agent shows its rewards. Only the summary has it, over the
    whole run: `reward_noise_tenth_0` to `reward_noise_tenth_9`, those that occurred.
    """

    title, needs = "reward by tenths of noise", ("noise_mask",)
    columns = ("noise_share", "reward", "rewarded")

    def __init__(self) -> None:
        super().__init__()
        self._sums: NDArray[np.float64] = np.zeros((2, TENTHS))
        """Rewards, and how many there were."""

    def count(self, rows: Rows) -> None:
        share, reward, counts = (rows[name] for name in self.columns)
        tenth = np.minimum((share[counts] * TENTHS).astype(np.int64), TENTHS - 1)
        np.add.at(self._sums[0], tenth, reward[counts])
        np.add.at(self._sums[1], tenth, 1.0)

    def figures(self) -> dict[str, float]:
        return {}

    def final_figures(self) -> dict[str, float]:
        total, number = self._sums
        return {f"reward_noise_tenth_{tenth}": float(total[tenth] / number[tenth]) for tenth in np.flatnonzero(number)}

    def counted(self) -> State:
        return {"sums": self._sums.copy()} if self._sums[1].any() else {}

    def load_state(self, state: State) -> None:
        self._sums = np.array(state["sums"], dtype=np.float64)
