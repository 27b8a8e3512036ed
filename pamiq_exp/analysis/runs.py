"""Reading run folders: what was asked, what happened, how it ended."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pamiq_exp.analysis.records import RECORDS_READ, Records, read_records
from pamiq_exp.files import BrokenFileError, open_file, read_json, read_yaml
from pamiq_exp.run_folder import file_names

Scalar: TypeAlias = str | float | int | bool | None

_MARKS = (file_names.MANIFEST, file_names.OVERRIDES)
_MANY_BYTES = 30_000_000
_KINDS: Mapping[str, type] = {
    "experiment_name": str, "state": str, "reason": str, "versions": dict, "machine": dict, "threads": dict,
    "environment": dict, "code": dict, "start_state": dict, "end_state": dict, "derived_seeds": dict,
    "command": list, "sessions": list, "overrides": list, "allowed": list,
}  # fmt: skip
"""Of what kind values of a manifest are, where they are there."""
_MOST_FOLDERS_DEEP = 32
_MOST_SETTINGS_BYTES = 20_000_000
"""Of a file that tells of a run; what a run keeps of a config may be far larger than the config."""
MOST_MEDIA_BYTES = 200_000_000
_BEGINS: Mapping[str, re.Pattern[bytes]] = {
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    ".jpg": re.compile(rb"\xff\xd8\xff"),
    ".jpeg": re.compile(rb"\xff\xd8\xff"),
    ".gif": re.compile(rb"GIF8[79]a"),
    ".webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    ".mp4": re.compile(b""),
    ".webm": re.compile(b""),
}
"""How files of media begin. A browser finds out by itself that something is no video."""


class ReportError(Exception):
    """A report cannot be made as asked; the message says what to do."""


@dataclass(frozen=True)
class Run:
    """One run, as its folder tells it.

    Attributes:
        folder: Its folder.
        manifest: `manifest.json`.
        settings: `config.yaml` flattened to dotted keys, without the descriptions of spaces, which follow from the
            environment.
        overrides: What the user typed.
        summary: `summary.json`; empty for a run that has none.
        records: What `metrics.jsonl` tells.
        media: Its videos and pictures.
        errors: What could not be read.
    """

    folder: Path
    manifest: Mapping[str, Any]
    settings: Mapping[str, Scalar]
    overrides: tuple[str, ...]
    summary: Mapping[str, Scalar]
    records: Records
    media: tuple[Path, ...]
    errors: tuple[str, ...]

    @property
    def experiment_name(self) -> str:
        """Name of the experiment; that of the folder above if the run never got so far."""
        return str(self.manifest.get("experiment_name") or self.settings.get("experiment_name") or self.folder.name)

    @property
    def seed(self) -> int | None:
        """The root seed."""
        value = self.manifest.get("seed", self.settings.get("seed"))
        return value if isinstance(value, int) else None

    @property
    def state(self) -> str:
        """`finished`, `stopped`, `failed`, `running`, or `unknown` if the run wrote no manifest."""
        return str(self.manifest.get("state") or "unknown")

    @property
    def reason(self) -> str:
        """Why the run ended, or how long ago it last wrote a record."""
        if self.state == "running":
            return f"{self._silence()}; if no process works on it any more it was killed: resume it"
        if self.state == "unknown":
            return "there is no manifest: it ended before it began"
        return str(self.manifest.get("reason") or "")

    def value(self, metric: str) -> float | None:
        """Return a final figure: of the summary, or, for a name with `/`, the last one recorded; None without one."""
        found = self.summary.get(metric)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return float(found)
        if isinstance(found, str) and found in ("NaN", "Infinity", "-Infinity"):
            return float(found)
        series = self.records.series.get(metric)
        return None if series is None else series.last

    def _silence(self) -> str:
        try:
            seconds = max(0.0, time.time() - (self.folder / file_names.METRICS).stat().st_mtime)
        except OSError:
            return "no record yet"
        unit, size = next(
            (unit, size) for unit, size in (("h", 3600), ("min", 60), ("s", 1)) if seconds >= size or size == 1
        )
        return f"last record {seconds / size:.0f} {unit} ago"


def find_runs(paths: Sequence[Path | str]) -> list[Path]:
    """Return the run folders at or below the paths, each once, in natural order.

    Raises:
        ReportError: A path does not exist, cannot be read, or has no run in it.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ReportError(f"there is no {path}: give run folders, sweeps, or folders that hold some (outputs/...)")
        if not path.is_dir():
            raise ReportError(f"{path} is a file: give the run folder that it lies in")
        runs = list(_runs_below(path))
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
    errors: list[str] = []
    manifest = _of_known_kinds(_mapping(_load(folder / file_names.MANIFEST, errors)), errors)
    config = _mapping(_load(folder / file_names.CONFIG, errors))
    overrides = _load(folder / file_names.OVERRIDES, errors)
    summary = _mapping(_load(folder / file_names.SUMMARY, errors))
    read = _records(folder, records, errors)
    if read.unreadable:
        errors.append(f"metrics.jsonl: {read.unreadable} lines are no records")
    return Run(
        folder=folder,
        manifest=manifest,
        settings=dict(_flatten(config)),
        overrides=tuple(map(str, overrides)) if isinstance(overrides, list) else (),
        summary={str(name): value for name, value in summary.items() if _is_scalar(value)},
        records=read,
        media=tuple(sorted(_media(folder), key=lambda path: natural(path.name))),
        errors=tuple(errors),
    )


def varies(runs: Sequence[Run], figure: str) -> bool:
    """Whether a recorded figure was not the same all the time in all runs."""
    values = np.concatenate([run.records.series[figure].values for run in runs if figure in run.records.series])
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(np.ptp(finite) > 0)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts 10 after 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def _runs_below(folder: Path, levels: int = _MOST_FOLDERS_DEEP) -> Iterator[Path]:
    if any(os.path.lexists(folder / mark) for mark in _MARKS):
        yield folder
        return
    if levels == 0:
        raise ReportError(f"{folder} lies too deep: give the folders that hold the runs")
    try:
        below = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        raise ReportError(f"{folder} cannot be read: {error.strerror or error}") from error
    for path in below:
        yield from _runs_below(Path(path), levels - 1)


def _usable_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _size(folder: Path) -> int:
    try:
        return (folder / file_names.METRICS).stat().st_size
    except OSError:
        return 0


def _records(folder: Path, most: int | None, errors: list[str]) -> Records:
    try:
        return read_records(folder / file_names.METRICS, most)
    except OSError as error:
        errors.append(_words(folder / file_names.METRICS, error))
        return Records({}, 0, 0)


def _load(path: Path, errors: list[str]) -> object:
    """Read a JSON or YAML file; None if it is missing or broken."""
    read = read_json if path.suffix == ".json" else read_yaml
    try:
        return read(path, most=_MOST_SETTINGS_BYTES)
    except FileNotFoundError:
        return None
    except BrokenFileError:
        errors.append(f"{path.name} is broken")
    except OSError as error:
        errors.append(_words(path, error))
    return None


def _words(path: Path, error: OSError) -> str:
    """What is wrong with a file, by its name alone: the page says where the run is."""
    return str(error).replace(str(path), path.name) if error.strerror is None else f"{path.name}: {error.strerror}"


def _of_known_kinds(manifest: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    """Return a manifest without the values that are not of the kind that a run writes."""
    code = manifest.get("code")
    untracked = code.get("untracked") if isinstance(code, dict) else None
    wrong = [name for name, kind in _KINDS.items() if not isinstance(manifest.get(name), kind | None)]
    wrong += ["code"] if not isinstance(untracked, list | None) else []
    errors += [f"manifest.json: {name} is not what a run writes" for name in dict.fromkeys(wrong)]
    return {name: value for name, value in manifest.items() if name not in wrong}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _flatten(node: object, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    if isinstance(node, dict):
        if {"shape", "dtype"} <= node.keys():
            return
        for key, value in node.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, list) and not all(map(_is_scalar, node)):
        for index, value in enumerate(node):
            yield from _flatten(value, f"{prefix}.{index}")
    else:
        yield prefix, str(node) if isinstance(node, list) or not _is_scalar(node) else node  # type: ignore[misc]


def _media(folder: Path) -> list[Path]:
    try:
        return [path for path in (folder / file_names.MEDIA).iterdir() if _is_picture(path, folder)]
    except OSError:
        return []


def _is_picture(path: Path, folder: Path) -> bool:
    """Whether a file of a run folder is what its name says: a picture or video, and no link to something else."""
    begins = _BEGINS.get(path.suffix.lower())
    if begins is None:
        return False
    try:
        with open_file(path, within=folder, most=MOST_MEDIA_BYTES) as file:
            return begins.match(file.read(16)) is not None
    except OSError:
        return False
