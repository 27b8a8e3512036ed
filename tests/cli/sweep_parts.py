"""Agents with bad luck, for sweeps to survive."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from pamiq_exp.interaction import Agent, Array, Observation, StepObserver


class Unlucky(Agent[Observation, Array]):
    """Does nothing until something happens to it, once: `remember` is a file that says that it has happened.

    Args:
        action, num_envs: As any agent.
        luck: `fail` (an exception), `kill` (the process is killed), `hoard` (it wants more memory than there is),
            `swell` (it wants more and more, and may have little), `drown` (the kernel kills it for want of memory, and
            counts it in `remember`), or `good` (nothing happens).
        at: In which turn.
        remember: With it, nothing happens a second time.
        seconds: How long each turn takes.
    """

    def __init__(
        self,
        action: dict[str, Any],
        num_envs: int,
        luck: str = "good",
        at: int = 10,
        remember: str | None = None,
        seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self._action = np.zeros((num_envs, *action["shape"]), dtype=action["dtype"])
        self._luck, self._at, self._seconds = luck, at, seconds
        self._remember = None if remember is None else Path(remember)
        self._turn = 0

    def step(self, observation: Observation) -> Array:
        self._turn += 1
        if self._seconds:
            time.sleep(self._seconds)
        if self._turn == self._at and self._luck != "good" and not (self._remember and self._remember.exists()):
            if self._luck == "drown" and self._remember:
                self._remember.write_text("oom_kill 1\n")
            elif self._remember:
                self._remember.touch()
            self._meet()
        return self._action

    def _meet(self) -> None:
        if self._luck == "fail":
            raise RuntimeError("bad luck")
        if self._luck in ("kill", "drown"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._luck == "hoard":
            np.zeros(2**60, dtype=np.uint8)
        if self._luck == "swell":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28, resource.RLIM_INFINITY))
            kept = []
            while True:
                kept.append(bytearray(2**16))


class Score(StepObserver):
    """Reports a function of a setting, which grows over the run; what a search is to find.

    Args:
        rate: The setting. The best one is 0.3.
        broken_above: Beyond it the score is not a number.
    """

    def __init__(self, rate: float, broken_above: float = float("inf")) -> None:
        self._score = float("nan") if rate > broken_above else 1.0 - (rate - 0.3) ** 2
        self._turns = 0

    def on_step(self, turn: Any) -> None:
        self._turns += 1

    def report(self) -> dict[str, float]:
        return {"score": self._score, "threads": float(os.environ.get("OMP_NUM_THREADS", "0"))}
