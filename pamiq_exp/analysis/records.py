"""Reading `metrics.jsonl` fast: thousands of runs have to fit into a coffee break."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Record: TypeAlias = dict[str, object]

AXES = ("environment_step", "wall_seconds", "run_seconds", "training_step", "model_version")
"""What a figure can be drawn over."""

RECORDS_READ = 1000
"""How many records of one kind are read by default."""

_POINTS = 400
_PREFIX = b'{"source": "'
_WORDS = ((b'"NaN"', b"NaN"), (b'"Infinity"', b"Infinity"), (b'"-Infinity"', b"-Infinity"))


@dataclass(frozen=True)
class Series:
    """One figure of one run over its course.

    Attributes:
        axes: For each axis of records its values, `(points,)`.
        values: `(points,)`; NaN where the run recorded numbers that are not finite.
        last: The last finite value recorded, exactly; NaN if there is none.
        not_finite: How many of the values read were NaN or infinite.
    """

    axes: Mapping[str, FloatArray]
    values: FloatArray
    last: float
    not_finite: int


@dataclass(frozen=True)
class Records:
    """What was read of one `metrics.jsonl`.

    Attributes:
        series: By figure, such as `interaction/coverage`.
        count: How many lines the file has.
        unreadable: How many of the lines read are no records, such as one that a crash cut in two.
    """

    series: Mapping[str, Series]
    count: int
    unreadable: int


def read_records(path: Path, most: int | None = RECORDS_READ) -> Records:
    """Read the figures of one run.

    Long series are averaged over neighbouring records to a few hundred points, axes and values alike.

    Args:
        path: A `metrics.jsonl`. One that does not exist has no records.
        most: Of each kind of records (same source, same number of figures) at most so many are read, evenly spaced,
            the first and the last among them. None reads all.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Records({}, 0, 0)
    lines = data.splitlines()
    chosen = lines if most is None else _thin(lines, most)
    records, unreadable = _parse(chosen)
    series: dict[str, Series] = {}
    for source in dict.fromkeys(record.get("source") for record in records):
        series |= _series([record for record in records if record.get("source") == source])
    return Records(series, len(lines), unreadable)


def _thin(lines: Sequence[bytes], most: int) -> list[bytes]:
    if len(lines) <= most:
        return list(lines)
    kinds: dict[tuple[bytes, int], list[int]] = {}
    for index, line in enumerate(lines):
        end = line.find(b'"', len(_PREFIX))
        kinds.setdefault((line[:end], line.count(b",")), []).append(index)
    kept = [index for indices in kinds.values() for index in _evenly(indices, most)]
    return [lines[index] for index in sorted(kept)]


def _evenly(indices: Sequence[int], most: int) -> Sequence[int]:
    if len(indices) <= most:
        return indices
    return [indices[position] for position in np.linspace(0, len(indices) - 1, most).round().astype(int)]


def _parse(lines: Sequence[bytes]) -> tuple[list[Record], int]:
    """Parse all lines at once, or one by one if some of them are broken."""
    data = b"[" + b",".join(lines) + b"]"
    for word, number in _WORDS:
        data = data.replace(b": " + word, b": " + number)
    try:
        records = json.loads(data)
        if all(type(record) is dict for record in records):
            return records, 0
    except ValueError:
        pass
    whole = [record for line in lines if isinstance(record := _parse_line(line), dict)]
    return whole, len(lines) - len(whole)


def _parse_line(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _series(records: Sequence[Record]) -> dict[str, Series]:
    """Turn the records of one source into columns."""
    kinds: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        kinds.setdefault(tuple(record), []).append(record)
    if len(kinds) == 1:
        names = next(iter(kinds))
        columns = dict(zip(names, zip(*map(itemgetter(*names), records), strict=True), strict=True)) if names else {}
        axes = {axis: _numbers(columns[axis]) for axis in AXES if axis in columns}
        return {name: _reduce(axes, _numbers(columns[name])) for name in names if "/" in name}
    figures = dict.fromkeys(name for names in kinds for name in names if "/" in name)
    return {name: _sparse(name, [record for record in records if name in record]) for name in figures}


def _sparse(name: str, records: Sequence[Record]) -> Series:
    axes = {axis: _numbers([record.get(axis) for record in records]) for axis in AXES if axis in records[0]}
    return _reduce(axes, _numbers([record[name] for record in records]))


def _numbers(values: Sequence[object]) -> FloatArray:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.fromiter(map(_number, values), dtype=np.float64, count=len(values))


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _reduce(axes: Mapping[str, FloatArray], values: FloatArray) -> Series:
    finite = np.isfinite(values)
    count = int(finite.sum())
    last = float(values[finite][-1]) if count else float("nan")
    values = values if count == len(values) else np.where(finite, values, np.nan)
    groups = list(_group_starts(len(values)))
    if groups:
        axes = {name: _means(axis, groups) for name, axis in axes.items()}
        values = _means(values, groups)
    return Series(dict(axes), values, last, len(finite) - count)


def _group_starts(count: int) -> Iterator[int]:
    """Where each of the groups begins into which a long series is averaged; none for a short one."""
    if count > _POINTS:
        yield from np.linspace(0, count, _POINTS, endpoint=False).astype(int)


def _means(values: FloatArray, starts: Sequence[int]) -> FloatArray:
    """Return the mean of the finite values of each group."""
    finite = np.isfinite(values)
    sums = np.add.reduceat(np.where(finite, values, 0.0), starts)
    counts = np.add.reduceat(finite.astype(np.float64), starts)
    means: FloatArray = np.full(len(starts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
