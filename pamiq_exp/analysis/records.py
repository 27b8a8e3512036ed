"""Reading `metrics.jsonl` fast: thousands of runs have to fit into a coffee break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.files import parse_json, parse_json_fast, read_bytes
from pamiq_exp.run_folder.records import PLOT_AXES

FloatArray = NDArray[np.float64]
Record: TypeAlias = dict[str, object]

RECORDS_READ = 1000
"""How many records of one kind are read by default."""
LARGEST = 1e150
"""Of numbers in records: sums of their squares are finite. Larger ones count as not finite: such a run has diverged."""

_POINTS = 400
_PREFIX = b'{"source": "'
_NEWLINE, _COMMA = ord("\n"), ord(",")
_MOST_BYTES = 1 << 30
_LONGEST_LINE = 1_000_000
_CHUNK = 1 << 24
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Series:
    """One metric of one run over its course.

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
        series: By metric, such as `interaction/coverage`.
        count: How many lines the file has.
        unreadable: How many of the lines read are no records, such as one that a crash cut in two.
    """

    series: Mapping[str, Series]
    count: int
    unreadable: int


def read_records(path: Path, most: int | None = RECORDS_READ) -> Records:
    """Read the metrics of one run.

    Long series are averaged over neighboring records to a few hundred points, axes and values alike.

    Args:
        path: A `metrics.jsonl`. One that does not exist has no records.
        most: Of each kind of records (same source, same number of metrics) at most so many are read, evenly spaced,
            the first and the last among them. None reads all.
    """
    try:
        data = read_bytes(path, most=_MOST_BYTES)
    except FileNotFoundError:
        return Records({}, 0, 0)
    spans = _lines(data)
    chosen = spans if most is None or len(spans) <= most else spans[_thin(data, spans, most)]
    short = chosen[chosen[:, 1] - chosen[:, 0] <= _LONGEST_LINE]
    records, unreadable = _parse([data[start:end] for start, end in short.tolist()])
    by_source: dict[str, list[Record]] = {}
    for record in records:
        by_source.setdefault(str(record.get("source")), []).append(record)
    series: dict[str, Series] = {}
    for group in by_source.values():
        series |= _series(group)
    return Records(series, len(spans), unreadable + len(chosen) - len(short))


def _lines(data: bytes) -> NDArray[np.int64]:
    """Return where each line starts and ends, `(lines, 2)`."""
    text = np.frombuffer(data, dtype=np.uint8)
    found = [start + np.flatnonzero(text[start : start + _CHUNK] == _NEWLINE) for start in range(0, len(data), _CHUNK)]
    ends = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
    if data and not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    return np.column_stack((starts, ends)).astype(np.int64)


def _thin(data: bytes, spans: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return which lines to read: of each kind `most`, evenly spaced, the first and the last among them."""
    kinds = _kinds(np.frombuffer(data, dtype=np.uint8), spans)
    order = np.argsort(kinds, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)
    return np.sort(np.concatenate([_evenly(group, most) for group in groups]))


def _kinds(text: NDArray[np.uint8], spans: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a number for each line, the same for lines of the same source with as many metrics."""
    metrics = np.add.reduceat(text == _COMMA, spans[:, 0], dtype=np.int64)
    letters = spans[:, :1] + np.arange(len(_PREFIX), len(_PREFIX) + 16)
    source = text[np.minimum(letters, len(text) - 1)].view(np.uint64).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = (source[:, 0] * _ODD + source[:, 1]) * _ODD + metrics.astype(np.uint64)
    return mixed


def _evenly(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).round().astype(np.int64)]


def _parse(lines: Sequence[bytes]) -> tuple[list[Record], int]:
    """Parse all lines at once, or one by one if some of them are broken."""
    try:
        records = parse_json_fast(b"[" + b",".join(lines) + b"]")
        if isinstance(records, list) and all(type(record) is dict for record in records):
            return records, 0
    except ValueError:
        pass
    whole = [record for line in lines if isinstance(record := _parse_line(line), dict)]
    return whole, len(lines) - len(whole)


def _parse_line(line: bytes) -> object:
    try:
        return parse_json(line)
    except ValueError:
        return None


def _series(records: Sequence[Record]) -> dict[str, Series]:
    """Turn the records of one source into columns."""
    kinds: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        kinds.setdefault(tuple(record), []).append(record)
    if len(kinds) == 1:
        names = next(iter(kinds))
        columns = {name: [record[name] for record in records] for name in names}
        axes = {axis: as_numbers(columns[axis]) for axis in PLOT_AXES if axis in columns}
        metrics = [name for name in names if "/" in name]
        if not metrics:
            return {}
        return _reduce(axes, metrics, np.stack([as_numbers(columns[name]) for name in metrics]))
    holding: dict[str, list[Record]] = {}
    for record in records:
        for name in record:
            if "/" in name:
                holding.setdefault(name, []).append(record)
    return {name: _sparse(name, group) for name, group in holding.items()}


def _sparse(name: str, records: Sequence[Record]) -> Series:
    axes = {axis: as_numbers([record.get(axis) for record in records]) for axis in PLOT_AXES if axis in records[0]}
    return _reduce(axes, [name], as_numbers([record[name] for record in records])[None])[name]


def as_numbers(values: Sequence[object]) -> FloatArray:
    """Return values of records as floats; NaN for what is no number, or larger than `LARGEST`."""
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    if numbers.shape != (len(values),):
        numbers = np.fromiter(map(_number, values), dtype=np.float64, count=len(values))
    numbers[np.abs(numbers) > LARGEST] = np.nan
    return numbers


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _reduce(axes: Mapping[str, FloatArray], names: Sequence[str], values: FloatArray) -> dict[str, Series]:
    """Return series of metrics that were recorded together; `values` is `(metrics, records)`."""
    finite = np.isfinite(values)
    counts = finite.sum(axis=1)
    lasts = values[np.arange(len(values)), values.shape[1] - 1 - np.argmax(finite[:, ::-1], axis=1)]
    lasts = np.where(counts > 0, lasts, np.nan)
    bad = values.shape[1] - counts
    starts = _group_starts(values.shape[1])
    if starts is None:
        values = np.where(finite, values, np.nan)
    else:
        axes = dict(zip(axes, _means(np.stack(list(axes.values())), starts), strict=True)) if axes else {}
        values = _means(values, starts)
    rows = zip(names, values, lasts.tolist(), bad.tolist(), strict=True)
    return {name: Series(dict(axes), row, last, not_finite) for name, row, last, not_finite in rows}


def _group_starts(count: int) -> NDArray[np.int64] | None:
    """Where each of the groups begins into which a long series is averaged; None for a short one."""
    return np.linspace(0, count, _POINTS, endpoint=False).astype(np.int64) if count > _POINTS else None


def _means(values: FloatArray, starts: NDArray[np.int64]) -> FloatArray:
    """Return the means of the finite values of each group, `(rows, groups)`."""
    finite = np.isfinite(values)
    sums = np.add.reduceat(np.where(finite, values, 0.0), starts, axis=1)
    counts = np.add.reduceat(finite, starts, axis=1, dtype=np.float64)
    means: FloatArray = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
