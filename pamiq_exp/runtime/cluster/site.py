"""The process of an actor or a learner, as the run's first process reaches it: by requests, and by what it sends."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeAlias

from pamiq_exp.remote_errors import portable_error
from pamiq_exp.runtime.request_server import Message, RemoteError, Request, RequestServer, Sender, send_logs

Outcome: TypeAlias = tuple[Any, BaseException | None, str]
"""A result, or an error and its traceback: errors that Ray carries lose their class."""


def outcome_of(action: Callable[[], Any]) -> Outcome:
    """Do something, and return its result or its error."""
    try:
        return action(), None, ""
    except BaseException as error:
        return (None, *portable_error(error, RemoteError))


class Outbox(Sender):
    """Keeps messages until the run's first process asks for them."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._condition = threading.Condition()

    def send(self, name: str, values: Any) -> None:
        """See `Sender.send`."""
        if name in ("error", "failed"):  # all other messages are plain data
            ForkingPickler.dumps(values)
        with self._condition:
            self._messages.append((name, values))
            self._condition.notify_all()

    def take(self, seconds: float) -> list[Message]:
        """Return the messages, oldest first; without any, wait for one for as long."""
        with self._condition:
            if not self._messages:
                self._condition.wait(seconds)
            messages = list(self._messages)
            self._messages.clear()
        return messages


class Site:
    """What both kinds of processes have in common. All methods may be called at the same time, each on its thread."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()

    def post(self, request: Request) -> None:
        """Take a request; see `RequestServer`."""
        self.requests.put(request)

    def news(self, seconds: float) -> list[Message]:
        """Return the messages and how far this process is; without a message, wait for one for `seconds` seconds."""
        messages = self.outbox.take(seconds)
        return [*messages, ("progress", self.progress())]

    def progress(self) -> Any:
        """How far this process is; None before it has begun."""
        return None

    def serve(self, server: RequestServer, around: AbstractContextManager[Any] | None = None) -> None:
        """Answer requests from now on, on threads of their own, and send what is logged."""
        send_logs(self.outbox)

        def work() -> None:
            with around or nullcontext():
                server.work()

        threading.Thread(target=server.serve, name="requests", daemon=True).start()
        threading.Thread(target=work, name="main", daemon=True).start()
