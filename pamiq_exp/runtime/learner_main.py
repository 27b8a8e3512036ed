"""What the learner's process does: train on its main thread, and answer requests on another."""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from pamiq_exp.component import State
from pamiq_exp.media import Media
from pamiq_exp.remote_errors import portable_error
from pamiq_exp.runtime.checkpoints import GroupsWriter, WrittenGroups
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import LocalLearner
from pamiq_exp.runtime.process_settings import frozen_heap
from pamiq_exp.runtime.records import RecordStream
from pamiq_exp.runtime.trace import TrainingTrace
from pamiq_exp.runtime.training_loop import TrainingLoop
from pamiq_exp.runtime.watchdog import Watchdog

IGNORED_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}
"""Signals by which a run saves and stops: the agent's process asks for what they take."""

_PR_SET_PDEATHSIG = 1
"""From `linux/prctl.h`."""

Message: TypeAlias = tuple[str, Any]
"""A name (`reply`, `error`, `record`, `media`, `trace`, `log`, `failed`) and its values."""


class LearnerError(RuntimeError):
    """The learner's process has ended, or raised what cannot be sent."""


class _Sender:
    """Sends messages from any thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, name: str, values: Any) -> None:
        """Send one message; one that cannot be sent raises what pickle says, and nothing is sent."""
        with self._lock:
            self._pipe.send((name, values))

    def send_error(self, name: str, first: object, error: BaseException) -> None:
        """Send an error, or its text where it cannot be sent."""
        sent, trace = portable_error(error, LearnerError)
        try:
            self.send(name, (first, sent, trace))
        except (TypeError, AttributeError, ValueError):
            self.send(name, (first, LearnerError(f"{type(error).__name__}: {error}"), trace))


class _SentRecords(RecordStream):
    """Records that get the axes of time, and are written, in the agent's process."""

    def __init__(self, engine: Engine, sender: _Sender) -> None:
        self.latest = {}
        self._engine = engine
        self._sender = sender

    def emit(
        self,
        source: str,
        metrics: Mapping[str, float],
        training_step: int,
        model_version: int | None = None,
        steps: int | None = None,
    ) -> None:
        version = self._engine.publisher.version if model_version is None else model_version
        steps = self._engine.statistics.steps if steps is None else steps
        self._sender.send("record", (source, dict(metrics), training_step, version, steps))

    def show(self, media: Iterable[Media]) -> None:
        items = list(media)
        if items:
            self._sender.send("media", items)


class _SentLogs(QueueHandler):
    """Sends what is logged."""

    def __init__(self, sender: _Sender) -> None:
        super().__init__(queue.SimpleQueue())
        self._sender = sender

    def enqueue(self, record: logging.LogRecord) -> None:
        self._sender.send("log", (record,))


def run_learner(
    engine: Engine,
    pipe: Connection,
    other_end: Connection,
    checkpoint: Mapping[str, State] | None,
    report: Callable[[str], None] | None,
) -> None:
    """Body of the learner's process.

    Args:
        engine: Copy of the run as it was when this process was forked.
        pipe: To the agent's process.
        other_end: The agent's end of it, which this process has inherited.
        checkpoint: What to go on from.
        report: See `Watchdog`.
    """
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    other_end.close()
    sender = _Sender(pipe)
    _send_logs(sender)
    control = RunControl()
    control.data_signal = engine.control.data_signal
    engine.control, engine.records = control, _SentRecords(engine, sender)
    if engine.config.trace:
        engine.trace = TrainingTrace(partial(sender.send, "trace"))
    server = _Server(engine, pipe, sender, checkpoint)
    threading.Thread(target=server.serve, name="requests", daemon=True).start()
    with frozen_heap(collect=False), Watchdog(control, engine.config.watchdog_seconds, report).watching():
        server.work()


class _Server:
    """Answers requests: those that belong to training's thread on the main one, the others at once."""

    def __init__(
        self, engine: Engine, pipe: Connection, sender: _Sender, checkpoint: Mapping[str, State] | None
    ) -> None:
        self._engine = engine
        self._pipe = pipe
        self._sender = sender
        self._checkpoint = checkpoint
        self._learner = LocalLearner(engine)
        self._training: TrainingLoop | None = None
        self._copies: dict[int, GroupsWriter] = {}
        """What is still to be written, by number: two saves may overlap."""
        self._numbers = itertools.count()
        self._work: queue.SimpleQueue[tuple[int, str, tuple[Any, ...]]] = queue.SimpleQueue()

    def serve(self) -> None:
        """Take requests until the agent's process is gone."""
        try:
            while True:
                request = self._pipe.recv()
                if request[1] in ("start", "train", "end_trace", "summary", "close"):
                    self._work.put(request)
                elif request[1] == "write":  # a disk may take long, and a pause or the end should not wait for it
                    threading.Thread(target=self._answer, args=request, name="saving", daemon=True).start()
                else:
                    self._answer(*request)
        except (EOFError, OSError):
            os._exit(1)  # there is no run any more

    def work(self) -> None:
        """Do what belongs to the main thread until the end."""
        name = ""
        while name != "close":
            number, name, arguments = self._work.get()
            self._answer(number, name, arguments)

    def _answer(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._sender.send("reply", (number, getattr(self, f"_do_{name}")(*arguments)))
        except BaseException as error:
            self._sender.send_error("error", number, error)

    def _do_start(self) -> list[str]:
        checkpoint, self._checkpoint = self._checkpoint, None
        differences = self._learner.start(checkpoint)
        self._training = self._learner.training()
        return differences

    def _do_train(self) -> None:
        if self._training is not None:
            self._training.run()
        failure = self._engine.control.failure
        if failure is not None:
            self._sender.send_error("failed", failure.thread, failure.error)

    def _do_stop(self) -> None:
        self._engine.control.stop("finished", "")

    def _do_pause(self) -> None:
        self._engine.control.pause()

    def _do_resume(self) -> None:
        self._engine.control.resume()

    def _do_copy(self) -> int | None:
        worker = self._training.worker if self._training is not None else None
        alive = worker if worker in self._engine.control.workers else None
        copied = self._engine.control.run_at_safe_point(alive, lambda: self._learner.copy_state(None))
        if copied is None:
            return None
        number = next(self._numbers)
        self._copies[number] = copied
        return number

    def _do_write(self, number: int, folder: Path) -> WrittenGroups:
        return self._copies.pop(number)(folder)

    def _do_summary(self) -> dict[str, float]:
        return self._learner.summary()

    def _do_end_trace(self) -> None:
        self._learner.end_trace()

    def _do_close(self) -> None:
        self._learner.close()


def _send_logs(sender: _Sender) -> None:
    """Send everything that is logged to the agent's process, which knows where it goes."""
    for logger in [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]:
        logger.handlers.clear()
    logging.root.addHandler(_SentLogs(sender))
