"""Metrics of the noise in view: its share, where agents dwell on it, and what rewards it brings."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.metrics.buffered import NOISE_FREE, NOISE_HEAVY, BufferedMetric, MeansMetric, Rows
from pamiq_exp.metrics.reward_scores import WindowedScore, spearman


class NoiseInView(MeansMetric):
    """Share of the view that is noise, and share of the steps in which it is more than half.

    Works where the ground truth has `noise_mask` (unpredictable pixels, `(num_envs, height, width)` bool). Reports
    `noise_share` and `noise_heavy_share`.
    """

    title, needs = "share of noise", ("noise_mask",)
    columns = ("noise_share",)

    def count(self, rows: Rows) -> None:
        self.means.add("noise_share", rows["noise_share"])
        self.means.add("noise_heavy_share", rows["noise_share"] > NOISE_HEAVY)


class TimeInNoisyRoom(MeansMetric):
    """Share of the steps in which an agent is in a room that holds noise.

    Works where the ground truth has `noisy_room`, `(num_envs,)` bool. Reports `time_in_noisy_room`.
    """

    title, needs = "time in the noisy room", ("noisy_room",)
    columns = needs

    def count(self, rows: Rows) -> None:
        self.means.add("time_in_noisy_room", rows["noisy_room"])


class RewardByNoise(MeansMetric):
    """Mean intrinsic reward of views with more than 50 % noise, and of those with less than 5 %.

    Works where the ground truth has `noise_mask` and the agent shows its rewards. Reports `reward_noise_heavy` and
    `reward_noise_free`; the summary adds `reward_noise_ratio`, the first divided by the second.
    """

    title, needs = "reward by noise", ("noise_mask",)
    columns = ("noise_share", "reward", "rewarded")

    def count(self, rows: Rows) -> None:
        share, reward, counts = (rows[name] for name in self.columns)
        self.means.add("reward_noise_heavy", reward[counts & (share > NOISE_HEAVY)])
        self.means.add("reward_noise_free", reward[counts & (share < NOISE_FREE)])

    def final_metrics(self) -> dict[str, float]:
        means = super().final_metrics()
        heavy, free = means.get("reward_noise_heavy"), means.get("reward_noise_free")
        return means | ({"reward_noise_ratio": heavy / free} if heavy is not None and free else {})


TENTHS = 10


class RewardByTenth(BufferedMetric):
    """Mean intrinsic reward of views by their share of noise: below 10 %, below 20 %, and so on.

    Works where the ground truth has `noise_mask` and the agent shows its rewards. The summary has
    `reward_noise_tenth_0` to `reward_noise_tenth_9` over the whole run, those that occurred; records have none.
    """

    title, needs = "reward by tenths of noise", ("noise_mask",)
    columns = ("noise_share", "reward", "rewarded")

    def __init__(self) -> None:
        super().__init__()
        self._sums: NDArray[np.float64] = np.zeros((2, TENTHS))
        """Sum and number of rewards by tenth."""

    def count(self, rows: Rows) -> None:
        share, reward, counts = (rows[name] for name in self.columns)
        tenth = np.minimum((share[counts] * TENTHS).astype(np.int64), TENTHS - 1)
        np.add.at(self._sums[0], tenth, reward[counts])
        np.add.at(self._sums[1], tenth, 1.0)

    def metrics(self) -> dict[str, float]:
        return {}

    def final_metrics(self) -> dict[str, float]:
        total, number = self._sums
        return {f"reward_noise_tenth_{tenth}": float(total[tenth] / number[tenth]) for tenth in np.flatnonzero(number)}

    def counted_state(self) -> State:
        return {"sums": self._sums.copy()} if self._sums[1].any() else {}

    def load_state(self, state: State) -> None:
        self._sums = np.array(state["sums"], dtype=np.float64)


class RewardNoiseCorrelation(WindowedScore):
    """Rank correlation (Spearman) of the intrinsic reward with the share of noise in the view.

    Positive: views with more noise are rewarded more.

    Works where the ground truth has `noise_mask` and the agent shows its rewards. Reports
    `reward_noise_correlation`, see `WindowedScore`.
    """

    title, needs, name = "correlation of reward and noise", ("noise_mask",), "reward_noise_correlation"
    columns = ("noise_share", "reward", "rewarded")

    def other(self, rows: Rows) -> NDArray[np.generic]:
        """Return the share of noise in the view, `(turns, num_envs)`."""
        return rows["noise_share"]

    def score(self, reward: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
        return spearman(reward, other)


class RemotePresses(MeansMetric):
    """Presses of the remote control per environment step.

    Works where the ground truth has `presses` (how often it was pressed in each environment so far, `(num_envs,)`).
    Reports `remote_press_rate`; the summary adds `remote_presses`, their number.
    """

    title, needs = "presses of a remote control", ("presses",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self._before = np.zeros(0, dtype=np.int64)

    def count(self, rows: Rows) -> None:
        presses = rows["presses"]
        known = np.vstack([self._before, presses]) if self._before.size else presses
        self.means.add("remote_press_rate", np.diff(known, axis=0))
        self._before = presses[-1].copy()

    def final_metrics(self) -> dict[str, float]:
        means = super().final_metrics()
        return means | {"remote_presses": self.means.total("remote_press_rate")} if means else {}

    def counted_state(self) -> State:
        return {"before": self._before} if self._before.size else {}

    def load_state(self, state: State) -> None:
        self._before = np.array(state["before"], dtype=np.int64)


class Dwell(NamedTuple):
    """A dwell of one environment: its turns so far, its square of the map, and the heading at its start (radians)."""

    turns: int
    x: float
    y: float
    heading: float


NO_DWELL = Dwell(0, 0.0, 0.0, 0.0)


class LongestDwell(BufferedMetric):
    """Longest time that an agent views mostly noise without walking or turning away.

    A dwell lasts while more than half of the view is noise, the agent stays in one square of `cell` meters, and its
    heading stays within `turn` degrees of that at the start.

    Works where the ground truth has `pose` and `noise_mask`. Reports `longest_dwell` in turns.

    Args:
        cell: Side of the square, in meters.
        turn: Largest change of the heading, in degrees.
    """

    title, needs = "longest dwell", ("pose", "noise_mask")
    columns = ("pose", "noise_share")

    def __init__(self, cell: float = 0.5, turn: float = 30.0) -> None:
        super().__init__()
        self._cell = cell
        self._turn = math.radians(turn)
        self._dwells: list[Dwell] = []
        self._longest = 0

    def count(self, rows: Rows) -> None:
        heavy = rows["noise_share"] > NOISE_HEAVY
        dwells = self._dwells or [NO_DWELL] * heavy.shape[1]
        envs = zip(dwells, rows["pose"].swapaxes(0, 1), heavy.T, strict=True)
        self._dwells = [self._continue(*env) for env in envs]

    def _continue(self, dwell: Dwell, pose: NDArray[np.float64], heavy: NDArray[np.bool_]) -> Dwell:
        """Return the dwell of one environment after more turns, `(turns, 3 or more)` and `(turns,)`."""
        squares = (pose[:, :2] // self._cell).tolist()
        for is_heavy, (x, y), heading in zip(heavy.tolist(), squares, pose[:, 2].tolist(), strict=True):
            if not is_heavy:
                dwell = NO_DWELL
            elif dwell.turns and x == dwell.x and y == dwell.y and self._is_near(heading, dwell.heading):
                dwell = Dwell(dwell.turns + 1, x, y, dwell.heading)
            else:
                dwell = Dwell(1, x, y, heading)
            self._longest = max(self._longest, dwell.turns)
        return dwell

    def _is_near(self, heading: float, other: float) -> bool:
        return abs((heading - other + math.pi) % (2.0 * math.pi) - math.pi) < self._turn - 1e-9

    def metrics(self) -> dict[str, float]:
        return {"longest_dwell": float(self._longest)} if self._dwells else {}

    def counted_state(self) -> State:
        return {"dwells": np.array(self._dwells), "longest": self._longest} if self._dwells else {}

    def load_state(self, state: State) -> None:
        self._dwells = [Dwell(int(turns), *rest) for turns, *rest in np.asarray(state["dwells"]).tolist()]
        self._longest = int(np.asarray(state["longest"]))
