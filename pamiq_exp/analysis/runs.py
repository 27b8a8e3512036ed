"""The runs of a report: what was asked, what happened, how it ended."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from pamiq_exp.analysis.records import RECORDS_READ, Records, as_numbers, read_records
from pamiq_exp.run_folder import file_names
from pamiq_exp.run_folder.media import list_media
from pamiq_exp.run_folder.reader import (
    RunFiles,
    Scalar,
    find_places,
    flat_config,
    is_number,
    modified,
    natural,
    read_run_files,
    reason_of,
)

_MANY_BYTES = 30_000_000


class ReportError(Exception):
    """A report cannot be made as asked; the message says what to do."""


@dataclass(frozen=True)
class Run(RunFiles):
    """One run, read from its folder.

    Attributes:
        records: The records in `metrics.jsonl`.
        media: Its videos and pictures.
    """

    records: Records
    media: tuple[Path, ...]

    @cached_property
    def settings(self) -> Mapping[str, Scalar]:
        """The config by dotted keys, without descriptions of spaces: see `flat_config`."""
        return dict(flat_config(self.config, with_spaces=False))

    @property
    def reason(self) -> str:
        """Why the run ended, or how long ago it last wrote a record."""
        if self.state == "running":
            return f"{self._silence()}; if no process works on it any more it was killed: resume it"
        if self.state == "unknown":
            return "there is no manifest: it ended before it began"
        return super().reason

    def value(self, metric: str) -> float | None:
        """Return a final metric: of the summary, or, for a name with `/`, the last one recorded; None without one."""
        found = self.summary.get(metric)
        if is_number(found) or (isinstance(found, str) and found in ("NaN", "Infinity", "-Infinity")):
            return float(as_numbers([found])[0])
        series = self.records.series.get(metric)
        return None if series is None else series.last

    def _silence(self) -> str:
        if not (written := modified(self.folder / file_names.METRICS)):
            return "no record yet"
        seconds = max(0.0, time.time() - written)
        unit, size = next(
            (unit, size) for unit, size in (("h", 3600), ("min", 60), ("s", 1)) if seconds >= size or size == 1
        )
        return f"last record {seconds / size:.0f} {unit} ago"


def total(runs: Sequence[Run], metric: str) -> float:
    """Return the sum of a final metric over runs; what is no finite number counts as 0."""
    values = [run.value(metric) for run in runs]
    return sum(value for value in values if value is not None and math.isfinite(value))


def find_runs(paths: Sequence[Path | str]) -> list[Path]:
    """Return the run folders at or below the paths, each once, in natural order.

    Raises:
        ReportError: A path does not exist, or has no run in it.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ReportError(f"there is no {path}: give run folders, sweeps, or folders that hold some (outputs/...)")
        if not path.is_dir():
            raise ReportError(f"{path} is a file: give the run folder that it lies in")
        runs = [place.folder for place in find_places(path) if place.kind == "run"]
        if not runs:
            raise ReportError(f"no run in {path}: a run folder has a manifest.json; runs land in outputs/")
        found |= {run.resolve(): run for run in runs}
    return sorted(found.values(), key=lambda path: natural(str(path)))


def read_runs(
    folders: Sequence[Path], *, records: int | None = RECORDS_READ, processes: int | None = None
) -> list[Run]:
    """Read run folders, in several processes if there is much to read.

    Args:
        folders: Run folders, as `find_runs` returns them.
        records: How many records of each kind are read; None for all: see `read_records`.
        processes: How many processes read; None for one on each usable processor.
    """
    read = partial(read_run, records=records)
    wanted = processes or _usable_processors()
    if wanted == 1 or len(folders) < 2 or sum(map(_size, folders)) < _MANY_BYTES:
        return [read(folder) for folder in folders]
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else None)
    with ProcessPoolExecutor(min(wanted, len(folders)), mp_context=context) as pool:
        return list(pool.map(read, folders, chunksize=max(1, len(folders) // (8 * wanted))))


def read_run(folder: Path, records: int | None = RECORDS_READ) -> Run:
    """Read one run folder. What is missing or broken in it is listed in `errors` and does not raise."""
    files = read_run_files(folder)
    errors = [*files.errors]
    try:
        read = read_records(folder / file_names.METRICS, records)
    except OSError as error:
        errors.append(reason_of(error, folder))
        read = Records({}, 0, 0)
    if read.unreadable:
        errors.append(f"{file_names.METRICS}: {read.unreadable} lines are no records")
    media = sorted((file.path for file in list_media(folder)), key=lambda path: natural(path.name))
    return Run(**(vars(files) | {"errors": tuple(errors)}), records=read, media=tuple(media))


def varies(runs: Sequence[Run], metric: str) -> bool:
    """Whether a recorded metric was not the same all the time in all runs."""
    values = np.concatenate([run.records.series[metric].values for run in runs if metric in run.records.series])
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(np.ptp(finite) > 0)


def _usable_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _size(folder: Path) -> int:
    try:
        return (folder / file_names.METRICS).stat().st_size
    except OSError:
        return 0
