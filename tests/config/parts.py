"""Small classes for configs to name."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from lightning import LightningModule
from torch import nn

from pamiq_exp.interaction import Agent, Array, Environment, Observation, StepObserver, continual


@dataclass
class Part:
    """Remembers what it was built with."""

    size: int
    name: str = "part"
    children: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size must not be negative")


class Holder:
    """Holds another part."""

    def __init__(self, part: Any, *, factor: float = 1.0) -> None:
        self.part = part
        self.factor = factor

    class Inner:
        """A class inside a class."""


def total(first: int, second: int = 0, /, third: int = 0) -> int:
    """A function with arguments by position only."""
    return first + second + third


class Room(Environment):
    """Shows its own counter."""

    has_episodes = False

    def __init__(self, size: int = 3, num_envs: int = 1) -> None:
        self.observation_space = gymnasium.spaces.Dict({"state": gymnasium.spaces.Box(-1, 1, (size,), np.float32)})
        self.action_space = gymnasium.spaces.Discrete(2)
        self.num_envs = num_envs
        self._shown = np.zeros((num_envs, size), dtype=np.float32)

    def observe(self) -> Observation:
        return continual({"state": self._shown})

    def affect(self, action: Array) -> None:
        assert action.shape == (self.num_envs, 1)


class Doll(Agent[Observation, Array]):
    """Does nothing, in the right shape; fails at one turn, or stops the program at another, on request."""

    def __init__(
        self,
        action: dict[str, Any],
        num_envs: int,
        seed: int = 0,
        fail_at: int | None = None,
        stop_at: int | None = None,
    ) -> None:
        super().__init__()
        self._action = np.zeros((num_envs, *action["shape"]), dtype=action["dtype"])
        self.seed = seed
        self._fail_at = fail_at
        self._stop_at = stop_at
        self._turn = 0

    def step(self, observation: Observation) -> Array:
        self._turn += 1
        if self._turn == self._fail_at:
            raise RuntimeError("the doll fell over")
        if self._turn == self._stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return self._action


class Net(LightningModule):
    """One layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)


class Picky(StepObserver):
    """Reads two of its options, and keeps them all on request."""

    def __init__(self, options: dict[str, Any], keep: bool = False) -> None:
        self.size = options["width"], options.get("height", 1)
        self.options = options if keep else None


class Counter(StepObserver):
    """Counts turns."""

    def __init__(self) -> None:
        self.turns = 0

    def on_step(self, turn: Any) -> None:
        self.turns += 1

    def summary(self) -> dict[str, float]:
        return {"turns_counted": float(self.turns)}
