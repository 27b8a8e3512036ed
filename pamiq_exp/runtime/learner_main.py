"""What the learner's process does: train on its main thread, and answer requests on another."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pamiq_exp.component import State
from pamiq_exp.runtime.checkpoints import StateCopy, WrittenGroups
from pamiq_exp.runtime.child_processes import follow_first_process
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import LocalLearner, Training
from pamiq_exp.runtime.process_settings import frozen_heap
from pamiq_exp.runtime.request_server import Request, RequestServer, Sender, SentRecords, send_logs
from pamiq_exp.runtime.trace import TrainingTrace
from pamiq_exp.runtime.watchdog import Watchdog


class _PipeSender(Sender):
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, name: str, values: Any) -> None:
        with self._lock:
            self._pipe.send((name, values))


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
    follow_first_process()
    other_end.close()
    sender = _PipeSender(pipe)
    send_logs(sender)
    control = RunControl()
    control.data_signal = engine.control.data_signal
    engine.control, engine.records = control, SentRecords(engine, sender)
    if engine.config.trace:
        engine.trace = TrainingTrace(partial(sender.send, "trace"))
    server = _PipeServer(engine, pipe.recv, sender, checkpoint)
    threading.Thread(target=server.serve, name="requests", daemon=True).start()
    with frozen_heap(collect=False), Watchdog(control, engine.config.watchdog_seconds, report).watching():
        server.work()


class LearnerServer(RequestServer):
    """Answers what is asked of a learner.

    Args:
        engine: Models, buffers and trainers, in this process.
        receive, sender: See `RequestServer`.
        checkpoint: What to go on from.
    """

    in_turn = ("start", "train", "end_trace", "summary", "close")
    aside = ("write",)  # a disk may take long, and a pause or the end should not wait for it

    def __init__(
        self,
        engine: Engine,
        receive: Callable[[], Request],
        sender: Sender,
        checkpoint: Mapping[str, State] | None = None,
    ) -> None:
        super().__init__(receive, sender)
        self._engine = engine
        self._checkpoint = checkpoint
        self._learner = LocalLearner(engine)
        self._training: Training | None = None
        self._copies: dict[int, StateCopy] = {}
        """What is still to be written, by number: two saves may overlap."""
        self._numbers = itertools.count()

    def do_start(self) -> list[str]:
        checkpoint, self._checkpoint = self._checkpoint, None
        differences = self._learner.start(checkpoint)
        self._training = self._learner.training()
        return differences

    def do_train(self) -> None:
        if self._training is not None:
            self._training.run()
        failure = self._engine.control.failure
        if failure is not None:
            self._sender.send_error("failed", failure.thread, failure.error)

    def do_stop(self) -> None:
        self._engine.control.stop("finished", "")

    def do_pause(self) -> None:
        self._engine.control.pause()

    def do_resume(self) -> None:
        self._engine.control.resume()

    def do_copy(self) -> int | None:
        worker = self._training.worker if self._training is not None else None
        alive = worker if worker in self._engine.control.workers else None
        copied = self._engine.control.run_at_safe_point(alive, lambda: self._learner.copy_state(None))
        if copied is None:
            return None
        number = next(self._numbers)
        self._copies[number] = copied
        return number

    def do_write(self, number: int, folder: Path) -> WrittenGroups:
        return self._copies.pop(number)(folder)

    def do_summary(self) -> dict[str, float]:
        return self._learner.summary()

    def do_end_trace(self) -> None:
        self._learner.end_trace()

    def do_close(self) -> None:
        self._learner.close()


class _PipeServer(LearnerServer):
    def abandoned(self) -> None:
        os._exit(1)
