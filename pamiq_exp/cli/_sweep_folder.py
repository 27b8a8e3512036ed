"""The folder of a sweep: what was planned, and how each of its jobs is doing. Read from files alone, on any machine."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pamiq_exp.tracking import write_atomically

PLAN, LOCK, PRUNE = "sweep.json", "job.lock", "prune.json"
"""What was planned; held as long as a process works on a job, and names the sweep's process that has begun it; written
by a search to end a job early."""

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
        metric: The final figure that runs are compared by; None for the first favourite that they have.
        minimise: Whether less of it is better.
        created: When the sweep began.
    """

    words: tuple[str, ...]
    command: tuple[str, ...]
    experiment_name: str
    jobs: tuple[tuple[str, ...], ...]
    expected: int
    at_once: int = 1
    metric: str | None = None
    minimise: bool = False
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def write(self, folder: Path) -> None:
        """Keep the plan in a sweep's folder."""
        write_atomically(folder / PLAN, json.dumps({"schema": 1, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Return the plan of the sweep in `folder`. Raises SweepError if there is none."""
        try:
            tree = json.loads((folder / PLAN).read_text())
            tree.pop("schema")
            jobs = tuple(tuple(job) for job in tree.pop("jobs"))
            return cls(words=tuple(tree.pop("words")), command=tuple(tree.pop("command")), jobs=jobs, **tree)
        except FileNotFoundError:
            raise SweepError(
                f"{folder} is no sweep: a sweep's folder holds {PLAN} (outputs/sweeps/NAME/DATE)"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SweepError(f"{folder / PLAN} cannot be read: {error}") from error


@dataclass(frozen=True)
class JobView:
    """One job of a sweep, as its folder tells it now.

    Attributes:
        number: Its number; its folder is named after it.
        overrides: In what it differs from the others.
        state: See `STATES`. A `lost` job was being worked on by a process that is gone without a word.
        reason: Why it ended as it did.
        fraction: How much of it is over, as far as that can be told.
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
        """Whether nobody will work on it unless the sweep is resumed."""
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
        begun = {int(name) for name in os.listdir(self.path) if name.isdecimal()}
        return [self._look(number) for number in sorted(begun | set(range(len(self.plan.jobs))))]

    def _look(self, number: int) -> JobView:
        folder = self.path / str(number)
        stamp = tuple(_modified(folder / name) for name in ("manifest.json", "summary.json", PRUNE))
        before = self._known.get(number)
        if before is not None and before[0] == stamp and before[1].state in ENDED_WELL:
            return before[1]
        view = self._read(number, folder)
        self._known[number] = stamp, view
        return view

    def _read(self, number: int, folder: Path) -> JobView:
        planned = self.plan.jobs[number] if number < len(self.plan.jobs) else read_overrides(folder)
        if not (folder / "manifest.json").exists():
            begun: JobState = "running" if is_locked(folder) else "pruned" if (folder / PRUNE).exists() else "waiting"
            return JobView(number, planned, begun)
        manifest, summary = read_json(folder / "manifest.json"), read_json(folder / "summary.json")
        state, reason = job_state(folder, manifest)
        fraction = 1.0 if state in ENDED_WELL else self._fraction(number, folder)
        return JobView(number, planned, state, reason, fraction, summary if state != "running" else {})

    def _fraction(self, number: int, folder: Path) -> float:
        if number not in self._limits:
            self._limits[number] = run_limits(folder)
        most_steps, most_seconds = self._limits[number]
        record = last_record(folder / "metrics.jsonl")
        shares = [0.0]
        if most_steps:
            shares.append(float(record.get("environment_step", 0)) / most_steps)
        if most_seconds:
            shares.append(float(record.get("wall_seconds", 0)) / most_seconds)
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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
        return path.read_text() == word
    return False


def _take(descriptor: int) -> bool:
    """Lock a file; whoever only looks whether it is locked holds it for a moment too, so try for a second."""
    for _ in range(20):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def is_locked(folder: Path) -> bool:
    """Whether some process works on the job in `folder`."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
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
    with suppress(OSError, ValueError):
        tree = json.loads(path.read_bytes())
        return tree if isinstance(tree, dict) else {}
    return {}


def last_record(path: Path, most: int = 16_384) -> dict[str, Any]:
    """Return the last whole record of a `metrics.jsonl`; nothing if there is none."""
    with suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        for line in reversed(file.read().splitlines(keepends=True)):
            with suppress(ValueError):
                record = json.loads(line) if line.endswith(b"\n") else None
                if isinstance(record, dict):
                    return record
    return {}


def read_overrides(folder: Path) -> tuple[str, ...]:
    """Return the overrides of the run in `folder`, as far as they were written."""
    import yaml

    with suppress(OSError, yaml.YAMLError):
        words = yaml.safe_load((folder / "overrides.yaml").read_text())
        return tuple(map(str, words)) if isinstance(words, Sequence) else ()
    return ()


def run_limits(folder: Path) -> tuple[float | None, float | None]:
    """Return after how many steps and seconds the run in `folder` ends."""
    import yaml

    with suppress(OSError, yaml.YAMLError, AttributeError):
        tree = yaml.load((folder / "config.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        launcher = tree.get("launcher") or {}
        return launcher.get("max_steps"), launcher.get("max_seconds")
    return None, None


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
