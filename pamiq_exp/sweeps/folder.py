"""The folder of a sweep: what was planned, and how each of its jobs is doing. Read from files alone, on any machine."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pamiq_exp import files
from pamiq_exp.files import write_atomically
from pamiq_exp.run_folder import file_names

PLAN, LOCK, PRUNE = "sweep.json", "job.lock", "prune.json"
"""What was planned; held as long as a process works on a job, and names the sweep's process that has begun it; written
by a search to end a job early."""

_MOST_JOBS = 1_000_000
_MOST_PLAN_BYTES = 50_000_000
_NUMBER = re.compile(r"[0-9]{1,9}")

JobState = Literal["waiting", "running", "finished", "pruned", "stopped", "failed", "lost"]
STATES: tuple[JobState, ...] = ("waiting", "running", "finished", "pruned", "stopped", "failed", "lost")
ENDED_WELL = ("finished", "pruned")


class SweepError(Exception):
    """A sweep cannot be read or begun; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do, as `sweep.json` keeps it.

    Attributes:
        words: The command line without `--resume`: the same words are the same sweep.
        command: The whole command line.
        experiment_name: Names the sweep.
        jobs: The overrides of each job; empty for a search, which decides as it goes.
        expected: How many jobs there will be.
        at_once: How many run at the same time, as far as that is known.
        metric: The final figure that runs are compared by; None for the first favorite that they have.
        minimize: Whether less of it is better.
        created: When the sweep began.
    """

    words: tuple[str, ...]
    command: tuple[str, ...]
    experiment_name: str
    jobs: tuple[tuple[str, ...], ...]
    expected: int
    at_once: int = 1
    metric: str | None = None
    minimize: bool = False
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def write(self, folder: Path) -> bool:
        """Keep the plan in a sweep's folder; return False, and leave it, if the folder has one already."""
        ours = folder / f".{PLAN}.{os.getpid()}"
        write_atomically(ours, json.dumps({"schema": 1, **asdict(self)}, indent=2) + "\n")
        try:
            os.link(ours, folder / PLAN)  # unlike a rename it never replaces
            ours.unlink()
        except FileExistsError:
            ours.unlink()
            return False
        except OSError:  # a disk without hard links
            os.replace(ours, folder / PLAN)
        return True

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Return the plan of the sweep in `folder`. Raises SweepError if there is none."""
        try:
            return _plan(files.read_json(folder / PLAN, most=_MOST_PLAN_BYTES))
        except FileNotFoundError:
            raise SweepError(
                f"{folder} is no sweep: a sweep's folder holds {PLAN} (outputs/sweeps/NAME/DATE)"
            ) from None
        except (OSError, ValueError) as error:
            raise SweepError(f"{folder / PLAN} cannot be read: {error}") from error


def _plan(tree: object) -> Plan:
    """Return the plan that a tree describes. Raises ValueError for what no sweep has written."""
    if not isinstance(tree, dict):
        raise ValueError("expected keys and values")
    given = {name: value for name, value in tree.items() if name != "schema"}
    wrong = [name for name, value in given.items() if name not in _PLAN_VALUES or not _PLAN_VALUES[name](value)]
    missing = {"words", "command", "experiment_name", "jobs", "expected"} - given.keys()
    if wrong or missing:
        raise ValueError(f"its {', '.join([*sorted(missing), *wrong][:5])} are not what a sweep writes")
    jobs = tuple(map(tuple, given.pop("jobs")))
    return Plan(words=tuple(given.pop("words")), command=tuple(given.pop("command")), jobs=jobs, **given)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_JOBS


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_PLAN_VALUES: Mapping[str, Callable[[object], bool]] = {
    "words": _are_texts, "command": _are_texts, "experiment_name": _is_text, "expected": _is_count,
    "jobs": lambda value: isinstance(value, list) and all(map(_are_texts, value)),
    "at_once": _is_count, "metric": lambda value: value is None or _is_text(value),
    "minimize": lambda value: isinstance(value, bool), "created": _is_text,
}  # fmt: skip


@dataclass(frozen=True)
class JobView:
    """One job of a sweep, read from its folder.

    Attributes:
        number: Its number; its folder is named after it.
        overrides: In what it differs from the others.
        state: See `STATES`. A `lost` job was being worked on by a process that is gone without a word.
        reason: Why it ended as it did.
        fraction: How much of it is over, if known.
        summary: Its final figures.
    """

    number: int
    overrides: tuple[str, ...] = ()
    state: JobState = "waiting"
    reason: str = ""
    fraction: float = 0.0
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether no process will work on it unless the sweep is resumed."""
        return self.state not in ("waiting", "running")


class SweepFolder:
    """Looks at the jobs of a sweep again and again; what has not changed is not read anew.

    Raises:
        SweepError: The folder holds no sweep.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = Plan.read(path)
        self._known: dict[int, tuple[tuple[float, ...], JobView]] = {}
        self._limits: dict[int, tuple[float | None, float | None]] = {}

    def jobs(self) -> list[JobView]:
        """Return all jobs, by number: those planned, and those that a search has begun."""
        begun = {int(name) for name in os.listdir(self.path) if _NUMBER.fullmatch(name)}
        return [self._look(number) for number in sorted(begun | set(range(len(self.plan.jobs))))]

    def _look(self, number: int) -> JobView:
        folder = self.path / str(number)
        stamp = tuple(_modified(folder / name) for name in (file_names.MANIFEST, file_names.SUMMARY, PRUNE))
        before = self._known.get(number)
        if before is not None and before[0] == stamp and before[1].state in ENDED_WELL:
            return before[1]
        view = self._read(number, folder)
        self._known[number] = stamp, view
        return view

    def _read(self, number: int, folder: Path) -> JobView:
        planned = self.plan.jobs[number] if number < len(self.plan.jobs) else read_overrides(folder)
        if not (folder / file_names.MANIFEST).exists():
            begun: JobState = "running" if is_locked(folder) else "pruned" if (folder / PRUNE).exists() else "waiting"
            return JobView(number, planned, begun)
        manifest, summary = read_json(folder / file_names.MANIFEST), read_json(folder / file_names.SUMMARY)
        state, reason = job_state(folder, manifest)
        fraction = 1.0 if state in ENDED_WELL else self._fraction(number, folder)
        return JobView(number, planned, state, reason, fraction, summary if state != "running" else {})

    def _fraction(self, number: int, folder: Path) -> float:
        if number not in self._limits:
            self._limits[number] = run_limits(folder)
        most_steps, most_seconds = self._limits[number]
        record = last_record(folder / file_names.METRICS)
        shares = [0.0]
        if most_steps:
            shares.append(_positive(record.get("environment_step")) / most_steps)
        if most_seconds:
            shares.append(_positive(record.get("wall_seconds")) / most_seconds)
        return min(1.0, max(shares))


def job_state(folder: Path, manifest: Mapping[str, Any]) -> tuple[JobState, str]:
    """Return how the job in `folder` is doing, and why."""
    if is_locked(folder):
        return "running", ""
    state, reason = manifest.get("state"), str(manifest.get("reason") or "")
    if (folder / PRUNE).exists() and state not in ("finished", "failed"):
        return "pruned", str(read_json(folder / PRUNE).get("reason", ""))
    if state in ("finished", "stopped", "failed"):
        return state, reason
    if state is None:
        return "waiting", ""
    return "lost", "its process is gone without a word: killed, out of memory, or its machine went down"


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """Hold the lock file at `path`; yields its descriptor, or None if another process holds it.

    It is held until this process and every one that inherited the descriptor have closed it, however they end.
    """
    descriptor = files.open_own(path, os.O_RDWR)
    try:
        yield descriptor if _take(descriptor) else None
    finally:
        os.close(descriptor)


def jobs_at_work(sweep: Path, begun_by: str | None = None) -> list[Path]:
    """Return the folders of the jobs that some process works on, all of them or those that one process has begun."""
    folders = [path.parent for path in sweep.glob(f"*/{LOCK}") if begun_by is None or _says(path, begun_by)]
    return [folder for folder in folders if is_locked(folder)]


def _says(path: Path, word: str) -> bool:
    with suppress(OSError):
        return files.read_text(path, most=1000) == word
    return False


def _take(descriptor: int) -> bool:
    """Lock a file; a process that only tests the lock holds it for a moment too, so try for a second."""
    for _ in range(20):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def is_locked(folder: Path) -> bool:
    """Whether some process works on the job in `folder`."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing if it is missing or broken."""
    with suppress(OSError):
        tree = files.read_json(path)
        return tree if isinstance(tree, dict) else {}
    return {}


def last_record(path: Path, most: int = 16_384) -> dict[str, Any]:
    """Return the last whole record of a `metrics.jsonl`; nothing if there is none."""
    with suppress(OSError), files.open_file(path, most=1 << 40) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        for line in reversed(file.read(most).splitlines(keepends=True)):
            with suppress(ValueError):
                record = files.parse_json(line) if line.endswith(b"\n") else None
                if isinstance(record, dict):
                    return record
    return {}


def read_overrides(folder: Path) -> tuple[str, ...]:
    """Return the overrides of the run in `folder`, as far as they were written."""
    with suppress(OSError):
        words = files.read_yaml(folder / file_names.OVERRIDES)
        return tuple(map(str, words)) if isinstance(words, list) else ()
    return ()


def run_limits(folder: Path) -> tuple[float | None, float | None]:
    """Return after how many steps and seconds the run in `folder` ends."""
    with suppress(OSError):
        tree = files.read_yaml(folder / file_names.CONFIG, most=_MOST_PLAN_BYTES)
        launcher = tree.get("launcher") if isinstance(tree, dict) else None
        if isinstance(launcher, dict):
            return _positive(launcher.get("max_steps")) or None, _positive(launcher.get("max_seconds")) or None
    return None, None


def _positive(value: object) -> float:
    """Return a finite number above 0; 0 for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return float(value) if usable else 0.0  # type: ignore[arg-type]


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def process_name() -> str:
    """Return a name for this process that is unique over machines."""
    return f"{socket.gethostname()}.{os.getpid()}"
