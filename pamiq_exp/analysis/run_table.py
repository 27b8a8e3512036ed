"""Final metrics of many runs in one CSV file, which is small enough to share and from which a report is made again."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pamiq_exp.analysis.comparison import Comparison
from pamiq_exp.analysis.records import Records
from pamiq_exp.analysis.runs import ReportError, Run
from pamiq_exp.analysis.tables import Cell, Table, without_quote
from pamiq_exp.files import read_text
from pamiq_exp.run_folder.reader import is_number, reason_of

FILE = "final_metrics"
"""Name of such a table among those of a report."""

_MOST_BYTES = 50_000_000
_MOST_DIGITS = 20
"""Of a seed."""
_SEED = "seed"
_TEXTS = ("experiment_name", "state", "reason")
"""Of a run, beside its settings and metrics."""
_EXPECTED = (
    "expected columns of settings, then one named seed, then final metrics, with a row for each run "
    f"(tables/{FILE}.csv of a report is such a file)"
)


def final_metrics_table(comparison: Comparison) -> Table:
    """Return settings, seed and all final metrics of the runs that count, as `read_run_table` reads them."""
    settings = {id(run): each for run, each in zip(comparison.runs, comparison.settings, strict=True)}
    runs = comparison.counted
    keys = list(dict.fromkeys(key for run in runs for key in settings[id(run)]))
    metrics = list(
        dict.fromkeys(name for run in runs for name, value in run.summary.items() if _is_metric(name, value))
    )
    rows: list[list[Cell]] = [
        [run.experiment_name, *(settings[id(run)].get(key) for key in keys), run.seed, *map(run.value, metrics)]
        for run in runs
    ]
    return Table(FILE, "Final metrics of the runs that count", ["experiment_name", *keys, _SEED, *metrics], rows)


def read_run_table(path: Path) -> list[Run]:
    """Read finished runs from a CSV file: columns of settings, then `seed`, then final metrics; an empty cell is none.

    A setting may be what distinguishes arms or tasks, as if the run had been started with it. A column `state` is the
    state of a run, `finished` without one.

    Raises:
        ReportError: The file cannot be read, or is no such table.
    """
    try:
        text = read_text(path, most=_MOST_BYTES)
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {reason_of(error, path.parent)}") from error
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ReportError(f"{path} is no table of comma-separated values: {error}") from error
    columns = [without_quote(name) for name in rows[0][1]] if rows else []
    if _SEED not in columns or len(set(columns)) < len(columns):
        raise ReportError(f"{path} is no table of runs: {_EXPECTED}")
    for line, row in rows[1:]:
        if len(row) != len(columns):
            raise ReportError(f"{path}, line {line}: {len(row)} cells below {len(columns)} columns")
    return [_run(path, line, columns, row) for line, row in rows[1:]]


def split_tables(paths: Sequence[Path | str]) -> tuple[list[Path], list[Path]]:
    """Return the CSV files among paths, and the others."""
    tables = [path for path in map(Path, paths) if path.suffix == ".csv" and path.is_file()]
    return tables, [path for path in map(Path, paths) if path not in tables]


def _run(path: Path, line: int, columns: Sequence[str], row: Sequence[str]) -> Run:
    place = columns.index(_SEED)
    cells = {name: without_quote(cell) for name, cell in zip(columns, row, strict=True) if cell}
    manifest: dict[str, object] = {"experiment_name": path.stem, "state": "finished"}
    manifest |= {name: cells[name] for name in _TEXTS if name in cells}
    if _SEED in cells:
        if not cells[_SEED].isdecimal() or len(cells[_SEED]) > _MOST_DIGITS:
            raise ReportError(f"{path}, line {line}: expected a seed, a whole number, not {cells[_SEED][:40]!r}")
        manifest[_SEED] = int(cells[_SEED])
    settings = [name for name in columns[:place] if name in cells and name not in _TEXTS]
    metrics = [name for name in columns[place + 1 :] if name in cells and name not in _TEXTS]
    return Run(
        folder=path / str(line),
        manifest=manifest,
        config={},
        overrides=tuple(f"{name}={cells[name]}" for name in settings),
        summary={name: _number(path, line, name, cells[name]) for name in metrics},
        errors=(),
        records=Records({}, 0, 0),
        media=(),
    )


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        message = f"{path}, line {line}: expected a number under {column}, not {text[:40]!r}; {_EXPECTED}"
        raise ReportError(message) from None


def _is_metric(name: str, value: object) -> bool:
    return name != _SEED and name not in _TEXTS and is_number(value)
