"""One environment of several: its results are checked, and its errors name it."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.gymnasium_adapter.kinds import require_environment, require_one_objective
from pamiq_exp.environments.gymnasium_adapter.observations import Space, mismatch, numeric
from pamiq_exp.environments.gymnasium_adapter.snapshot import (
    Snapshot,
    restore_snapshot,
    take_snapshot,
    take_statistics,
)

Env: TypeAlias = "gymnasium.Env[Any, Any]"
MakeCopy: TypeAlias = "Callable[[int], Copy]"

HELD_BACK = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Signals to all processes of a terminal or batch job, on which this run saves and stops."""


class BadEnvironmentError(ValueError):
    """An environment violates Gymnasium's interface; the message names it, the call, and what was expected."""


class Step(NamedTuple):
    """The result of a step of one environment."""

    observation: Any
    reward: float
    terminated: bool
    truncated: bool


class Copy:
    """One environment, number `index` of several that are alike.

    Args:
        make: Makes the environment.
        name: What the environment is called in errors.
        index: Its number, from 0.
        space: The observation space that the first reset and the first step are compared with; None skips that.

    """

    def __init__(self, make: Callable[[], Env], name: str, index: int, space: Space | None = None) -> None:
        self._name, self._index, self._space = name, index, space
        self._steps = 0
        self._checked: set[str] = set()
        self._info: Mapping[str, Any] = {}
        with self._named("while it was made"), signals_held_back():
            self.environment = make()

    def reset(self, seed: int | None = None) -> Any:
        """Start a new episode and return its first observation."""
        with self._named("in reset"), signals_held_back():
            result = self.environment.reset() if seed is None else self.environment.reset(seed=seed)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], (Mapping, type(None)))):
            raise self._bad(
                f"reset returned {_shown(result)}, expected (observation, info) with a dict as info. The interface of "
                "old gym returns the observation alone: wrap the environment with shimmy, or update it"
            )
        observation, info = result
        self._info = info or {}
        self._compare(observation, "reset")
        return observation

    def step(self, action: Any) -> Step:
        """Take one step."""
        self._steps += 1
        with self._named("in step"):
            result = self.environment.step(action)
        if not isinstance(result, tuple) or len(result) != 5:
            raise self._bad(
                f"step returned {_shown(result)}, expected (observation, reward, terminated, truncated, info). "
                "The interface of old gym has one `done`: wrap the environment with shimmy, or update it"
            )
        observation, reward, terminated, truncated, info = result
        self._info = info if isinstance(info, Mapping) else {}
        self._compare(observation, "step")
        return Step(
            observation, self._reward(reward), self._flag(terminated, "terminated"), self._flag(truncated, "truncated")
        )

    def render(self) -> Any:
        """Return what the environment draws."""
        with self._named("in render"):
            return self.environment.render()

    def info(self) -> dict[str, NDArray[Any]]:
        """Return the numbers of the last `info`."""
        return numeric(self._info)

    def attribute(self, path: str) -> Any:
        """Return an attribute of the innermost environment by its dotted path. Raises AttributeError."""
        value: Any = self.environment.unwrapped
        for name in path.split("."):
            value = getattr(value, name)
        return value

    def snapshot(self, any_class: bool) -> Snapshot:
        """Return all state. Raises NotPlainError if there may be more than can be taken."""
        return take_snapshot(self.environment, any_class)

    def statistics(self) -> tuple[Snapshot, list[str]]:
        """Return what the wrappers hold as plain data, and the names of their attributes that are more than that."""
        return take_statistics(self.environment)

    def restore(self, snapshot: Snapshot) -> None:
        """Give back what `snapshot` or `statistics` returned."""
        restore_snapshot(self.environment, snapshot)

    def close(self) -> None:
        """Free windows, processes and sockets."""
        with self._named("in close"):
            self.environment.close()

    def _compare(self, observation: Any, call: str) -> None:
        if self._space is None or call in self._checked:
            return
        self._checked.add(call)
        if (difference := mismatch(self._space, observation)) is not None:
            raise self._bad(f"{call} returned an observation that is not in its observation_space: {difference}")

    def _reward(self, reward: Any) -> float:
        try:
            array = np.asarray(reward)
        except ValueError:
            array = np.asarray(None)
        if array.size == 1 and array.dtype.kind in "biuf":
            return float(array.reshape(()))
        if array.ndim and array.dtype.kind in "biuf":
            raise self._bad(
                f"the reward has the shape {array.shape}, expected one number. An environment with several "
                "objectives needs a wrapper that weighs them, such as mo_gymnasium.wrappers.LinearReward in "
                "environment.wrappers; with several agents, wrap it into an environment of one agent"
            )
        raise self._bad(f"the reward is {_shown(reward)}, expected one number")

    def _flag(self, flag: Any, name: str) -> bool:
        if np.ndim(flag) == 0 and isinstance(flag, (bool, int, np.bool_, np.integer)):
            return bool(flag)
        if isinstance(flag, np.ndarray) and flag.size == 1 and flag.dtype.kind in "biu":
            return bool(flag.reshape(()))
        raise self._bad(f"`{name}` is {_shown(flag)}, expected true or false")

    def _bad(self, message: str) -> BadEnvironmentError:
        return BadEnvironmentError(f"{self._where()}: {message}")

    def _where(self) -> str:
        return f"{self._name}, copy {self._index}, step {self._steps}"

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        """Add to an error of the environment which one it was, and what it was doing."""
        try:
            yield
        except (Exception, SystemExit) as error:
            place = self._where() if self._steps else f"{self._name}, copy {self._index}"
            error.add_note(f"({place}, {doing})")
            if "main thread" in str(error) and "signal" in str(error):
                error.add_note(
                    "(only the main thread of a process may handle signals, and this is another one: "
                    "environment.vectorization=async gives each environment a process of its own)"
                )
            raise


@dataclass(frozen=True)
class CopyMaker:
    """Makes the copies of one environment.

    Attributes:
        make: Makes an environment from keyword arguments.
        arguments: What all copies are given.
        numbered: Arguments that count up from copy to copy, and their values for copy 0.
        wrappers: Applied to each environment, the first one innermost.
        name: What the environment is called in errors.
        space: The observation space that all copies should have; None for the first look at it.
    """

    make: Callable[..., Env]
    arguments: Mapping[str, Any]
    numbered: Mapping[str, int]
    wrappers: tuple[Callable[[Env], Env], ...]
    name: str
    space: Space | None = None

    def __call__(self, index: int) -> Copy:
        """Make the copy with this index."""
        return Copy(functools.partial(self._wrapped, index), self.name, index, self.space)

    def _wrapped(self, index: int) -> Env:
        environment = self.make(**self.arguments, **{name: first + index for name, first in self.numbered.items()})
        try:
            require_environment(environment)
            for wrapper in self.wrappers:
                environment = wrapper(environment)
            require_one_objective(environment)
        except BaseException:
            close_quietly(environment)
            raise
        return environment


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Keep signals that are meant for this run from programs that an environment starts here.

    Ctrl-C reaches each process of the terminal. An engine that it ends could not be saved any more.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def close_quietly(environment: Any) -> None:
    """Close what may be half an environment; the error that is on its way matters more than another one."""
    try:
        environment.close()
    except Exception:
        return


def _shown(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} {value.dtype}"
    text = repr(value)
    return text if len(text) < 60 else f"a {kind}"


def noop_action(copy: Copy) -> tuple[int] | None:
    """Return the action that an environment of named actions calls NOOP."""
    try:
        meanings = list(copy.attribute("get_action_meanings")())
    except Exception:  # an environment may have anything of that name, or nothing
        return None
    return (meanings.index("NOOP"),) if "NOOP" in meanings else None


def own_interval(copy: Copy, count: int) -> float | None:
    """Return the seconds of a step of an environment of rtgym, which keeps time itself; None for any other.

    Raises ValueError for several copies of one: each would wait for its own clock in turn.
    """
    try:
        home, seconds = (copy.attribute(name) for name in ("__module__", "time_step_duration"))
    except AttributeError:
        return None
    if not home.startswith("rtgym"):
        return None
    if count > 1:
        raise ValueError("an environment that keeps its own time can have only one copy: set environment.num_envs=1")
    return float(seconds)
