"""A learner in a process of its own, as the agent's process sees it.

The process is forked once all parts are attached to each other and before the agent's are set up. It inherits models,
buffers and trainers as they are; what both sides use afterwards (inference copies, collectors, counters) is in shared
memory without a name. Everything else goes through one pipe: requests there, replies, records and logs back.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import signal
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pamiq_exp.component import State, walk
from pamiq_exp.remote_errors import received_error
from pamiq_exp.runtime.checkpoints import GroupsWriter, WrittenGroups
from pamiq_exp.runtime.control import Worker
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import Learner, training_parts
from pamiq_exp.runtime.learner_main import IGNORED_SIGNALS, LearnerError, Message, run_learner
from pamiq_exp.runtime.worker import run_worker

logger = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that the process may take to end once its parts are torn down."""


class ProcessLearner(Learner):
    """Training in another process of this machine.

    Args:
        engine: The whole run. The other process works with its own copy of models, buffers and trainers.
        report: Called with each warning of its watchdog; None where the log is shown.
    """

    def __init__(self, engine: Engine, report: Callable[[str], None] | None = None) -> None:
        self._engine = engine
        self._report = report
        self._ids = itertools.count()
        self._futures: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None
        self._receiver = threading.Thread()
        self._ending = False

    def start(self, checkpoint: Mapping[str, State] | None) -> list[str]:
        """See `Learner.start`. Raises ValueError for a part that both sides hold."""
        _refuse_common_parts(self._engine)
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        arguments = (self._engine, theirs, self._pipe, checkpoint, self._report)
        self._process = context.Process(target=run_learner, args=arguments, name="learner", daemon=True)
        # Blocked while it starts, so that no signal ends it before it ignores them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
        try:
            with warnings.catch_warnings():
                # Python warns of locks that other threads hold at this moment: idle threads of libraries hold none.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._receiver = threading.Thread(
            target=self._receive, args=(self._pipe,), name="learner-messages", daemon=True
        )
        self._receiver.start()
        differences: list[str] = self._request("start")
        return differences

    def training(self) -> _TrainingElsewhere:
        """See `Learner.training`."""
        return _TrainingElsewhere(self._engine, self._ask)

    def copy_state(self, pending_round: State | None) -> GroupsWriter | None:
        """See `Learner.copy_state`: the state stays in the other process, which writes it."""
        copy: int | None = self._request("copy")
        return None if copy is None else partial(self._write, copy)

    def _write(self, copy: int, folder: Path) -> WrittenGroups:
        written: WrittenGroups = self._request("write", copy, folder)
        return written

    def summary(self) -> dict[str, float]:
        """See `Learner.summary`; empty if the process hangs, which has been logged then."""
        try:
            summary: dict[str, float] = self._ask("summary").result(_PATIENCE)
        except TimeoutError:
            return {}
        return summary

    def end_trace(self) -> None:
        """See `Learner.end_trace`."""
        self._request("end_trace")

    def close(self) -> None:
        """See `Learner.close`. A process that hangs is killed."""
        if self._process is None:
            return
        self._ending = True
        closing = self._ask("close")
        self._receiver.join(_PATIENCE)  # it ends with the process
        if self._receiver.is_alive():
            logger.error("the learner's process did not end within %.0f s and is killed", _PATIENCE)
            self._process.kill()
            self._receiver.join()
        self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        error = closing.exception()
        if error is not None and not isinstance(error, LearnerError):
            raise error

    def _request(self, name: str, *arguments: Any) -> Any:
        """Have the other process do something, and return the result or raise its error."""
        return self._ask(name, *arguments).result()

    def _ask(self, name: str, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._ids)
            self._futures[number] = future
            try:
                if self._pipe is None:
                    raise LearnerError("the learner's process has not been started")
                self._pipe.send((number, name, arguments))
            except (OSError, LearnerError) as error:
                del self._futures[number]
                future.set_exception(LearnerError(f"the learner's process is gone: {error}"))
        return future

    def _receive(self, pipe: Connection) -> None:
        """Do what the other process asks for, until it ends."""
        try:
            while True:
                self._handle(pipe.recv())
        except (EOFError, OSError):
            pass
        except BaseException as error:
            self._engine.control.fail("training", error)
        self._process.join(1.0)  # only here and, once this thread has ended, in `close`
        death = LearnerError(_cause_of_death(self._process.exitcode))
        if not self._ending:
            self._engine.control.fail("training", death)
        with self._lock:
            futures, self._futures = dict(self._futures), {}
        for future in futures.values():
            future.set_exception(death)

    def _handle(self, message: Message) -> None:
        name, values = message
        records = self._engine.records
        if name == "reply":
            with self._lock:
                future = self._futures.pop(values[0])
            future.set_result(values[1])
        elif name == "error":
            with self._lock:
                future = self._futures.pop(values[0])
            future.set_exception(received_error(values[1], values[2]))
        elif name == "record":
            records.emit(*values)
        elif name == "media":
            records.show(values)
        elif name == "trace":
            self._engine.trace.happened(values)
        elif name == "log":
            logging.getLogger(values[0].name).handle(values[0])
        else:
            self._engine.control.fail(values[0], received_error(values[1], values[2]))


class _TrainingElsewhere:
    """The place of the other process in this run: it parks, does tasks and ends as a thread here does."""

    def __init__(self, engine: Engine, ask: Callable[..., Future[Any]]) -> None:
        self._engine = engine
        self._ask = ask
        self.worker: Worker = engine.control.add_worker(
            "training", lambda: ask("pause").result(), lambda: ask("resume").result()
        )

    def run(self) -> None:
        """Let the other process train until the run ends, and wait for it to be done with its batch."""
        run_worker(self._engine.control, self.worker, self._loop, self._engine.config.threads.training)

    def _loop(self) -> None:
        control = self._engine.control
        ended = self._ask("train")
        while self.worker.safe_point():
            with self.worker.idle():
                if not self.worker.interrupted():
                    control.wait(1.0)
        self._ask("stop")
        with self.worker.idle():
            ended.exception()  # an error has been reported already


def _refuse_common_parts(engine: Engine) -> None:
    """Raise ValueError if the agent's side and training hold the same part: each would change its own copy of it."""
    ours = {id(part): address for address, part in walk({"interaction": engine.interaction})}
    for address, part in walk(training_parts(engine)):
        if id(part) in ours:
            raise ValueError(
                f"{address} and {ours[id(part)]} are the same {type(part).__name__}, which two processes cannot share: "
                "give each side its own, or choose launcher.learner=thread"
            )


def _cause_of_death(status: int | None) -> str:
    if status is None:
        return "the learner's process sent what cannot be read"
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; the system ends processes so when memory is short: make buffers or batches smaller"
        return f"the learner's process was ended by {name}{hint if name == 'SIGKILL' else ''}"
    return f"the learner's process ended by itself (exit status {status})"
