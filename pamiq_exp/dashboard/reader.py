"""Reads the folders of runs and sweeps for the page. The only module here that knows the names of their files.

Nothing in such a folder is trusted: everything is read through `pamiq_exp.files`, and what is damaged is reported as
such.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pamiq_exp.analysis.runs import natural
from pamiq_exp.dashboard.provenance import origin_of, provenance_of
from pamiq_exp.files import BrokenFileError, open_file, read_bytes, read_json, read_yaml
from pamiq_exp.run_folder import file_names, owner_of

Scalar: TypeAlias = str | float | int | bool | None
Kind = Literal["run", "sweep"]

PLAN, RECORDS, SOCKET = "sweep.json", file_names.METRICS, "console.sock"
MEDIA_TYPES: Mapping[str, str] = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".mp4": "video/mp4", ".webm": "video/webm",
}  # fmt: skip
"""What is shown of `media/`, by the ending of the name."""

MOST_FOLDERS, DEEPEST = 50_000, 16
MOST_TREE_BYTES, MOST_MEDIA_BYTES, MOST_LOG_BYTES = 4_000_000, 500_000_000, 200_000
MOST_SETTINGS, MOST_MEDIA_SHOWN = 20_000, 500
SILENT_SECONDS = 120.0
"""How old the newest record may be of a run whose process is not known, such as one on another machine."""

_MARKS = (file_names.MANIFEST, file_names.OVERRIDES)
_TAIL = 400_000
_WARNING = re.compile(r" (WARNING|ERROR|CRITICAL) ")


@dataclass(frozen=True)
class Place:
    """A run or a sweep below the folder that is shown.

    Attributes:
        key: Its path below that folder, `.` for the folder itself: what addresses name it by.
        folder: Where it lies.
        kind: What it is.
    """

    key: str
    folder: Path
    kind: Kind


def find_places(root: Path) -> list[Place]:
    """Return the runs and sweeps at or below a folder, in natural order. Links are not followed."""
    found: list[Place] = []
    pending = [(root, 0)]
    looked_at = 0
    while pending and looked_at < MOST_FOLDERS:
        folder, depth = pending.pop()
        looked_at += 1
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError:
            continue  # not readable for us: its runs are not ours to show
        names = {entry.name for entry in entries}
        key = folder.relative_to(root).as_posix()
        if PLAN in names:
            found.append(Place(key, folder, "sweep"))
        elif not names.isdisjoint(_MARKS):
            found.append(Place(key, folder, "run"))
            continue
        if depth < DEEPEST:
            below = (
                entry for entry in entries if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
            pending += [(Path(entry.path), depth + 1) for entry in below]
    return sorted(found, key=lambda place: natural(place.key))


@dataclass(frozen=True)
class RunLine:
    """One run in a list.

    Attributes:
        place: Where it is.
        name: Name of the experiment.
        seed: The root seed.
        state: As the manifest says: `running`, `finished`, `stopped`, `failed`; `unknown` without one, and in
            `RunList.lines` also `died` for a run without a process.
        reason: Why it ended.
        started: When, in ISO 8601.
        overrides: What was typed.
        steps: Environment steps.
        metrics: Final metrics by name.
        errors: What could not be read.
    """

    place: Place
    name: str
    seed: int | None
    state: str
    reason: str
    started: str
    overrides: tuple[str, ...]
    steps: float | None
    metrics: Mapping[str, float]
    errors: tuple[str, ...]


class RunList:
    """The runs and sweeps below a folder; what has not changed is not read anew."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[tuple[float, ...], RunLine]] = {}
        self._places: dict[str, Place] = {}

    def look(self) -> list[Place]:
        """Look at the folder again."""
        places = find_places(self.root)
        self._places = {place.key: place for place in places}
        return places

    def find(self, key: str) -> Place | None:
        """Return the run or sweep of a key: only what a look has found, never any other path."""
        if key not in self._places:
            self.look()
        return self._places.get(key)

    def lines(self) -> list[RunLine]:
        """Return one line a run."""
        found = [self.line(place) for place in self._places.values() if place.kind == "run"]
        return [replace(line, state=_state_now(line)) if line.state == "running" else line for line in found]

    def line(self, place: Place) -> RunLine:
        """Return the line of one run."""
        stamp = tuple(_modified(place.folder / name) for name in (file_names.MANIFEST, file_names.SUMMARY, RECORDS))
        known = self._known.get(place.key)
        if known is None or known[0] != stamp:
            known = self._known[place.key] = stamp, _read_line(place)
        return known[1]


def _state_now(line: RunLine) -> str:
    """Return how a run is whose manifest says `running`: a process that was killed leaves it so."""
    if owner_of(line.place.folder) is not None:
        return "running"
    written = last_write(line.place.folder)
    return "unknown" if written is None or time.time() - written < SILENT_SECONDS else "died"


def _read_line(place: Place) -> RunLine:
    errors: list[str] = []
    manifest = read_mapping(place.folder, file_names.MANIFEST, errors)
    summary = read_mapping(place.folder, file_names.SUMMARY, errors)
    overrides = read_tree(place.folder, file_names.OVERRIDES, errors)
    seed = manifest.get("seed")
    metrics = {str(name): value for name, value in summary.items() if _is_number(value)}
    steps = metrics.get("steps")
    if steps is None:
        steps = last_record(place.folder).get("environment_step")
    return RunLine(
        place=place,
        name=str(manifest.get("experiment_name") or place.folder.name),
        seed=seed if isinstance(seed, int) else None,
        state=str(manifest.get("state") or "unknown"),
        reason=str(manifest.get("reason") or ""),
        started=str(manifest.get("started") or ""),
        overrides=tuple(map(str, overrides)) if isinstance(overrides, list) else (),
        steps=steps if _is_number(steps) else None,
        metrics=metrics,
        errors=tuple(errors),
    )


def read_tree(folder: Path, name: str, errors: list[str]) -> object:
    """Return the tree in a JSON or YAML file of a run; None if it is missing or damaged, which is added to `errors`."""
    read = read_json if name.endswith(".json") else read_yaml
    try:
        return read(folder / name, most=MOST_TREE_BYTES)
    except FileNotFoundError:
        return None
    except BrokenFileError as error:
        errors.append(f"{name} is damaged: {reason_of(error, folder)}")
    except OSError as error:
        errors.append(reason_of(error, folder))
    return None


def reason_of(error: OSError, folder: Path) -> str:
    """Return why a file could not be read, without the path of its folder, which the page shows already."""
    return str(error if error.strerror is None else f"{Path(str(error.filename)).name}: {error.strerror}").replace(
        f"{folder}{os.sep}", ""
    )


def read_mapping(folder: Path, name: str, errors: list[str]) -> dict[str, Any]:
    """Return the mapping in a file; empty if there is none."""
    tree = read_tree(folder, name, errors)
    return tree if isinstance(tree, dict) else {}


@dataclass(frozen=True)
class Setting:
    """One value of a config and what set it.

    Attributes:
        key: Its address, such as `models.encoder.width`.
        value: The value as text.
        chosen_by: The file and line, or the words that were typed; empty if the run kept no word of it.
    """

    key: str
    value: str
    chosen_by: str


def read_settings(folder: Path, errors: list[str]) -> list[Setting]:
    """Return the config of a run as one flat list."""
    config = read_mapping(folder, file_names.CONFIG, errors)
    origins = provenance_of(read_mapping(folder, file_names.COMPOSITION, errors))
    if not origins:
        origins = provenance_of({"overrides": read_tree(folder, file_names.OVERRIDES, errors)})
    found: list[Setting] = []
    for key, value in _leaves(config):
        if len(found) == MOST_SETTINGS:
            errors.append(f"config.yaml: the first {MOST_SETTINGS:,} values are shown")
            break
        found.append(Setting(key, _shown(value), origin_of(key, origins)))
    return found


def read_log(folder: Path) -> tuple[list[str], list[str], str]:
    """Return the last lines of `log.txt`, the warnings and errors among them, and why it could not be read."""
    try:
        with open_file(folder / file_names.LOG, within=folder, most=2**62) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - MOST_LOG_BYTES))
            text = file.read(MOST_LOG_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return [], [], ""
    except OSError as error:
        return [], [], reason_of(error, folder)
    lines = text.splitlines()[1 if size > MOST_LOG_BYTES else 0 :]
    return lines, [line for line in lines if _WARNING.search(line)], ""


@dataclass(frozen=True)
class StoredFile:
    """A file of a run: its name, its size in bytes and when it was written (seconds since 1970)."""

    name: str
    size: int
    modified: float


def list_checkpoints(folder: Path) -> list[StoredFile]:
    """Return the checkpoints of a run, newest first, each with the size of all its files."""
    found: list[StoredFile] = []
    for entry in _entries(folder / file_names.CHECKPOINTS):
        if entry.is_dir(follow_symlinks=False) and entry.name.startswith(file_names.CHECKPOINT_PREFIX):
            files = [each.stat(follow_symlinks=False) for each in _entries(Path(entry.path))]
            size, written = sum(file.st_size for file in files), entry.stat(follow_symlinks=False).st_mtime
            found.append(StoredFile(entry.name, size, written))
    return sorted(found, key=lambda file: natural(file.name), reverse=True)


def list_media(folder: Path) -> list[StoredFile]:
    """Return the pictures and videos of a run, newest first."""
    found: list[StoredFile] = []
    for entry in _entries(folder / file_names.MEDIA):
        if Path(entry.name).suffix.lower() in MEDIA_TYPES and entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            found.append(StoredFile(entry.name, status.st_size, status.st_mtime))
    return sorted(found, key=lambda file: (file.modified, file.name), reverse=True)[:MOST_MEDIA_SHOWN]


def read_media(folder: Path, name: str) -> bytes | None:
    """Return a picture or video of a run; None for any other name, and for what is no regular file of `media/`."""
    if (
        Path(name).name != name
        or Path(name).suffix.lower() not in MEDIA_TYPES
        or (folder / file_names.MEDIA).is_symlink()
    ):
        return None
    try:
        return read_bytes(folder / file_names.MEDIA / name, within=folder / file_names.MEDIA, most=MOST_MEDIA_BYTES)
    except OSError:
        return None


def last_record(folder: Path) -> dict[str, Any]:
    """Return the last whole record of a run; empty if there is none."""
    try:
        with open_file(folder / RECORDS, within=folder, most=2**62) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read(_TAIL).splitlines(keepends=True)
    except OSError:
        return {}
    for line in reversed(lines):
        if line.endswith(b"\n"):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                return record
    return {}


def last_write(folder: Path) -> float | None:
    """Return when the newest record was written, in seconds since 1970."""
    return _modified(folder / RECORDS) or None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder; nothing if it is missing, unreadable or a link."""
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except OSError:
        return []


def _modified(path: Path) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _leaves(node: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    if isinstance(node, dict) and node and depth < 32:
        for name, value in node.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name), depth + 1)
    elif isinstance(node, list) and depth < 32 and any(isinstance(each, dict | list) for each in node):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{key}[{index}]", depth + 1)
    else:
        yield key, node


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        flat = len(value) <= 64 and isinstance(value, list) and not any(isinstance(each, dict | list) for each in value)
        return json.dumps(value, default=str)[:2000] if flat else f"{len(value)} values" if value else "{}"
    return str(value)[:2000]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
