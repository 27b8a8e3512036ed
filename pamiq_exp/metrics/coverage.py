"""Coverage of a world: cells and rooms visited, and how evenly."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.buffered import BufferedMetric, Rows
from pamiq_exp.metrics.statistics import BlockSums, running_sums


def cells_of(pose: NDArray[np.float64], cell: float, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the index of the cell of each pose, row by row over cells of that shape, from `(..., 2 or more)`."""
    column, row = (pose[..., axis] // cell for axis in (0, 1))
    return np.ravel_multi_index((row.astype(np.intp), column.astype(np.intp)), shape)


class VisitedCells(Component):
    """The reachable cells that at least one environment has entered.

    Args:
        cell: Side of the cells of `reachable`, in meters.
    """

    def __init__(self, cell: float = 0.25) -> None:
        if not cell > 0:
            raise ValueError(f"cell must be a positive number of meters, not {cell!r}")
        self.count = 0
        self.reachable = 0
        self._cell = cell
        self._visited: NDArray[np.bool_] | None = None
        self._can_be_new: NDArray[np.bool_] = np.zeros((0, 0), dtype=np.bool_)

    def begin(self, reachable: NDArray[np.bool_]) -> None:
        """Set which cells can be reached, `(rows, columns)`."""
        self._can_be_new = np.array(reachable, dtype=np.bool_)
        if self._visited is None:
            self._visited = np.zeros(self._can_be_new.shape, dtype=np.bool_)
            self.reachable = int(np.count_nonzero(self._can_be_new))
        self._can_be_new &= ~self._visited

    def enter(self, pose: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Add poses, `(turns, num_envs, 2 or more)`; return which are the first in their cell, `(turns, num_envs)`."""
        if self._visited is None:
            raise RuntimeError("call begin first")
        if not self.reachable:
            return np.zeros(pose.shape[:2], dtype=np.bool_)
        cells, first_index = np.unique(cells_of(pose, self._cell, self._visited.shape), return_index=True)
        new = self._can_be_new.reshape(-1)[cells]
        self._can_be_new.reshape(-1)[cells] = False
        self._visited.reshape(-1)[cells[new]] = True
        self.count += int(np.count_nonzero(new))
        first = np.zeros(pose.shape[:2], dtype=np.bool_)
        first.reshape(-1)[first_index[new]] = True
        return first

    def state(self) -> State:
        if self._visited is None:
            return {}
        return {"visited": self._visited.copy(), "reachable": self.reachable}

    def load_state(self, state: State) -> None:
        self._visited = np.array(state["visited"], dtype=np.bool_)
        self.count = int(np.count_nonzero(self._visited))
        self.reachable = int(np.asarray(state["reachable"]))


class CoverageCurve(Component):
    """Share of the reachable cells that have been visited, and its mean over all turns so far.

    Args:
        cell: Side of the cells, in meters.
    """

    def __init__(self, cell: float) -> None:
        self._cells = VisitedCells(cell)
        self._total = 0.0
        self._turns = 0

    def begin(self, reachable: NDArray[np.bool_]) -> None:
        """Set which cells can be reached, `(rows, columns)`."""
        self._cells.begin(reachable)

    def add(self, pose: NDArray[np.float64]) -> None:
        """Count some turns: x and y (meters) of all environments first, `(turns, environments, 2 or more)`."""
        before = self._cells.count
        visited = before + np.cumsum(self._cells.enter(pose).sum(axis=1))
        self._turns += len(visited)
        self._total = running_sums(self._total, visited / max(self._cells.reachable, 1))[-1].item()

    def metrics(self, suffix: str = "") -> dict[str, float]:
        """Return `coverage` and `coverage_auc`; nothing without a turn or a reachable cell."""
        if not (self._turns and self._cells.reachable):
            return {}
        return {
            f"coverage{suffix}": self._cells.count / self._cells.reachable,
            f"coverage_auc{suffix}": self._total / self._turns,
        }

    def state(self) -> State:
        return {"total": self._total, "turns": self._turns} if self._turns else {}

    def load_state(self, state: State) -> None:
        self._total = float(np.asarray(state["total"]))
        self._turns = int(np.asarray(state["turns"]))


class Coverage(BufferedMetric):
    """Share of the reachable cells that at least one environment has visited.

    Works with every environment whose ground truth has `pose` (x and y in meters first, `(num_envs, n)`) and
    `reachable` (which square cells can be visited, `(rows, columns)`, the first one at x = y = 0).

    Reports `coverage`, and `coverage_auc`: its mean over all turns so far, the area under its curve. Nothing in a
    world without reachable cells.

    Args:
        cell: Side of the cells of `reachable`, in meters.
    """

    title, needs = "coverage", ("pose", "reachable")
    columns = ("pose",)

    def __init__(self, cell: float = 0.25) -> None:
        super().__init__()
        self._curve = CoverageCurve(cell)

    def begin(self, turn: Turn) -> None:
        self._curve.begin(turn.ground_truth["reachable"])

    def count(self, rows: Rows) -> None:
        self._curve.add(rows["pose"])

    def metrics(self) -> dict[str, float]:
        return self._curve.metrics()


HEADINGS = 24
PER_RADIAN = HEADINGS / (2.0 * math.pi)


class VisitationEntropy(BufferedMetric):
    """Entropy of the visits to cells and of the headings, relative to its maximum.

    H / log n with H = -sum p log p over the n reachable cells, or over 24 headings: 1 is uniform, 0 is one cell or one
    heading only. These are plug-in estimates: compare runs of equal length only.

    Works where the ground truth has `pose` (x, y in meters, heading in radians) and `reachable`, see
    `Coverage`. Reports `visit_entropy` and `heading_entropy`, and both with `_recent` over the newest part
    of the run.

    Args:
        cell: Side of the cells of `reachable`, in meters.
        recent: Share of the run that counts as recent.
    """

    title, needs = "visitation entropy", ("pose", "reachable")
    columns = ("pose",)

    def __init__(self, cell: float = 0.25, recent: float = 0.2) -> None:
        super().__init__()
        if not 0 < recent <= 1:
            raise ValueError(f"recent must be above 0 and at most 1, not {recent!r}")
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
        cells = cells_of(rows["pose"], self._cell, self._reachable.shape)
        self._cells.add(np.where(self._reachable.reshape(-1)[cells], cells, -1))
        self._headings.add(np.rint(rows["pose"][..., 2] * PER_RADIAN).astype(np.intp) % HEADINGS)

    def metrics(self) -> dict[str, float]:
        if not self._reachable.size:
            return {}
        metrics = {}
        for name, sums, cases in (
            ("visit_entropy", self._cells, int(np.count_nonzero(self._reachable))),
            ("heading_entropy", self._headings, HEADINGS),
        ):
            metrics[name] = evenness(sums.newest(), cases)
            metrics[f"{name}_recent"] = evenness(sums.newest(self._recent), cases)
        return metrics


def evenness(counts: NDArray[np.int64], cases: int) -> float:
    """Return the entropy of counts divided by that of `cases` equally frequent cases."""
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log(share)).sum() / math.log(cases)) if cases > 1 else 0.0


class FirstEntries(Component):
    """Environment steps at which rooms were entered for the first time.

    Attributes:
        steps: Environment steps so far.
        first: Step of the first entry, by the number of the room.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.first: dict[int, int] = {}

    def enter(self, rooms: NDArray[np.integer]) -> None:
        """Add the rooms that the agents are in, `(turns, num_envs)`; -1 is none."""
        num_envs = rooms.shape[1]
        numbers, first_index = np.unique(rooms, return_index=True)
        for index, room in sorted(zip(first_index.tolist(), numbers.tolist(), strict=True)):
            if room >= 0:
                self.first.setdefault(room, self.steps + index // num_envs * num_envs)
        self.steps += rooms.size

    def state(self) -> State:
        if not self.steps:
            return {}
        return {"steps": self.steps, "first": np.array(list(self.first.items()), dtype=np.int64).reshape(-1, 2)}

    def load_state(self, state: State) -> None:
        self.steps = int(np.asarray(state["steps"]))
        self.first = {int(room): int(step) for room, step in np.asarray(state["first"])}


class Rooms(BufferedMetric):
    """Environment steps until each room was entered for the first time in any environment.

    Works where the ground truth has `room` (the number of the room that the agent is in, -1 for none, `(num_envs,)`);
    `room_count` is their number, if the truth has it.

    Reports `rooms_visited`. The summary adds `first_entry_room_<number>` of each room and their mean,
    `first_entry_mean`; rooms that were never entered count with the length of the run.
    """

    title, needs = "visits to rooms", ("room",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self._rooms = 0
        self._entries = FirstEntries()

    def begin(self, turn: Turn) -> None:
        if "room_count" in turn.ground_truth:
            self._rooms = int(turn.ground_truth["room_count"])

    def count(self, rows: Rows) -> None:
        self._entries.enter(rows["room"])

    def metrics(self) -> dict[str, float]:
        return {"rooms_visited": float(len(self._entries.first))} if self._entries.steps else {}

    def final_metrics(self) -> dict[str, float]:
        steps, entered = self._entries.steps, self._entries.first
        rooms = max(self._rooms, max(entered, default=-1) + 1)
        first = {f"first_entry_room_{room}": float(entered.get(room, steps)) for room in range(rooms)}
        mean = {"first_entry_mean": sum(first.values()) / rooms} if rooms else {}
        return self.metrics() | first | mean

    def counted_state(self) -> State:
        return {"rooms": self._rooms} if self._rooms else {}

    def load_state(self, state: State) -> None:
        self._rooms = int(np.asarray(state["rooms"]))
