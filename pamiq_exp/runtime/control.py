"""How the threads of a run are stopped, paused and asked for things, from any thread."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from pamiq_exp.shared_memory import semaphore, words

_NOTICE_SECONDS = 1.0
"""How often a parked thread looks for the end by itself: a signal handler may take no lock, and so cannot notify it."""

ResultT = TypeVar("ResultT")

StopState = Literal["finished", "stopped", "failed"]


class TurnGivenUp(Exception):  # noqa: N818 - no error of the run
    """A turn failed after a signal had ended the run, which had reached programs of the environment as well."""


class ThreadFailure:
    """What ended a run early: the exception and the thread that raised it."""

    def __init__(self, thread: str, error: BaseException) -> None:
        self.thread = thread
        self.error = error


class DataSignal:
    """Lets training sleep until the agent has collected something. The agent never waits.

    Args:
        shared: Whether training goes to a process of its own, forked later.
    """

    def __init__(self, shared: bool = False) -> None:
        self._awaited = words(1, shared)
        self._semaphore = semaphore(shared)

    def announce(self) -> None:
        """Wake training if it waits: called by the agent after each turn."""
        if self._awaited[0]:
            self.wake()

    def wake(self) -> None:
        """End the wait that is under way, or the next one: for a task, a pause, the end."""
        self._awaited[0] = 0
        self._semaphore.release()

    def prepare(self) -> None:
        """Forget what came so far. Between this and `wait`, look whether there is something else to do."""
        while self._semaphore.acquire(False):
            pass
        self._awaited[0] = 1

    def wait(self) -> None:
        """Wait for `wake`, or for `announce` after `prepare`; at most a second, as one may have been missed."""
        self._semaphore.acquire(timeout=_NOTICE_SECONDS)


class Worker:
    """One thread's place in the run: where it parks during a pause and takes tasks.

    The thread calls `safe_point` wherever its state is whole: between turns, between batches.

    Attributes:
        parks: Whether a pause waits for it; one that works for another worker is only watched.
        thread: Identity of the thread, once it has begun.
        forced_to_end: Whether the watchdog interrupted it because it did not end.
    """

    def __init__(
        self,
        name: str,
        control: RunControl,
        on_pause: Callable[[], None] | None = None,
        on_resume: Callable[[], None] | None = None,
        parks: bool = True,
    ) -> None:
        self.name = name
        self.parks = parks
        self.thread: int | None = None
        self.forced_to_end = False
        self.last_heartbeat = time.monotonic()
        self.on_pause = on_pause
        self.on_resume = on_resume
        self._control = control
        self._tasks: deque[Callable[[], None]] = deque()
        self.parked = False
        self.waiting = False
        """Idle by intention (no data, next turn not due): the watchdog ignores it."""

    def begin(self) -> None:
        """Called by the thread itself before its first safe point."""
        self.heartbeat()
        self.thread = threading.get_ident()

    @property
    def is_current(self) -> bool:
        """Whether the caller is this worker's own thread."""
        return self.thread == threading.get_ident()

    def safe_point(self) -> bool:
        """Do tasks, stay here while the run is paused; return whether to go on."""
        self.heartbeat()
        if self._tasks or self._control.pause_requested:
            self._control.park(self)
        return not self._control.stopping

    def heartbeat(self) -> None:
        """Report that the thread works, where its state is not whole."""
        self.last_heartbeat = time.monotonic()

    def interrupted(self) -> bool:
        """Whether a safe point would do more than return: a task, a pause, the end."""
        return bool(self._tasks) or self._control.pause_requested or self._control.stopping

    def run_tasks(self) -> None:
        """Do what other threads asked for. Only the worker's own thread calls this."""
        while self._tasks:
            self._tasks.popleft()()

    @property
    def has_tasks(self) -> bool:
        """Whether something was asked for."""
        return bool(self._tasks)

    def ask(self, task: Callable[[], None]) -> None:
        """Let the worker's thread run `task` at its next safe point, also while it is parked."""
        self._tasks.append(task)
        self._control.notify()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Mark a stretch in which the worker waits by intention."""
        self.waiting = True
        try:
            yield
        finally:
            self.heartbeat()
            self.waiting = False


class RunControl:
    """The state that all threads of a run share: running, paused, stopping.

    Every change happens under one condition, so `paused` is never true while a turn or a batch is under
    way, however quickly pause and resume follow each other. Workers read the flags without the lock.

    Args:
        shared: Whether training goes to a process of its own, forked later.
    """

    def __init__(self, shared: bool = False) -> None:
        self._condition = threading.Condition()
        self._workers: list[Worker] = []
        self.stopping = False
        self.pause_requested = False
        self.stop_state: StopState = "finished"
        self.stop_reason = ""
        self.failure: ThreadFailure | None = None
        self.turn_given_up = False
        """The last turn failed because of the signal that ended the run: the environment cannot be used any more."""
        self.data_signal = DataSignal(shared)
        """Wakes training when it may have something to do: new data, a task, the end."""

    def add_worker(
        self,
        name: str,
        on_pause: Callable[[], None] | None = None,
        on_resume: Callable[[], None] | None = None,
        parks: bool = True,
    ) -> Worker:
        """Register a thread that is watched and, if it `parks`, stands still during pauses.

        `on_pause` and `on_resume` are called on that thread when it parks and when it goes on.
        """
        worker = Worker(name, self, on_pause, on_resume, parks)
        with self._condition:
            self._workers.append(worker)
        return worker

    def remove_worker(self, worker: Worker) -> None:
        """Forget a thread that has ended: no pause waits for it any more."""
        with self._condition:
            if worker in self._workers:
                self._workers.remove(worker)
            self._condition.notify_all()

    @property
    def workers(self) -> list[Worker]:
        """The threads that are alive."""
        return list(self._workers)

    def stop(self, state: StopState, reason: str) -> None:
        """End the run; the first call decides the state of the run. Failures overrule everything."""
        with self._condition:
            if not self.stopping or state == "failed":
                self.stop_state = state
                self.stop_reason = reason
            self.stopping = True
            self._condition.notify_all()
        self.data_signal.wake()

    def fail(self, thread: str, error: BaseException) -> None:
        """End the run because of an exception. The first failure is the one that is reported."""
        with self._condition:
            if self.failure is None:
                self.failure = ThreadFailure(thread, error)
        self.stop("failed", f"{type(error).__name__} in the {thread} thread: {error}")

    def stop_from_signal(self, name: str) -> None:
        """End the run from a signal handler.

        The handler interrupts whatever the main thread does, which may be holding the lock, so nothing
        here may take it: the flag is noticed at the next safe point, and by `wait` within a second.
        """
        if not self.stopping:
            self.stop_state = "stopped"
            self.stop_reason = name
            self.stopping = True

    @property
    def stopped_by_signal(self) -> bool:
        """Whether a signal ended the run."""
        return self.stop_state == "stopped" and self.stop_reason in signal.Signals.__members__

    @property
    def exit_code(self) -> int:
        """What the process should end with, by the conventions of a shell."""
        if self.failure is not None:
            return 1
        return 128 + signal.Signals[self.stop_reason] if self.stopped_by_signal else 0

    @property
    def paused(self) -> bool:
        """Whether the run is paused: asked for, and every worker parked."""
        with self._condition:
            return self._all_parked()

    def pause(self, timeout: float | None = None) -> bool:
        """Ask all workers to park and wait until they have; return whether they did in time."""
        with self._condition:
            self.pause_requested = True
            self._condition.notify_all()
        self.data_signal.wake()
        with self._condition:
            return self._condition.wait_for(lambda: self._all_parked() or self.stopping, timeout) and self._all_parked()

    def resume(self) -> None:
        """Let the workers go on."""
        with self._condition:
            self.pause_requested = False
            self._condition.notify_all()

    def run_at_safe_point(self, worker: Worker | None, action: Callable[[], ResultT]) -> ResultT | None:
        """Let a worker's thread do something at its next safe point, and wait for the result.

        Without a worker, or on its own thread, it is done at once. None if the worker ended before it could.
        """
        if worker is None or worker.is_current:
            return action()
        results: list[ResultT] = []
        done = threading.Event()

        def task() -> None:
            try:
                results.append(action())
            finally:
                done.set()

        worker.ask(task)
        while not done.wait(0.1):
            if worker not in self.workers:
                break
        return results[0] if results else None

    def notify(self) -> None:
        """Wake all threads that wait: something has changed."""
        with self._condition:
            self._condition.notify_all()
        self.data_signal.wake()

    def wait(self, timeout: float) -> None:
        """Wait until something changes or `timeout` seconds have passed."""
        with self._condition:
            if not self.stopping:
                self._condition.wait(timeout)

    def park(self, worker: Worker) -> None:
        """Called by a worker at a safe point: do its tasks and stay while the run is paused."""
        worker.run_tasks()
        if not self.pause_requested:
            return
        if worker.on_pause is not None:
            worker.on_pause()
        while self._parked_until_interrupted(worker):
            worker.run_tasks()
        if worker.on_resume is not None:
            worker.on_resume()

    def _parked_until_interrupted(self, worker: Worker) -> bool:
        """Wait parked; return True for a task (still paused), False when the pause is over."""
        with self._condition:
            worker.parked = True
            self._condition.notify_all()
            while not (worker.has_tasks or not self.pause_requested or self.stopping):
                self._condition.wait(_NOTICE_SECONDS)
            if self.pause_requested and not self.stopping:
                return True
            worker.parked = False
            worker.last_heartbeat = time.monotonic()
            return False

    def _all_parked(self) -> bool:
        return self.pause_requested and all(worker.parked for worker in self._workers if worker.parks)
