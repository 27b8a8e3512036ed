"""What the page knows of the runs that are open, shared by all browsers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pamiq_exp.dashboard.curves import MetricsFile
from pamiq_exp.dashboard.live import LiveRun
from pamiq_exp.dashboard.reader import SILENT_SECONDS, RunList
from pamiq_exp.formatting import printable
from pamiq_exp.run_folder import file_names, owner_of
from pamiq_exp.run_folder.reader import Place, RunFiles, modified, positive, read_run_files

LOOK_SECONDS = 0.5
"""How often the files of a run are looked at, however many look."""

MOST_WATCHED = 200


@dataclass(frozen=True)
class Status:
    """How a run is.

    Attributes:
        state: `starting`, `running`, `paused`, `pausing`, `stopping`, `finished`, `stopped`, `failed`, `died` or
            `unknown`.
        reason: Why, where there is something to say.
        live: What the run itself says; None if it does not answer.
        steps: Environment steps.
        fraction: How much of it is over; None if it has no end of its own.
        seconds_left: Estimated; None if that is unknown.
    """

    state: str
    reason: str
    live: Mapping[str, Any] | None
    steps: float
    fraction: float | None
    seconds_left: float | None


class WatchedRun:
    """Files and live side of one run."""

    def __init__(self, place: Place, *, control: bool) -> None:
        self.place = place
        self.folder = place.folder
        self.metrics = MetricsFile(place.folder)
        self.live = LiveRun(place.folder, control=control)
        self.files = RunFiles(place.folder, {}, {}, (), {}, ())
        self.version = 0
        """Counts the looks that found new records."""
        self._looked = -1e9
        self._stamp: tuple[float, ...] = ()
        self._lock = threading.Lock()

    def look(self) -> int:
        """Look at the files if the last look is old; return `version`."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._read_trees()
                self.version += self.metrics.poll()
                self._looked = time.monotonic()
            return self.version

    def look_at_trees(self) -> None:
        """Read manifest, summary and config alone: enough for the frame of a page, before a long file of metrics."""
        with self._lock:
            self._read_trees()

    @property
    def title(self) -> str:
        """Experiment and seed."""
        name, seed = self.files.experiment_name, self.files.seed
        return printable(name if seed is None else f"{name}, seed {seed}")

    def damage(self) -> list[str]:
        """Return what of the run could not be read."""
        found = [*self.files.errors]
        if self.metrics.problem:
            found.append(self.metrics.problem)
        if self.metrics.unreadable:
            found.append(f"metrics.jsonl: {self.metrics.unreadable:,} lines are damaged and left out")
        if self.metrics.half_line and self.files.state != "running":
            found.append("metrics.jsonl ends in the middle of a line: the write was cut off")
        return found

    def status(self) -> Status:
        """Return how the run is; asks it if it should be alive."""
        state, reason = self.files.state, self.files.reason
        live = self.live.status() if state in ("running", "unknown") and self.live.has_socket else None
        if live is not None:
            state, reason = str(live.get("state", "running")), ""
        elif state == "running":
            state, reason = self._silent()
        elif state == "unknown":
            state, reason = self._unbegun()
        latest = self.metrics.latest()
        said = live or {}
        steps = positive(said.get("steps")) or positive(self.files.summary.get("steps"))
        steps = steps or latest.get("environment_step", 0.0)
        seconds = positive(said.get("wall_seconds")) or latest.get("wall_seconds", 0.0)
        limits = self.files.limits
        fraction = limits.fraction({"environment_step": steps, "wall_seconds": seconds})
        left = [(limits.steps - steps) / steps * seconds] if limits.steps and steps else []
        left += [limits.seconds - seconds] if limits.seconds else []
        return Status(
            state=state,
            reason=reason,
            live=live,
            steps=steps,
            fraction=1.0 if state == "finished" else fraction,
            seconds_left=max(0.0, min(left)) if left and live is not None else None,
        )

    def _silent(self) -> tuple[str, str]:
        """The state of a run whose manifest says `running` and that does not answer."""
        if (owner := owner_of(self.folder)) is not None:
            return "starting", f"{owner} works on it and does not answer yet"
        written = modified(self.folder / file_names.METRICS)
        resume = f"python -m pamiq_exp resume {self.folder}"
        if self.live.has_socket:
            return "died", f"{self.live.problem} ({resume})"
        if not written:
            return "starting", "no record yet"
        age = time.time() - written
        if age < SILENT_SECONDS:
            return "unknown", f"it does not answer; its last record is {age:.0f} s old"
        return "died", f"its process is gone, or works on another machine; if it is gone, go on with it: {resume}"

    def _unbegun(self) -> tuple[str, str]:
        """The state of a run that has written no manifest, or one without a state."""
        if modified(self.folder / file_names.MANIFEST):
            return "unknown", "its manifest.json does not say how it ended"
        if time.time() - modified(self.folder / file_names.CONFIG) < SILENT_SECONDS:
            return "starting", "its parts are being built"
        return "unknown", "it has no manifest: it ended before it began, or is no whole run folder"

    def _read_trees(self) -> None:
        names = (file_names.MANIFEST, file_names.SUMMARY, file_names.CONFIG)
        stamp = tuple(modified(self.folder / name) for name in names)
        if stamp != self._stamp:
            self.files, self._stamp = read_run_files(self.folder), stamp


class Watched:
    """The runs below a folder, and those of them that are looked at."""

    def __init__(self, root: Path, *, control: bool) -> None:
        self.title = str(root)
        self.runs = RunList(root.resolve())
        self.control = control
        self._open: OrderedDict[str, WatchedRun] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, key: str) -> WatchedRun | None:
        """Return the run of a key; None if there is none."""
        with self._lock:
            place = self.runs.find(key)
            if place is None or place.kind != "run":
                return None
            run = self._open.pop(key, None) or WatchedRun(place, control=self.control)
            self._open[key] = run
            if len(self._open) > MOST_WATCHED:
                self._open.popitem(last=False)
            return run
