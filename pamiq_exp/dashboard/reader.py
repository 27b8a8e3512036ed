"""What the page reads of runs besides `run_folder.reader`: the list of runs, settings, checkpoints, the log."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pamiq_exp.dashboard.provenance import origin_of, provenance_of
from pamiq_exp.files import read_tail
from pamiq_exp.run_folder import file_names, owner_of
from pamiq_exp.run_folder.media import StoredFile, entries_of
from pamiq_exp.run_folder.reader import (
    Place,
    RunFiles,
    find_places,
    flat_config,
    is_number,
    last_record,
    modified,
    natural,
    positive,
    read_mapping,
    read_run_files,
    read_tree,
    reason_of,
)

MOST_SETTINGS, MOST_LOG_BYTES = 20_000, 200_000
SILENT_SECONDS = 120.0
"""How old the newest record may be of a run whose process is not known, such as one on another machine."""

_LONGEST_VALUE = 2000
_WARNING = re.compile(r" (WARNING|ERROR|CRITICAL) ")


@dataclass(frozen=True)
class RunLine:
    """One run in a list.

    Attributes:
        place: Where it is.
        files: What its files say.
        state: As the manifest says; `died` for a run whose process is gone, `unknown` where that cannot be determined.
        steps: Environment steps, if known.
    """

    place: Place
    files: RunFiles
    state: str
    steps: float | None

    @property
    def metrics(self) -> Mapping[str, float]:
        """Final metrics by name."""
        return {name: value for name, value in self.files.summary.items() if is_number(value)}


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
        found = [self._line(place) for place in self._places.values() if place.kind == "run"]
        return [replace(line, state=_state_now(line)) if line.state == "running" else line for line in found]

    def _line(self, place: Place) -> RunLine:
        names = (file_names.MANIFEST, file_names.SUMMARY, file_names.METRICS)
        stamp = tuple(modified(place.folder / name) for name in names)
        known = self._known.get(place.key)
        if known is None or known[0] != stamp:
            files = read_run_files(place.folder, with_config=False)
            final = files.summary.get("steps")
            steps = positive(last_record(place.folder).get("environment_step") if final is None else final)
            known = self._known[place.key] = stamp, RunLine(place, files, files.state, steps)
        return known[1]


def _state_now(line: RunLine) -> str:
    """Return how a run is whose manifest says `running`: a process that was killed leaves it so."""
    if owner_of(line.place.folder) is not None:
        return "running"
    written = modified(line.place.folder / file_names.METRICS)
    return "unknown" if not written or time.time() - written < SILENT_SECONDS else "died"


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
    for key, value in flat_config(config):
        if len(found) == MOST_SETTINGS:
            errors.append(f"config.yaml: the first {MOST_SETTINGS:,} values are shown")
            break
        found.append(Setting(key, _shown(value), origin_of(key, origins)))
    return found


def read_log(folder: Path) -> tuple[list[str], list[str], str]:
    """Return the last lines of `log.txt`, the warnings and errors among them, and why it could not be read."""
    try:
        text = read_tail(folder / file_names.LOG, within=folder, most=MOST_LOG_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return [], [], ""
    except OSError as error:
        return [], [], reason_of(error, folder)
    lines = text.splitlines()[1 if len(text) >= MOST_LOG_BYTES else 0 :]  # the first one may be half a line
    return lines, [line for line in lines if _WARNING.search(line)], ""


def list_checkpoints(folder: Path) -> list[StoredFile]:
    """Return the checkpoints of a run, newest first, each with the size of all its files."""
    found: list[StoredFile] = []
    for entry in entries_of(folder / file_names.CHECKPOINTS):
        if entry.is_dir(follow_symlinks=False) and entry.name.startswith(file_names.CHECKPOINT_PREFIX):
            path = Path(entry.path)
            size = sum(each.stat(follow_symlinks=False).st_size for each in entries_of(path))
            found.append(StoredFile(path, size, modified(path)))
    return sorted(found, key=lambda file: natural(file.name), reverse=True)


def _shown(value: object) -> str:
    words = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return words[:_LONGEST_VALUE]
