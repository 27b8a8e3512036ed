"""TODO first line."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.metrics.pages import NOISE_FREE, NOISE_HEAVY, BufferedMetric, Rows
from pamiq_exp.metrics.reward_scores import WindowedScore, spearman
from pamiq_exp.metrics.statistics import Tally


class NoiseInView(BufferedMetric):
    """Share of the view that is noise, and share of the steps in which it is more than half.

    Works where the ground truth has `noise_mask` (pixels that nothing could foretell, `(num_envs, height,
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


class TimeInNoisyRoom(BufferedMetric):
    """Share of the time that bodies spend in rooms in which something is noisy.

    Works where the ground truth has `noisy_room` (whether the room that each body is in holds noise,
    `(num_envs,)` bool). Reports `time_in_noisy_room`: in a record since the last one, in the summary over the
    whole run.
    """

    title, needs = "time in the noisy room", ("noisy_room",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()

    def count(self, rows: Rows) -> None:
        self._tally.add("time_in_noisy_room", rows["noisy_room"])

    def figures(self) -> dict[str, float]:
        return self._tally.take()

    def final_figures(self) -> dict[str, float]:
        return self._tally.means()


class RewardByNoise(BufferedMetric):
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


TENTHS = 10


class RewardByTenth(BufferedMetric):
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


class RemotePresses(BufferedMetric):
    """Presses of the remote control for each step of a environment.

    Works where the ground truth has `presses` (how often each environment has pressed it so far, `(num_envs,)`):
    what the world did counts, not what was asked of it. Reports `remote_press_rate`, in a record since the
    last one, in the summary over the whole run, and in the summary `remote_presses`, their number.
    """

    title, needs = "presses of a remote control", ("presses",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()
        self._before = np.zeros(0, dtype=np.int64)

    def count(self, rows: Rows) -> None:
        presses = rows["presses"]
        known = np.vstack([self._before, presses]) if self._before.size else presses
        self._tally.add("remote_press_rate", np.diff(known, axis=0))
        self._before = presses[-1].copy()

    def figures(self) -> dict[str, float]:
        return self._tally.take()

    def final_figures(self) -> dict[str, float]:
        means = self._tally.means()
        return means | {"remote_presses": self._tally.total("remote_press_rate")} if means else {}

    def counted(self) -> State:
        return {"before": self._before} if self._before.size else {}

    def load_state(self, state: State) -> None:
        self._before = np.array(state["before"], dtype=np.int64)


class Stare(NamedTuple):
    """How many turns one environment has stared, from which square of the map, and where it looked when that began."""

    length: int
    x: float
    y: float
    heading: float


NO_STARE = Stare(0, 0.0, 0.0, 0.0)


class LongestDwell(BufferedMetric):
    """Longest run of steps of one environment that sees mostly noise and neither goes nor turns away.

    A stare lasts while more than half of the view is noise, the body stays in one square of `cell` meters,
    and its heading stays within `turn` degrees of that at the beginning.

    Works where the ground truth has `pose` and `noise_mask`. Reports `longest_stare` in turns.

    Args:
        cell: Side of the square, in meters.
        turn: Degrees.
    """

    title, needs = "longest stare", ("pose", "noise_mask")
    columns = ("pose", "noise_share")

    def __init__(self, cell: float = 0.5, turn: float = 30.0) -> None:
        super().__init__()
        self._cell = cell
        self._turn = math.radians(turn)
        self._stares: list[Stare] = []
        self._longest = 0

    def count(self, rows: Rows) -> None:
        heavy = rows["noise_share"] > NOISE_HEAVY
        stares = self._stares or [NO_STARE] * heavy.shape[1]
        num_envs = zip(stares, rows["pose"].swapaxes(0, 1), heavy.T, strict=True)
        self._stares = [self._go_on(*env) for env in num_envs]

    def _go_on(self, stare: Stare, pose: NDArray[np.float64], heavy: NDArray[np.bool_]) -> Stare:
        """Return the stare of one environment after some turns, `(turns, 3 or more)` and `(turns,)`."""
        squares = (pose[:, :2] // self._cell).tolist()
        for is_heavy, (x, y), heading in zip(heavy.tolist(), squares, pose[:, 2].tolist(), strict=True):
            if not is_heavy:
                stare = NO_STARE
            elif stare.length and x == stare.x and y == stare.y and self._is_near(heading, stare.heading):
                stare = Stare(stare.length + 1, x, y, stare.heading)
            else:
                stare = Stare(1, x, y, heading)
            self._longest = max(self._longest, stare.length)
        return stare

    def _is_near(self, heading: float, other: float) -> bool:
        return abs((heading - other + math.pi) % (2.0 * math.pi) - math.pi) < self._turn - 1e-9

    def figures(self) -> dict[str, float]:
        return {"longest_stare": float(self._longest)} if self._stares else {}

    def counted(self) -> State:
        return {"stares": np.array(self._stares), "longest": self._longest} if self._stares else {}

    def load_state(self, state: State) -> None:
        self._stares = [Stare(int(length), *rest) for length, *rest in np.asarray(state["stares"]).tolist()]
        self._longest = int(np.asarray(state["longest"]))
