"""A learner in a process of its own, as the agent's process sees it.

The process is forked once all parts are attached to each other and before the agent's are set up. It inherits models,
buffers and trainers as they are; what both sides use afterwards (inference copies, collectors, counters) is in shared
memory without a name. Everything else goes through one pipe: requests there, replies, records and logs back.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from pamiq_exp.component import State, walk
from pamiq_exp.runtime.child_processes import cause_of_exit, signals_held_back
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import training_parts
from pamiq_exp.runtime.learner_elsewhere import PATIENCE, LearnerElsewhere
from pamiq_exp.runtime.learner_main import run_learner
from pamiq_exp.runtime.request_server import RemoteError, Request

logger = logging.getLogger(__name__)


class ProcessLearner(LearnerElsewhere):
    """Training in another process of this machine.

    Args:
        engine: The whole run. The other process works with its own copy of models, buffers and trainers.
        report: Called with each warning of its watchdog; None where the log is shown.
    """

    def __init__(self, engine: Engine, report: Callable[[str], None] | None = None) -> None:
        super().__init__(engine)
        self._report = report
        self._process: Any = None
        self._pipe: Connection | None = None
        self._receiver = threading.Thread()

    def start(self, checkpoint: Mapping[str, State] | None) -> list[str]:
        """See `Learner.start`. Raises ValueError for a part that both sides hold."""
        _refuse_common_parts(self._engine)
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        arguments = (self._engine, theirs, self._pipe, checkpoint, self._report)
        self._process = context.Process(target=run_learner, args=arguments, name="learner", daemon=True)
        with signals_held_back(), warnings.catch_warnings():
            # Python warns of locks that other threads hold at this moment: idle threads of libraries hold none.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()
        self._receiver = threading.Thread(
            target=self._receive, args=(self._pipe,), name="learner-messages", daemon=True
        )
        self._receiver.start()
        differences: list[str] = self._requests.ask("start").result()
        return differences

    def close(self) -> None:
        """See `Learner.close`. A process that hangs is killed."""
        if self._process is None:
            return
        self._ending = True
        closing = self._requests.ask("close")
        self._receiver.join(PATIENCE)  # it ends with the process
        if self._receiver.is_alive():
            logger.error("the learner's process did not end within %.0f s and is killed", PATIENCE)
            self._process.kill()
            self._receiver.join()
        self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        error = closing.exception()
        if error is not None and not isinstance(error, RemoteError):
            raise error

    def _post(self, request: Request) -> None:
        if self._pipe is None:
            raise RemoteError("it has not been started")
        self._pipe.send(request)

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
        self._died(RemoteError(cause_of_exit("the learner's process", self._process.exitcode)))


def _refuse_common_parts(engine: Engine) -> None:
    """Raise ValueError if the agent's side and training hold the same part: each would change its own copy of it."""
    ours = {id(part): address for address, part in walk({"interaction": engine.interaction})}
    for address, part in walk(training_parts(engine)):
        if id(part) in ours:
            raise ValueError(
                f"{address} and {ours[id(part)]} are the same {type(part).__name__}, which two processes cannot share: "
                "give each side its own, or choose launcher.learner=thread"
            )
