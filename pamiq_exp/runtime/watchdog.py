"""Reports threads that hang, in every loop, and where they hang."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pamiq_exp.runtime.control import RunControl, Worker

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 10.0
"""Seconds that a thread may take to reach a safe point at the end of a realtime run."""

_LONGEST_LOOK = 1.0
"""Seconds between two looks; less where `launcher.watchdog_seconds` is short."""


def stacks() -> str:
    """Return what every thread of this process is doing, as text."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for identity, frame in sys._current_frames().items():
        lines = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(identity, identity)}:\n{lines}")
    return "\n".join(parts)


class Watchdog:
    """Warns when a worker gives no heartbeat for too long, once for each time.

    The warning is one line that names the place; the stacks of all threads go to the log.

    Args:
        control: Whose workers to watch.
        seconds: How long is too long; None never warns.
        report: Called with each warning, for runs in which no tracker shows what is logged.
        stop_timeout: Seconds after which a thread that was to end is interrupted. Python can interrupt the main thread
            only. None waits for it.
    """

    def __init__(
        self,
        control: RunControl,
        seconds: float | None,
        report: Callable[[str], None] | None = None,
        stop_timeout: float | None = None,
    ) -> None:
        self._control = control
        self._seconds = seconds
        self._report = report
        self._stop_timeout = stop_timeout
        self._warned: dict[str, float] = {}
        self._stopping_since: float | None = None
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look again and again, on a thread of its own, as long as this lasts."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def look(self) -> None:
        """Look at all workers now."""
        for worker in self._control.workers:
            silent_since = worker.last_heartbeat
            silent = time.monotonic() - silent_since
            if worker.waiting or worker.parked:
                continue
            if self._seconds is not None and silent > self._seconds and self._warned.get(worker.name) != silent_since:
                self._warned[worker.name] = silent_since
                self._warn(worker, silent)
            self._end_hanging(worker, silent)

    def _watch(self) -> None:
        period = _LONGEST_LOOK if self._seconds is None else min(_LONGEST_LOOK, self._seconds / 2)
        while not self._over.wait(period):
            self.look()

    def _warn(self, worker: Worker, silent: float) -> None:
        place = _place_of(worker)
        message = (
            f"the {worker.name} thread has given no heartbeat for {silent:.1f} s (launcher.watchdog_seconds)"
            f"{f'; it is in {place}' if place else ''}; log.txt has the stacks of all threads"
        )
        _log_with_stacks(logging.WARNING, message)
        if self._report is not None:
            self._report(message)

    def _end_hanging(self, worker: Worker, silent: float) -> None:
        """Interrupt the main thread if it was to end and hangs: nothing else could end the run."""
        if self._stop_timeout is None or not self._control.stopping:
            return
        now = time.monotonic()
        self._stopping_since = self._stopping_since or now
        main = threading.main_thread().ident
        if min(now - self._stopping_since, silent) < self._stop_timeout or main is None or worker.thread != main:
            return
        message = f"the {worker.name} thread did not end within {self._stop_timeout:.0f} s and is interrupted"
        if not worker.forced_to_end:
            _log_with_stacks(logging.ERROR, message)
            if self._report is not None:
                self._report(message)
        worker.forced_to_end = True
        signal.pthread_kill(main, signal.SIGINT)  # again at each look: the second one ends what the first does not


def _log_with_stacks(level: int, message: str) -> None:
    """Log one line, and the stacks of all threads where stacks are logged: not on a terminal."""
    record = logger.makeRecord(logger.name, level, __file__, 0, "%s", (message,), None, sinfo=stacks())
    logger.handle(record)


def _place_of(worker: Worker) -> str:
    """Return function, file and line of the newest frame of a worker's thread; empty if it has none."""
    frame = sys._current_frames().get(worker.thread) if worker.thread is not None else None
    return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})" if frame is not None else ""
