"""Environments that behave like other packages' environments, with their mistakes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Walk(gymnasium.Env[Any, Any]):
    """Shows its step number; `mistake` replaces parts of what it returns, from step `at` on."""

    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def __init__(self, mistake: Callable[[Walk, list[Any]], Any] | None = None, at: int = 1, **attributes: Any) -> None:
        self.observation_space = spaces.Box(0, 1000, (3,), np.float32)
        self.mistake, self.at, self.step_number = mistake, at, 0
        vars(self).update(attributes)

    def show(self) -> Any:
        return np.full(3, self.step_number, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.show(), {}

    def step(self, action: Any) -> Any:
        self.step_number += 1
        result = [self.show(), 1.0, False, False, {}]
        if self.mistake is not None and self.step_number >= self.at:
            return self.mistake(self, result)
        return tuple(result)


class OneThread(Walk):
    """Has a database and an event loop, which only the thread that made them can use."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.log.append(threading.current_thread().name)
        self.database = sqlite3.connect(":memory:")
        self.database.execute("create table steps (number integer)")
        self.loop = asyncio.new_event_loop()

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        self.database.execute("delete from steps")
        return super().reset(**arguments)

    def step(self, action: Any) -> Any:
        self.database.execute("insert into steps values (1)")
        self.loop.run_until_complete(asyncio.sleep(0))
        return super().step(action)

    def close(self) -> None:
        self.database.close()  # raises on any other thread
        self.loop.close()


class WithProgram(Walk):
    """Starts a program, as engines do, and steps only while it runs. Copy number `fails` raises an error."""

    def __init__(self, folder: str, index: int = 0, fails: int = -1) -> None:
        super().__init__()
        if index == fails:
            raise OSError("the port is taken")
        self.program = subprocess.Popen(
            [sys.executable, "-c", "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        Path(folder, f"{self.program.pid}").touch()

    def step(self, action: Any) -> Any:
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write("step\n")
        self.program.stdin.flush()
        if not self.program.stdout.readline():
            raise BrokenPipeError("the engine is gone")
        return super().step(action)

    def close(self) -> None:
        self.program.terminate()
        self.program.wait(5)
        for stream in (self.program.stdin, self.program.stdout):
            if stream is not None:
                stream.close()


def programs(folder: Path) -> dict[int, bool]:
    """Return the process ids of all programs that were started, and whether they are still running."""
    return {int(path.name): _is_alive(int(path.name)) for path in folder.iterdir()}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def returning(**parts: Any) -> Callable[[Walk, list[Any]], Any]:
    """A mistake: return these parts instead of the correct ones."""
    names = ("observation", "reward", "terminated", "truncated", "info")

    def mistake(environment: Walk, result: list[Any]) -> tuple[Any, ...]:
        given: Mapping[str, Any] = dict(zip(names, result, strict=True)) | parts
        return tuple(given[name] for name in names)

    return mistake
