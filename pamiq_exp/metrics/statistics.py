"""Running statistics of metrics: means, sums over blocks of a run, windows of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State

Totals = dict[str, tuple[float, int]]


class RunningMeans(Component):
    """Means of metrics by name: since they were last taken, and over the whole run."""

    def __init__(self) -> None:
        self._recent: Totals = {}
        self._all: Totals = {}

    def add(self, name: str, values: NDArray[np.generic]) -> None:
        """Add values of any shape, in their order; an empty array adds nothing."""
        if not values.size:
            return
        for totals in (self._recent, self._all):
            before, counted = totals.get(name, (0.0, 0))
            totals[name] = running_sums(before, values)[-1].item(), counted + values.size

    def take(self) -> dict[str, float]:
        """Return the means since the last call."""
        recent, self._recent = self._recent, {}
        return _averages(recent)

    def means(self) -> dict[str, float]:
        """Return the means of the whole run."""
        return _averages(self._all)

    def total(self, name: str) -> float:
        """Return the sum of a metric's values over the whole run."""
        return self._all.get(name, (0.0, 0))[0]

    def state(self) -> State:
        both = {"recent": self._recent, "all": self._all}
        return {key: {name: list(pair) for name, pair in totals.items()} for key, totals in both.items() if totals}

    def load_state(self, state: State) -> None:
        self._recent, self._all = (_loaded(state.get(key, {})) for key in ("recent", "all"))


def running_sums(before: float, values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the running sums `(n,)`, added value by value: the same bits for any division into calls."""
    sums: NDArray[np.float64] = np.cumsum(np.append(before, values.reshape(-1)), dtype=np.float64)[1:]
    return sums


def _averages(totals: Totals) -> dict[str, float]:
    return {name: total / count for name, (total, count) in totals.items()}


def _loaded(saved: dict[str, list[float]]) -> Totals:
    return {name: (float(total), int(count)) for name, (total, count) in saved.items()}


class BlockSums(Component):
    """Sums over a whole run of any length, and over its newest share.

    The run is cut into blocks of equal length; when `blocks` are full, neighbors are joined. The newest share is exact
    to one block: at most 2 / `blocks` of the run.

    Args:
        size: Number of sums.
        blocks: Number of blocks, even.
    """

    def __init__(self, size: int, blocks: int = 40) -> None:
        self._sums = np.zeros((blocks, size), dtype=np.int32)
        self._length = 1
        self._used = 1
        self._filled = 0

    @property
    def size(self) -> int:
        """Number of sums."""
        return self._sums.shape[1]

    @property
    def turns(self) -> int:
        """Turns so far."""
        return (self._used - 1) * self._length + self._filled

    def add(self, indices: NDArray[np.integer]) -> None:
        """Add 1 to the sums at these indices, `(turns, n)`; indices may repeat, and negative ones are skipped."""
        for turns, sums in self._parts(len(indices)):
            kept = indices[turns].reshape(-1)
            np.add.at(sums, kept[kept >= 0], 1)

    def add_all(self, amounts: NDArray[np.integer]) -> None:
        """Add amounts to all sums, `(turns, size)`."""
        for turns, sums in self._parts(len(amounts)):
            sums += amounts[turns].sum(axis=0, dtype=np.int32)

    def _parts(self, turns: int) -> Iterator[tuple[slice, NDArray[np.int32]]]:
        """Cut turns where blocks end; yield each part with the sums of its block."""
        done = 0
        while done < turns:
            part = min(self._length - self._filled, turns - done)
            yield slice(done, done + part), self._sums[self._used - 1]
            done += part
            self._filled += part
            self._end_block()

    def _end_block(self) -> None:
        if self._filled < self._length:
            return
        if self._used == len(self._sums):
            half = len(self._sums) // 2
            self._sums[:half] = self._sums[::2] + self._sums[1::2]
            self._sums[half:] = 0
            self._used, self._length = half, 2 * self._length
        self._used += 1
        self._filled = 0

    def newest(self, share: float = 1.0) -> NDArray[np.int64]:
        """Return the sums over the newest blocks that hold at least that share of all turns."""
        wanted = math.ceil(share * self.turns)
        first, held = self._used - 1, self._filled
        while held < wanted:
            first -= 1
            held += self._length
        newest: NDArray[np.int64] = self._sums[first : self._used].sum(axis=0, dtype=np.int64)
        return newest

    def state(self) -> State:
        if not self.turns:
            return {}
        return {
            "sums": self._sums[: self._used].copy(),
            "length": self._length,
            "filled": self._filled,
        }

    def load_state(self, state: State) -> None:
        sums = np.asarray(state["sums"], dtype=np.int32)
        self._used = len(sums)
        self._sums = np.zeros((len(self._sums), sums.shape[1]), dtype=np.int32)
        self._sums[: self._used] = sums
        self._length = int(np.asarray(state["length"]))
        self._filled = int(np.asarray(state["filled"]))


class Window(Component):
    """Collects rows of numbers into windows of a fixed size.

    Args:
        size: Rows in a window, at most.
        columns: Number of columns.
    """

    def __init__(self, size: int, columns: int) -> None:
        if size < 2:
            raise ValueError(f"a window must hold at least 2 environment steps, not {size}")
        self._rows = np.zeros((size, columns))
        self._count = 0

    def holds(self, rows: int) -> bool:
        """Return whether that many more rows fit in."""
        return self._count + rows <= len(self._rows)

    def add(self, *columns: NDArray[np.generic]) -> NDArray[np.float64] | None:
        """Add rows, given as columns `(n,)`. If they do not fit, start a new window and return the full one."""
        count = len(columns[0])
        full = None
        if not self.holds(count):
            full = self.rest()
            self._count = 0
        for index, column in enumerate(columns):
            self._rows[self._count : self._count + count, index] = column
        self._count += count
        return full

    def rest(self) -> NDArray[np.float64]:
        """Return the rows since the last full window."""
        return self._rows[: self._count].copy()

    def state(self) -> State:
        return {"rows": self.rest()} if self._count else {}

    def load_state(self, state: State) -> None:
        rows = np.asarray(state["rows"])
        self._count = len(rows)
        self._rows[: self._count] = rows
