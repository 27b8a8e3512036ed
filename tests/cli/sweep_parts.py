"""Agents that fail on purpose, for tests of sweeps."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from pamiq_exp.interaction import Agent, Array, Observation, StepObserver


class FailingAgent(Agent[Observation, Array]):
    """Takes zero actions and fails in one turn.

    Args:
        action, num_envs: As any agent.
        failure: `none`, `error` (an exception), `kill` (SIGKILL), `allocation` (one array larger than the memory),
            `exhaustion` (many small allocations under a memory limit) or `oom_kill` (SIGKILL, counted in `marker` as
            the kernel counts a process killed for lack of memory).
        at: The turn of the failure.
        marker: A file that the failure creates; if it exists, the agent does not fail again.
        seconds: How long each turn takes.
        meeting: A folder in which two jobs wait for each other in turn `at`, before the failure.
    """

    def __init__(
        self,
        action: dict[str, Any],
        num_envs: int,
        failure: str = "none",
        at: int = 10,
        marker: str | None = None,
        seconds: float = 0.0,
        meeting: str | None = None,
    ) -> None:
        super().__init__()
        self._action = np.zeros((num_envs, *action["shape"]), dtype=action["dtype"])
        self._failure, self._at, self._seconds = failure, at, seconds
        self._marker = None if marker is None else Path(marker)
        self._meeting = None if meeting is None else Path(meeting)
        self._turn = 0

    def step(self, observation: Observation) -> Array:
        self._turn += 1
        if self._seconds:
            time.sleep(self._seconds)
        if self._turn == self._at and self._meeting is not None:
            self._meet(self._meeting)
        if self._turn == self._at and self._failure != "none" and not (self._marker and self._marker.exists()):
            if self._failure == "oom_kill" and self._marker:
                self._marker.write_text("oom_kill 1\n")
            elif self._marker:
                self._marker.touch()
            self._fail()
        return self._action

    def _meet(self, folder: Path) -> None:
        (folder / str(os.getpid())).touch()
        deadline = time.monotonic() + 120.0
        while len(list(folder.iterdir())) < 2:
            if time.monotonic() > deadline:
                raise TimeoutError("no other job runs at the same time")
            time.sleep(0.01)

    def _fail(self) -> None:
        if self._failure == "error":
            raise RuntimeError("failed on purpose")
        if self._failure in ("kill", "oom_kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._failure == "allocation":
            np.zeros(2**60, dtype=np.uint8)
        if self._failure == "exhaustion":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28, resource.RLIM_INFINITY))
            kept = []
            while True:
                kept.append(bytearray(2**16))


class Score(StepObserver):
    """Reports a function of a setting, whose maximum a search must find.

    Args:
        rate: The setting. The best one is 0.3.
        broken_above: Above this rate the score is not a number.
    """

    def __init__(self, rate: float, broken_above: float = float("inf")) -> None:
        self._score = float("nan") if rate > broken_above else 1.0 - (rate - 0.3) ** 2
        self._turns = 0

    def on_step(self, turn: Any) -> None:
        self._turns += 1

    def report(self) -> dict[str, float]:
        return {"score": self._score, "threads": float(os.environ.get("OMP_NUM_THREADS", "0"))}
