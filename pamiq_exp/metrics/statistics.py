"""TODO first line."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State

Totals = dict[str, tuple[float, int]]


class Tally(Component):
    """Means of named figures, since they were last taken and over the whole run."""

    def __init__(self) -> None:
        self._recent: Totals = {}
        self._all: Totals = {}

    def add(self, name: str, values: NDArray[np.generic]) -> None:
        """Count values of any shape, one by one in their order; none is fine."""
        if not values.size:
            return
        for totals in (self._recent, self._all):
            before, counted = totals.get(name, (0.0, 0))
            totals[name] = running_sums(before, values)[-1].item(), counted + values.size

    def take(self) -> dict[str, float]:
        """Return the means since the last call."""
        recent, self._recent = self._recent, {}
        return _means(recent)

    def means(self) -> dict[str, float]:
        """Return the means of the whole run."""
        return _means(self._all)

    def total(self, name: str) -> float:
        """Return the sum of a figure over the whole run."""
        return self._all.get(name, (0.0, 0))[0]

    def state(self) -> State:
        both = {"recent": self._recent, "all": self._all}
        return {key: {name: list(pair) for name, pair in totals.items()} for key, totals in both.items() if totals}

    def load_state(self, state: State) -> None:
        self._recent, self._all = (_loaded(state.get(key, {})) for key in ("recent", "all"))


def running_sums(before: float, values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the sums after each value, `(n,)`: added one by one, so that it is all the same how many come at once."""
    sums: NDArray[np.float64] = np.cumsum(np.append(before, values.reshape(-1)), dtype=np.float64)[1:]
    return sums


def _means(totals: Totals) -> dict[str, float]:
    return {name: total / count for name, (total, count) in totals.items()}


def _loaded(saved: dict[str, list[float]]) -> Totals:
    return {name: (float(total), int(count)) for name, (total, count) in saved.items()}


class BlockSums(Component):
    """Sums over a run of any length that also know the newest share of it.

    Time is cut into blocks of equal length; when there are as many as are kept, neighbors are joined. The
    newest share is therefore exact to one block: at most two of `blocks` parts of the run.

    Args:
        size: Numbers that are summed.
        blocks: Blocks that are kept, even.
    """

    def __init__(self, size: int, blocks: int = 40) -> None:
        self._sums = np.zeros((blocks, size), dtype=np.int32)
        self._length = 1
        self._used = 1
        self._filled = 0

    @property
    def size(self) -> int:
        """Numbers that are summed."""
        return self._sums.shape[1]

    @property
    def turns(self) -> int:
        """Turns so far."""
        return (self._used - 1) * self._length + self._filled

    def add(self, places: NDArray[np.integer]) -> None:
        """Add one in each turn to the numbers at these places, `(turns, n)`: some may repeat, negative are none."""
        for turns, sums in self._parts(len(places)):
            here = places[turns].reshape(-1)
            np.add.at(sums, here[here >= 0], 1)

    def add_all(self, amounts: NDArray[np.integer]) -> None:
        """Add to all numbers in each turn, `(turns, size)`."""
        for turns, sums in self._parts(len(amounts)):
            sums += amounts[turns].sum(axis=0, dtype=np.int32)

    def _parts(self, turns: int) -> Iterator[tuple[slice, NDArray[np.int32]]]:
        """Cut turns where blocks end; yield each part, and the sums that it belongs to."""
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
    """Collects rows of numbers and hands them over when there are enough.

    Args:
        size: Rows in a window, at most.
        columns: Numbers in a row.
    """

    def __init__(self, size: int, columns: int) -> None:
        if size < 2:
            raise ValueError(f"a window must hold at least 2 environment steps, not {size}")
        self._rows = np.zeros((size, columns))
        self._count = 0

    def holds(self, rows: int) -> bool:
        """Whether that many more rows fit in."""
        return self._count + rows <= len(self._rows)

    def add(self, *columns: NDArray[np.generic]) -> NDArray[np.float64] | None:
        """Add rows, given as columns `(n,)`; return the window before them, `(rows, columns)`, if it is full now."""
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
