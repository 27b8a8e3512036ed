"""Run each job of a sweep in a process of its own: one that fails leaves the others alone, and its reason is kept.

The launchers of Hydra call `run_in_worker_process` in whichever process they have for it. That process needs little
memory and stays alive when the job is killed, so it can record how the job ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Literal

from pamiq_exp.current_folder import workers_forget_it
from pamiq_exp.files import make_own_folder, read_tail
from pamiq_exp.jobs.masking import close_to_others
from pamiq_exp.jobs.signals import STOPS, Handler, handling
from pamiq_exp.run_folder.file_names import JOB_LOCK, MANIFEST, OUTPUT, PRUNE
from pamiq_exp.run_folder.reader import read_mapping
from pamiq_exp.sweeps.folder import ENDED_WELL, locked, prune_reason
from pamiq_exp.sweeps.worker import JobSpec, work

SKIPPED = 0
_LOOK_SECONDS = 0.1
_SAVE_SECONDS = 120.0
"""How long a job that was asked to stop may take to save."""

_TAIL_BYTES = 16_384
_MEMORY_COUNTERS = ("/proc/vmstat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")

_PREEMPTS = (signal.SIGUSR1, signal.SIGUSR2)


def run_in_worker_process(job: JobSpec) -> int:
    """Run a job that is not over yet, and return its exit status.

    A job that has a checkpoint goes on from it. Nothing is done for one that has finished, was pruned, or is being
    run by another process, nor once the sweep is being stopped or is gone.

    Raises:
        SystemExit: This process was asked to stop; the job has saved.
    """
    _leave_if_abandoned()
    folder = Path(job.folder)
    if Path(job.stop).exists():
        return SKIPPED
    folder.parent.mkdir(parents=True, exist_ok=True)
    make_own_folder(folder)
    if not (folder / JOB_LOCK).exists():  # its first attempt: Hydra has made it, open to all
        close_to_others(folder)
    with locked(folder / JOB_LOCK) as lock:
        if lock is None:
            return SKIPPED
        before = read_mapping(folder, MANIFEST, [])
        if (folder / PRUNE).exists() or before.get("state") in ENDED_WELL:
            return SKIPPED
        os.ftruncate(lock, os.pwrite(lock, Path(job.stop).name.encode(), 0))
        killed = _kills_for_memory()
        signals = _Signals()
        with signals.caught():
            process = _start(job, lock)
            signals.watch(process, (folder / PRUNE, Path(job.stop)))
            status = process.exitcode or 0
        if status != 0 and (pruned := prune_reason(folder)) is not None:
            note_end(folder, "stopped", pruned)
        elif status != 0 and not _has_noted_its_end(folder, before):
            asked = -status in STOPS or status - 128 in STOPS  # while it was starting: later it would have said so
            note_end(folder, "stopped" if asked else "failed", _reason(folder, status, _kills_for_memory() > killed))
    signals.hand_on()
    _leave_if_abandoned()
    return status


class _Inherited:
    """A descriptor that the new process shares; the fork server hands it over."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[type, tuple[tuple[object, ...]]]:
        return tuple, ((DupFd(self._descriptor),),)


def _start(job: JobSpec, lock: int) -> BaseProcess:
    """Fork the job from a server that has imported everything: only the first job of a process waits for that."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pamiq_exp.sweeps.preload"])
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    process = context.Process(target=work, args=(job, environment, _Inherited(lock)), name=f"job {job.folder}")
    with _fork_server_settings():
        process.start()
    return process


@contextmanager
def _fork_server_settings() -> Iterator[None]:
    """What the fork server and its children take over from this process, as it has to be."""
    method = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("forkserver", force=True)  # joblib's workers have a method that only they know
    try:
        with workers_forget_it():
            yield
    finally:
        multiprocessing.set_start_method(method, force=True)


class _Signals:
    """Hands signals on to the job, and afterwards to the other handlers of this process."""

    def __init__(self) -> None:
        self._caught: list[int] = []
        self._before: Mapping[int, Handler] = {}

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Keep the signals that come meanwhile."""
        numbers = {*STOPS, *(_PREEMPTS if _is_submitted() else ())}
        with handling(numbers, lambda number, _: self._caught.append(number)) as self._before:
            yield

    def watch(self, process: BaseProcess, ends: Sequence[Path]) -> None:
        """Wait for the job to end, whatever happens meanwhile; it is to save and stop once a file of `ends` exists."""
        passed_on, deadline = 0, None
        while process.exitcode is None:
            for number in self._caught[passed_on:]:
                passed_on += 1
                again = passed_on > 1 and number == signal.SIGINT and not _is_submitted()  # submitit sends a second one
                if deadline is None or again:  # the second Ctrl-C stops at once
                    _send(process, number if number in STOPS else signal.SIGTERM)
                deadline = deadline or time.monotonic() + _SAVE_SECONDS
            if deadline is None and (any(path.exists() for path in ends) or _is_abandoned()):
                _send(process, signal.SIGTERM)
                deadline = time.monotonic() + _SAVE_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                process.kill()
            time.sleep(_LOOK_SECONDS)

    def hand_on(self) -> None:
        """Let this process take the signals that it was sent: the launcher's own handler, or the end."""
        for number in sorted(self._caught, key=lambda number: number not in _PREEMPTS):  # submitit's own come first
            handler = self._before.get(number)
            if callable(handler) and handler is not signal.default_int_handler:
                handler(number, None)
            else:
                raise SystemExit(128 + number)


def _is_submitted() -> bool:
    return "SUBMITIT_EXECUTOR" in os.environ


def _is_abandoned() -> bool:
    """Whether this is a worker of joblib's whose sweep is gone: no process would stop it."""
    parent = multiprocessing.parent_process()
    return parent is not None and parent.pid != os.getppid()


def _leave_if_abandoned() -> None:
    if _is_abandoned():
        os._exit(1)  # it would wait minutes for more to do


def _send(process: BaseProcess, number: int) -> None:
    with suppress(ProcessLookupError, TypeError):
        os.kill(process.pid, number)  # type: ignore[arg-type]


def note_end(folder: Path, state: Literal["stopped", "failed"], reason: str) -> None:
    """Write down how a job ended that could not do so itself."""
    from pamiq_exp.run_folder import RunFolder, RunFolderError

    with suppress(OSError, RunFolderError):
        run = RunFolder(folder)
        with run.owned():
            run.finish(state, reason)


def _has_noted_its_end(folder: Path, before: Mapping[str, object]) -> bool:
    """Whether the job itself has written how it ended."""
    ended = read_mapping(folder, MANIFEST, []).get("ended")
    return ended is not None and ended != before.get("ended")


def _reason(folder: Path, status: int, out_of_memory: bool) -> str:
    if status >= 0:
        with suppress(OSError):
            lines = read_tail(folder / OUTPUT, most=_TAIL_BYTES).decode(errors="replace").strip().splitlines()
            return f"ended with status {status}: {lines[-1] if lines else 'it printed nothing'}"
        return f"ended with status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"killed by {name}" + (": out of memory" if out_of_memory else "")


def _kills_for_memory() -> int:
    """Return how many processes of this machine or container were killed for want of memory so far."""
    counts = [0]
    for path in map(Path, _MEMORY_COUNTERS):
        with suppress(OSError, ValueError):
            lines = path.read_text("utf-8").splitlines()
            counts += [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return max(counts)
