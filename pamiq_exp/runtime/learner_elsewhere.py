"""A learner in another process, as the agent's side of a run sees it."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from pamiq_exp.component import State
from pamiq_exp.remote_errors import received_error
from pamiq_exp.runtime.checkpoints import GroupsWriter, WrittenGroups
from pamiq_exp.runtime.control import Worker
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import Learner
from pamiq_exp.runtime.request_server import Message, Request, Requests
from pamiq_exp.runtime.worker import run_worker

PATIENCE = 5.0
"""Seconds that another process may take to end once its parts are torn down."""


class LearnerElsewhere(Learner):
    """Training in another process, which is asked by requests and sends messages (see `RequestServer`).

    Args:
        engine: The agent's side of the run.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._requests = Requests(self._post)
        self._ending = False

    @abstractmethod
    def _post(self, request: Request) -> None:
        """Send a request. Raises OSError or RemoteError where that is not possible."""

    def training(self) -> TrainingElsewhere | None:
        """See `Learner.training`."""
        return TrainingElsewhere(self._engine, self._requests.ask) if self._engine.trainers else None

    def copy_state(self, pending_round: State | None) -> GroupsWriter | None:
        """See `Learner.copy_state`: the state stays in the other process."""
        copy: int | None = self._requests.ask("copy").result()
        return None if copy is None else partial(self._write, copy)

    def _write(self, copy: int, folder: Path) -> WrittenGroups:
        written: WrittenGroups = self._requests.ask("write", copy, folder).result()
        return written

    def summary(self) -> dict[str, float]:
        """See `Learner.summary`; empty if the process hangs, which has been logged then."""
        try:
            summary: dict[str, float] = self._requests.ask("summary").result(PATIENCE)
        except TimeoutError:
            return {}
        return summary

    def end_trace(self) -> None:
        """See `Learner.end_trace`."""
        self._requests.ask("end_trace").result()

    def _handle(self, message: Message) -> None:
        """Do what a message of the other process asks for."""
        if self._requests.take_reply(message):
            return
        name, values = message
        records = self._engine.records
        if name == "record":
            records.emit(*values)
        elif name == "media":
            records.show(values)
        elif name == "trace":
            self._engine.trace.happened(values)
        elif name == "log":
            logging.getLogger(values[0].name).handle(values[0])
        else:
            self._engine.control.fail(values[0], received_error(values[1], values[2]))

    def _died(self, death: BaseException) -> None:
        """End the run, unless that was the end of it, and all requests."""
        if not self._ending:
            self._engine.control.fail("training", death)
        self._requests.end(death)


class TrainingElsewhere:
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
