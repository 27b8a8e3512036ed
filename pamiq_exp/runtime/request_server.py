"""What a process of a run beside its first one does: it answers requests, and sends records, logs and errors."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from logging.handlers import QueueHandler
from types import MappingProxyType
from typing import Any, TypeAlias

from pamiq_exp.media import Media
from pamiq_exp.remote_errors import portable_error, received_error
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.records import RecordStream

Message: TypeAlias = tuple[str, Any]
"""A name (`reply`, `error`, `record`, `media`, `trace`, `log`, `failed`, ...) and its values."""

Request: TypeAlias = tuple[int, str, tuple[Any, ...]]
"""A number, which the reply repeats, the name of what is to be done, and its arguments."""


class RemoteError(RuntimeError):
    """Another process of the run has ended, or raised what cannot be sent."""


class Sender(ABC):
    """Sends messages from any thread."""

    @abstractmethod
    def send(self, name: str, values: Any) -> None:
        """Send one message; one that cannot be sent raises what pickle says, and nothing is sent."""

    def send_error(self, name: str, first: object, error: BaseException) -> None:
        """Send an error, or its text where it cannot be sent."""
        sent, trace = portable_error(error, RemoteError)
        try:
            self.send(name, (first, sent, trace))
        except (TypeError, AttributeError, ValueError):
            self.send(name, (first, RemoteError(f"{type(error).__name__}: {error}"), trace))


class SentRecords(RecordStream):
    """Records that get the axes of time, and are written, in the run's first process."""

    def __init__(self, engine: Engine, sender: Sender) -> None:
        self.latest = {}
        self._writer = None
        self._engine = engine
        self._sender = sender

    def emit(
        self,
        source: str,
        metrics: Mapping[str, float],
        training_step: int,
        model_version: int | None = None,
        steps: int | None = None,
        axes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        version = self._engine.publisher.version if model_version is None else model_version
        steps = self._engine.statistics.steps if steps is None else steps
        self._sender.send("record", (source, dict(metrics), training_step, version, steps, dict(axes)))

    def show(self, media: Iterable[Media]) -> None:
        items = list(media)
        if items:
            self._sender.send("media", items)


class _SentLogs(QueueHandler):
    """Sends what is logged."""

    def __init__(self, sender: Sender) -> None:
        super().__init__(queue.SimpleQueue())
        self._sender = sender

    def enqueue(self, record: logging.LogRecord) -> None:
        self._sender.send("log", (record,))


def send_logs(sender: Sender) -> None:
    """Send everything that is logged to the run's first process, which knows where it goes."""
    for logger in [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]:
        logger.handlers.clear()
    logging.root.addHandler(_SentLogs(sender))


class RequestServer:
    """Answers requests by its methods `do_NAME`: some on the thread that calls `work`, the others at once.

    Args:
        receive: Returns the next request. Raises EOFError or OSError when the run's first process is gone.
        sender: Where replies go.
    """

    in_turn: tuple[str, ...] = ("close",)
    """Requests that are done one after another, on the thread that calls `work`; `close` is the last one."""
    aside: tuple[str, ...] = ()
    """Requests that may take long and delay no other: each is done on a thread of its own."""

    def __init__(self, receive: Callable[[], Request], sender: Sender) -> None:
        self._receive = receive
        self._sender = sender
        self._work: queue.SimpleQueue[Request] = queue.SimpleQueue()

    def serve(self) -> None:
        """Take requests until the run's first process is gone."""
        try:
            while True:
                request = self._receive()
                if request[1] in self.in_turn:
                    self._work.put(request)
                elif request[1] in self.aside:
                    threading.Thread(target=self._answer, args=request, name=request[1], daemon=True).start()
                else:
                    self._answer(*request)
        except (EOFError, OSError):
            self.abandoned()

    def abandoned(self) -> None:
        """Called when there is no run any more."""

    def work(self) -> None:
        """Do what is done in turn, until the end."""
        name = ""
        while name != "close":
            number, name, arguments = self._work.get()
            self._answer(number, name, arguments)

    def _answer(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._sender.send("reply", (number, getattr(self, f"do_{name}")(*arguments)))
        except BaseException as error:
            self._sender.send_error("error", number, error)


class Requests:
    """The other end: asks another process, and finds the request that each reply belongs to.

    Args:
        post: Sends a request. Raises OSError or RemoteError where that is not possible.
    """

    def __init__(self, post: Callable[[Request], None]) -> None:
        self._post = post
        self._numbers = itertools.count()
        self._futures: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._death: BaseException | None = None

    def ask(self, name: str, *arguments: Any) -> Future[Any]:
        """Have the other process do something. The result is an error if the process is gone."""
        future: Future[Any] = Future()
        with self._lock:
            if self._death is not None:
                future.set_exception(self._death)
                return future
            number = next(self._numbers)
            self._futures[number] = future
            try:
                self._post((number, name, arguments))
            except (OSError, RemoteError) as error:
                del self._futures[number]
                future.set_exception(RemoteError(f"the other process is gone: {error}"))
        return future

    def take_reply(self, message: Message) -> bool:
        """Give a reply to the request that it belongs to; return whether the message is one."""
        name, values = message
        if name not in ("reply", "error"):
            return False
        with self._lock:
            future = self._futures.pop(values[0])
        if name == "reply":
            future.set_result(values[1])
        else:
            future.set_exception(received_error(values[1], values[2]))
        return True

    def end(self, death: BaseException) -> None:
        """Answer every request, also those to come, with this error: the other process is gone."""
        with self._lock:
            self._death = death
            futures, self._futures = dict(self._futures), {}
        for future in futures.values():
            future.set_exception(death)
