"""Ground truth in a trace: what was read of it, and which names there were.

A world computes a part of its ground truth when it is read, and most parts are never read. So a trace keeps what was
read in each turn, and nothing else is computed for its sake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.runtime.trace.blocks import Arrays, TraceError


class ReadTruth:
    """What was read of the ground truth of one turn.

    Attributes:
        names: All names that there were.
        values: A copy of each value that was read.
        closed: Whether the turn is over, and belongs to the thread that writes it.
    """

    __slots__ = ("closed", "names", "values")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.values: dict[str, NDArray[Any]] = {}
        self.closed = False


class NotedTruth(Mapping[str, NDArray[Any]]):
    """Shows a ground truth and notes what is read of it.

    Args:
        truth: What is shown.
        read: Where it is noted.
    """

    def __init__(self, truth: Mapping[str, NDArray[Any]], read: ReadTruth) -> None:
        self._truth, self._read = truth, read

    def __getitem__(self, name: str) -> NDArray[Any]:
        value = self._truth[name]
        if name not in self._read.values and not self._read.closed:
            self._read.values[name] = np.array(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._truth)

    def __len__(self) -> int:
        return len(self._truth)

    def __contains__(self, name: object) -> bool:
        return name in self._truth


class ReplayedTruth(Mapping[str, NDArray[Any]]):
    """Shows what was read, and refuses what was not.

    Args:
        read: What was read in this turn.
    """

    def __init__(self, read: ReadTruth) -> None:
        self._read = read

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name in self._read.names and name not in self._read.values:
            raise TraceError(f"something reads '{name}' of the ground truth, which nothing read at this turn before")
        return self._read.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read.names)

    def __len__(self) -> int:
        return len(self._read.names)

    def __contains__(self, name: object) -> bool:
        return name in self._read.names


def truth_columns(turns: Sequence[ReadTruth | None]) -> Arrays:
    """Return columns with the ground truth of turns that have the same names: of each value only what has changed.

    `asked` says at which turns anything asked for it, and `read.NAME` at which it was read. `truth.NAME` are the
    values, `changed.NAME` the turn from which on each of them holds. No columns if nothing asked for it at any turn.
    """
    asked = [turn is not None for turn in turns]
    if not any(asked):
        return {}
    columns: Arrays = {"asked": np.array(asked)}
    for name in next(turn.names for turn in turns if turn is not None):
        values = [None if turn is None else turn.values.get(name) for turn in turns]
        kept: list[NDArray[Any]] = []
        changed: list[int] = []
        for index, value in enumerate(values):
            if value is not None and not (kept and value.tobytes() == kept[-1].tobytes()):
                kept.append(value)
                changed.append(index)
        columns[f"truth.{name}"] = np.stack(kept) if kept else np.empty(0)
        columns[f"changed.{name}"] = np.array(changed, np.int32)
        columns[f"read.{name}"] = np.array([value is not None for value in values])
    return columns


def truths_of(columns: Mapping[str, NDArray[Any]], turns: int) -> list[ReadTruth | None]:
    """Return the ground truth of as many turns from the columns of `truth_columns`.

    Raises:
        LookupError, ValueError: The columns do not fit each other.
    """
    if "asked" not in columns:
        return [None] * turns
    names = [name.partition(".")[2] for name in columns if name.startswith("truth.")]
    truths = [ReadTruth(names) for _ in range(turns)]
    for name in names:
        changed, read = columns[f"changed.{name}"].tolist(), columns[f"read.{name}"]
        ends = chain(changed[1:], [turns] if changed else [])
        for start, end, value in zip(changed, ends, columns[f"truth.{name}"], strict=True):
            for index in range(start, end):
                if read[index]:
                    truths[index].values[name] = np.array(value)
    return [truth if asked else None for truth, asked in zip(truths, columns["asked"], strict=True)]
