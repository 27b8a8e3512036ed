"""Follows `metrics.jsonl` and gives curves of at most a few hundred points, however long the run is."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.analysis.records import as_numbers
from pamiq_exp.files import open_file, parse_json_fast
from pamiq_exp.run_folder import file_names
from pamiq_exp.run_folder.reader import reason_of

MOST_RECORDS = 600
"""Records of one kind (same source, same metrics) that are kept: between half of this and all of it."""

MOST_VALUES = 2_000_000
"""Numbers of one kind that are kept: a run with 10,000 metrics keeps fewer records of them."""

MOST_BYTES = 4_000_000_000
_CHUNK = 8_000_000
_LONGEST_LINE = 8_000_000
_PREFIX = b'{"source": "'

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One metric of one run.

    Attributes:
        x: Values of the axis, `(points,)`.
        y: Values of the metric, `(points,)`; NaN where the run recorded a number that is not finite.
        every: Of the records there are, each `every`-th is a point.
        records: How many records there are.
    """

    x: FloatArray
    y: FloatArray
    every: int
    records: int


@dataclass
class _Kind:
    """The kept records of one kind; every `every`-th of them, and always the newest."""

    every: int = 1
    seen: int = 0
    names: tuple[str, ...] = ()
    rows: list[FloatArray] = field(default_factory=list)
    newest: FloatArray | None = None

    def take(self, line: bytes) -> bool:
        """Count one record and keep it if its turn has come. Returns False if it is no record."""
        if self.seen % self.every == 0:
            row = self._parse(line)
            if row is None:
                return False
            self.rows.append(row)
            self.newest = None
            if len(self.rows) >= max(100, min(MOST_RECORDS, MOST_VALUES // max(1, len(self.names)))):
                self.rows = self.rows[::2]
                self.every *= 2
        self.seen += 1
        return True

    def end(self, line: bytes) -> None:
        """Keep the newest record, too, until others come."""
        if (self.seen - 1) % self.every:
            self.newest = self._parse(line)

    def column(self, name: str) -> FloatArray:
        """Return the kept values of one number."""
        index = self.names.index(name)
        rows = self.rows if self.newest is None else [*self.rows, self.newest]
        return np.array([row[index] for row in rows], dtype=np.float64)

    def _parse(self, line: bytes) -> FloatArray | None:
        try:
            record = parse_json_fast(line)
        except ValueError:
            return None
        if not isinstance(record, dict) or not isinstance(record.pop("source", None), str):
            return None
        if not self.names:
            self.names = tuple(record)
        if tuple(record) != self.names:  # same source, as many metrics, other names: treated as another kind
            record = {name: record.get(name) for name in self.names}
        return as_numbers(list(record.values()))


class MetricsFile:
    """The metrics of one run, read from where the last look ended.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / file_names.METRICS
        self._begin()

    def _begin(self) -> None:
        self._kinds: dict[tuple[bytes, int], _Kind] = {}
        self._position = 0
        self._inode = 0
        self._rest = b""
        self.unreadable = 0
        """Lines that are no records."""
        self.problem = ""
        """Why the file could not be read."""

    @property
    def half_line(self) -> bool:
        """Whether the file ends in the middle of a line: a write under way, or cut off by a crash."""
        return bool(self._rest)

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(kind.seen for kind in self._kinds.values())

    def poll(self) -> bool:
        """Read what was written since the last call; return whether there was anything new."""
        try:
            with open_file(self._path, within=self._folder, most=MOST_BYTES) as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._position:
                    self._begin()  # a run that goes on from a checkpoint writes the file anew
                    self._inode = status.st_ino
                self.problem = ""
                if status.st_size == self._position:
                    return False
                file.seek(self._position)
                while chunk := file.read(_CHUNK):
                    self._position += len(chunk)
                    self._take(chunk)
        except FileNotFoundError:
            self._begin()
            return False
        except OSError as error:
            self.problem = reason_of(error, self._folder)
            return False
        return True

    def names(self) -> list[str]:
        """Return the names of all metrics, sorted."""
        return sorted({name for kind in self._kinds.values() for name in kind.names if "/" in name})

    def curve(self, metric: str, axis: str) -> Curve | None:
        """Return the course of a metric against an axis; None if the run has none."""
        kinds = [kind for kind in self._kinds.values() if metric in kind.names and axis in kind.names]
        if not kinds:
            return None
        x = np.concatenate([kind.column(axis) for kind in kinds])
        y = np.concatenate([kind.column(metric) for kind in kinds])
        order = np.argsort(x, kind="stable")
        known = np.isfinite(x[order])
        return Curve(
            x[order][known], y[order][known], max(kind.every for kind in kinds), sum(kind.seen for kind in kinds)
        )

    def latest(self) -> dict[str, float]:
        """Return the newest kept value of every number."""
        found: dict[str, float] = {}
        for kind in self._kinds.values():
            row = kind.newest if kind.newest is not None else kind.rows[-1] if kind.rows else None
            if row is not None:
                found |= dict(zip(kind.names, row.tolist(), strict=True))
        return found

    def _take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._rest = b""
            self.unreadable += 1
        last: dict[tuple[bytes, int], bytes] = {}
        for key, line in _by_kind(lines):
            if key is None:
                self.unreadable += 1
            elif self._kinds.setdefault(key, _Kind()).take(line):
                last[key] = line
            else:
                self.unreadable += 1
        for key, line in last.items():
            self._kinds[key].end(line)


def _by_kind(lines: Sequence[bytes]) -> Iterator[tuple[tuple[bytes, int] | None, bytes]]:
    """Yield each line with its kind, None for what cannot be a record. Lines are not parsed for it: that is slow."""
    begin = len(_PREFIX)
    for line in lines:
        if not line:
            continue
        if line.startswith(_PREFIX) and line.endswith(b"}") and len(line) <= _LONGEST_LINE:
            yield (line[begin : line.find(b'"', begin)], line.count(b",")), line
        else:
            yield None, line


def smoothed(values: FloatArray, weight: float) -> FloatArray:
    """Return the exponential moving average, new = weight * old + (1 - weight) * x, without its bias toward the start.

    Args:
        values: `(points,)`; those that are not finite are skipped.
        weight: In [0, 1); 0 changes nothing.
    """
    result = np.full(len(values), np.nan)
    mean = total = 0.0
    for index, value in enumerate(values.tolist()):
        if math.isfinite(value):
            mean = weight * mean + (1.0 - weight) * value
            total = weight * total + (1.0 - weight)
            result[index] = mean / total
    return result


def newest(latest: Mapping[str, float], name: str) -> float | None:
    """Return one of the newest values if it is a finite number."""
    value = latest.get(name)
    return value if value is not None and math.isfinite(value) else None
