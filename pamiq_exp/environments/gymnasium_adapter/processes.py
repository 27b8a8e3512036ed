"""Copies of one environment, each in a process of its own."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from gymnasium.vector.utils import CloudpickleWrapper

from pamiq_exp.current_folder import workers_forget_it
from pamiq_exp.environments.gymnasium_adapter.copies import Calls, SeparateCopies
from pamiq_exp.environments.gymnasium_adapter.copy import HELD_BACK, Copy, MakeCopy
from pamiq_exp.remote_errors import portable_error, received_error

PATIENCE = 10.0
"""Seconds that environments may take to close before their processes are killed."""

_LOOK = 5.0
"""Seconds between two looks of a process whether the one that started it still lives."""


class EnvironmentProcessError(RuntimeError):
    """The process of an environment has ended, or raised what cannot be sent."""


class ProcessCopies(SeparateCopies):
    """Environments in processes, stepped at the same time.

    The processes ignore the signals by which a run saves and stops: it asks them for their state first.

    Args:
        make: Makes the copy with a given index; called in its process.
        count: How many.
        name: What the environment is called in errors.
    """

    def __init__(self, make: MakeCopy, count: int, name: str) -> None:
        super().__init__(count)
        self._name = name
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        context = multiprocessing.get_context()
        atexit.register(self._kill)  # runs before multiprocessing waits for its children
        try:
            with workers_forget_it():
                self._start(context, make)
            self._receive(range(count))
        except BaseException:
            self.close()
            raise

    def _start(self, context: Any, make: MakeCopy) -> None:
        # Blocked while the processes start, so that none of them ends before it ignores them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ignored()) if hasattr(signal, "pthread_sigmask") else None
        try:
            for index in range(self.count):
                ours, theirs = context.Pipe()
                self._pipes.append(ours)
                packed = CloudpickleWrapper(partial(make, index))  # type: ignore[type-var]  # it takes any function
                process = context.Process(target=_serve, args=(theirs, packed), name=f"copy {index}")
                process.start()
                self._processes.append(process)
                theirs.close()
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def call(self, calls: Calls) -> list[Any]:
        for index, call in calls.items():
            with suppress(OSError):  # a process that is gone shows when its answer is awaited
                self._pipes[index].send(call)
        return self._receive(calls)

    def close(self) -> None:
        deadline = time.monotonic() + PATIENCE
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join(max(deadline - time.monotonic(), 0.0))
        self._kill()
        for pipe in self._pipes:
            pipe.close()
        atexit.unregister(self._kill)

    def _kill(self) -> None:
        for process in self._processes:
            if process.is_alive():
                process.kill()
            process.join()

    def _receive(self, indices: Iterable[int]) -> list[Any]:
        """Return the answers; raise the first error after all have come, so that none is left in a pipe."""
        answers: list[Any] = []
        errors: list[BaseException] = []
        for index in indices:
            try:
                error, answer = self._pipes[index].recv()
            except (EOFError, OSError):
                self._processes[index].join(1.0)
                status = self._processes[index].exitcode
                message = f"{self._name}, copy {index}: its process has ended (exit status {status})"
                error, answer = EnvironmentProcessError(message), ""
            if error is None:
                answers.append(answer)
            else:
                errors.append(received_error(error, answer))
        if errors:
            raise errors[0]
        return answers


def _ignored() -> set[signal.Signals]:
    return {*HELD_BACK, signal.SIGTERM}


def _serve(pipe: Connection, make: Callable[[], Copy]) -> None:
    """Body of a process: do what is asked until it is closed, or until the process that asks is gone."""
    for number in HELD_BACK:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # programs that the environment starts can still be terminated
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ignored())
    parent = os.getppid()
    try:
        environment = make()
    except BaseException as error:
        _send_failure(pipe, error)
        return
    try:
        pipe.send((None, None))
        while (call := _next_call(pipe, parent)) is not None:
            method, arguments = call
            try:
                answer = getattr(environment, method)(*arguments)
            except BaseException as error:
                _send_failure(pipe, error)
            else:
                pipe.send((None, answer))
    except (EOFError, OSError):
        pass  # no process is left to answer to
    finally:
        with suppress(Exception):
            environment.close()


def _next_call(pipe: Connection, parent: int) -> Any:
    while not pipe.poll(_LOOK):
        if os.getppid() != parent:
            return None
    return pipe.recv()


def _send_failure(pipe: Connection, error: BaseException) -> None:
    """Send an error, or its text where it does not survive the way to the other process, and its traceback as text."""
    sent, trace = portable_error(error, EnvironmentProcessError)
    try:
        pipe.send((sent, trace))
    except Exception:  # it holds what cannot be sent
        pipe.send((EnvironmentProcessError(f"{type(error).__name__}: {error}"), trace))
