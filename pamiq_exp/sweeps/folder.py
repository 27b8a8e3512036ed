"""The folder of a sweep: what was planned, and how each of its jobs is doing. Read from files alone, on any machine."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

from pamiq_exp.files import open_own, read_json, read_text, write_atomically
from pamiq_exp.run_folder.file_names import JOB_LOCK, MANIFEST, PRUNE, SUMMARY, SWEEP
from pamiq_exp.run_folder.reader import Limits, Scalar, last_record, modified, read_mapping, read_run_files

_MOST_JOBS = 1_000_000
_MOST_PLAN_BYTES = 50_000_000
_NUMBER = re.compile(r"[0-9]{1,9}")

JobState = Literal["waiting", "running", "finished", "pruned", "stopped", "failed", "lost"]
STATES: tuple[JobState, ...] = ("waiting", "running", "finished", "pruned", "stopped", "failed", "lost")
ENDED_WELL: tuple[JobState, ...] = ("finished", "pruned")


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
        metric: The final metric that runs are compared by; None for the first favorite that they have.
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
        ours = folder / f".{SWEEP}.{os.getpid()}"
        write_atomically(ours, json.dumps({"schema": 1, **asdict(self)}, indent=2) + "\n")
        try:
            os.link(ours, folder / SWEEP)  # unlike a rename it never replaces
            ours.unlink()
        except FileExistsError:
            ours.unlink()
            return False
        except OSError:  # a disk without hard links
            os.replace(ours, folder / SWEEP)
        return True

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Return the plan of the sweep in `folder`. Raises SweepError if there is none."""
        try:
            return _plan(read_json(folder / SWEEP, most=_MOST_PLAN_BYTES))
        except FileNotFoundError:
            raise SweepError(
                f"{folder} is no sweep: a sweep's folder holds {SWEEP} (outputs/sweeps/NAME/DATE)"
            ) from None
        except (OSError, ValueError) as error:
            raise SweepError(f"{folder / SWEEP} cannot be read: {error}") from error


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
        summary: Its final metrics.
    """

    number: int
    overrides: tuple[str, ...] = ()
    state: JobState = "waiting"
    reason: str = ""
    fraction: float = 0.0
    summary: Mapping[str, Scalar] = field(default_factory=dict)

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
        self._limits: dict[int, Limits] = {}

    def jobs(self) -> list[JobView]:
        """Return all jobs, by number: those planned, and those that a search has begun."""
        begun = {int(name) for name in os.listdir(self.path) if _NUMBER.fullmatch(name)}
        return [self._look(number) for number in sorted(begun | set(range(len(self.plan.jobs))))]

    def _look(self, number: int) -> JobView:
        folder = self.path / str(number)
        stamp = tuple(modified(folder / name) for name in (MANIFEST, SUMMARY, PRUNE))
        before = self._known.get(number)
        if before is not None and before[0] == stamp and before[1].state in ENDED_WELL:
            return before[1]
        view = self._read(number, folder)
        self._known[number] = stamp, view
        return view

    def _read(self, number: int, folder: Path) -> JobView:
        run = read_run_files(folder, with_config=False)
        overrides = self.plan.jobs[number] if number < len(self.plan.jobs) else run.overrides
        state, reason = job_state(folder, run.manifest)
        if not run.manifest:
            return JobView(number, overrides, state, reason)
        fraction = 1.0 if state in ENDED_WELL else self._fraction(number, folder)
        return JobView(number, overrides, state, reason, fraction, run.summary if state != "running" else {})

    def _fraction(self, number: int, folder: Path) -> float:
        if number not in self._limits:
            self._limits[number] = read_run_files(folder).limits
        return self._limits[number].fraction(last_record(folder)) or 0.0


def job_state(folder: Path, manifest: Mapping[str, object] | None = None) -> tuple[JobState, str]:
    """Return how the job in `folder` is doing, and why; `manifest` is that of its run, where it was read already."""
    if is_locked(folder):
        return "running", ""
    if manifest is None:
        manifest = read_mapping(folder, MANIFEST, [])
    state, reason = manifest.get("state"), str(manifest.get("reason") or "")
    if state not in ("finished", "failed") and (pruned := prune_reason(folder)) is not None:
        return "pruned", pruned
    if state in ("finished", "stopped", "failed"):
        return cast(JobState, state), reason
    if state is None:
        return "waiting", ""
    return "lost", "its process is gone without a word: killed, out of memory, or its machine went down"


def prune_reason(folder: Path) -> str | None:
    """Return why a search has ended the job in `folder`; None if it has not."""
    return str(read_mapping(folder, PRUNE, []).get("reason", "")) if (folder / PRUNE).exists() else None


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[int | None]:
    """Hold the lock file at `path`; yields its descriptor, or None if another process holds it and we do not wait.

    It is held until this process and every one that inherited the descriptor have closed it, however they end.
    """
    descriptor = open_own(path, os.O_RDWR)
    try:
        if wait:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor if wait or _take(descriptor) else None
    finally:
        os.close(descriptor)


def jobs_at_work(sweep: Path, begun_by: str | None = None) -> list[Path]:
    """Return the folders of the jobs that some process works on, all of them or those that one process has begun."""
    folders = [path.parent for path in sweep.glob(f"*/{JOB_LOCK}") if begun_by is None or _says(path, begun_by)]
    return [folder for folder in folders if is_locked(folder)]


def _says(path: Path, word: str) -> bool:
    with suppress(OSError):
        return read_text(path, most=1000) == word
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
        descriptor = os.open(folder / JOB_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
