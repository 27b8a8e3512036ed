"""A wrapper that delays actions."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.environments.wrappers.wrapper import EnvironmentWrapper
from pamiq_exp.interaction.environment import Age, Array, Environment, Observation
from pamiq_exp.seeding import numpy_generator
from pamiq_exp.spaces import ActionSpec, describe_action

PREVIOUS_ACTION = "previous_action"

NEVER = np.iinfo(np.int64).max


def delayed(
    environment: Environment,
    steps: float | Sequence[float] = 0.0,
    substeps: int = 1,
    observe_action: bool = False,
    first_action: Sequence[float] | None = None,
    seed: int = 0,
) -> Environment:
    """Return the environment with delayed actions, or itself if nothing is delayed; see `DelayedActions`."""
    if steps == 0 and substeps == 1 and not observe_action:
        return environment
    return DelayedActions(environment, steps, substeps, observe_action, first_action, seed)


class DelayedActions(EnvironmentWrapper):
    """Wrapper in which actions take effect late, as if the environment went on while the agent computes.

    The action that answers the observation of turn t takes effect d turns later and holds until another one
    does. Where delays vary, an action that arrives after a newer one is dropped. An episode begins with
    `first_action` and nothing under way.

    A turn may be cut into `substeps` steps of the environment, which should then be made for steps of that
    length (`environment.dt`): delays are whole numbers of them, so 2 substeps allow delays of half a turn. The
    reward of a turn is the sum over its steps; a turn ends early, in all num_envs, where an episode does.

    With `observe_action` the agent sees the actions that are under way or in effect, the newest first, as
    `previous_action`: `(num_envs, k * n)` float32 with one-hot numbers for each branch, or the numbers of a Box,
    and k the largest delay in whole turns, at least 1. With a delay of one turn this makes the real-time
    Markov decision process of Ramstedt and Pal 2019 (Real-time reinforcement learning, definition 1), with
    varying delays that of Bouteiller et al. 2021 (Reinforcement learning with random delays).

    Args:
        environment: What actions are delayed in.
        steps: Delay in turns, or lowest and highest delay: then each environment draws it for each action, evenly.
        substeps: Steps of the environment in a turn.
        observe_action: Whether the agent sees its previous actions.
        first_action: What is done before the first action takes effect; None does 0.
        seed: Of varying delays.

    Raises:
        ValueError: A delay is negative or no whole number of substeps, or the first action has a wrong length.
    """

    def __init__(
        self,
        environment: Environment,
        steps: float | Sequence[float] = 0.0,
        substeps: int = 1,
        observe_action: bool = False,
        first_action: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        if substeps < 1:
            raise ValueError(f"delay.substeps must be at least 1, not {substeps}")
        if substeps > 1 and (environment.own_interval is not None or environment.free_running):
            raise ValueError("delay.substeps: a world that runs by itself cannot be cut into substeps; use 1")
        bounds = (steps, steps) if isinstance(steps, (int, float)) else tuple(steps)
        self._low, self._high = _in_substeps(bounds, substeps)
        super().__init__(environment)
        self._substeps = substeps
        self._action = describe_action(environment.action_space)
        self._first = _first_action(first_action, self._action)
        self._shown = max(math.ceil(self._high / substeps), 1) if observe_action else 0
        self.observation_space = self._observation_space()
        self._generator = numpy_generator(seed, "delay")
        slots = self._high // substeps + 2
        self._actions = np.tile(self._first, (max(slots, self._shown), self.num_envs, 1))
        self._is_set = np.zeros(self._actions.shape[:2], dtype=np.bool_)
        self._due = np.full(self._actions.shape[:2], NEVER, dtype=np.int64)
        self._seen_at = np.zeros(len(self._actions))
        self._turn = 0
        self._current = np.full(self.num_envs, -1, dtype=np.int64)
        self._ages = np.zeros((self.num_envs, 2))
        self._effect = np.tile(self._first, (self.num_envs, 1))
        self._reward = np.zeros(self.num_envs, dtype=np.float32)
        self._seen: Observation | None = None

    def _observation_space(self) -> gymnasium.spaces.Dict:
        parts = dict(self.environment.observation_space.spaces)
        if self._shown:
            if PREVIOUS_ACTION in parts:
                raise ValueError(f"delay.observe_action: this environment shows a '{PREVIOUS_ACTION}' already")
            low, high = _bounds(self._action)
            parts[PREVIOUS_ACTION] = gymnasium.spaces.Box(np.tile(low, self._shown), np.tile(high, self._shown))
        return gymnasium.spaces.Dict(parts)

    def observe(self) -> Observation:
        seen = self.environment.observe()
        at = self.environment.observed_at
        self._seen_at[self._turn % len(self._seen_at)] = time.perf_counter() if at is None else at
        values: Mapping[str, Array] = seen.values
        if self._shown:
            values = {**values, PREVIOUS_ACTION: self._previous_actions()}
        self._seen = Observation(values, self._reward + seen.reward, seen.terminated, seen.truncated)
        return self._seen

    def affect(self, action: Array) -> None:
        seen = self._seen if self._seen is not None else self.observe()
        self._take(np.asarray(action, dtype=self._first.dtype), seen.ended)
        self._reward = np.zeros(self.num_envs, dtype=np.float32)
        for substep in range(self._substeps):
            self._choose(self._turn * self._substeps + substep)
            self.environment.affect(self._effect.copy())
            if substep < self._substeps - 1:
                between = self.environment.observe()
                if between.ended.any() or seen.ended.any():
                    break  # the last observation of an episode must be seen, and the first one
                self._reward = self._reward + between.reward
        self._turn += 1
        self._seen = None
        self.age = Age(*self._ages.mean(axis=0).tolist())

    def _take(self, action: Array, ended: NDArray[np.bool_]) -> None:
        """Put this turn's actions under way; where an episode has ended, forget everything instead."""
        slot = self._turn % len(self._actions)
        delay = np.full(self.num_envs, self._low)
        if self._high > self._low:
            delay = self._generator.integers(self._low, self._high + 1, self.num_envs)
        self._actions[slot], self._is_set[slot] = action, True
        self._due[slot] = self._turn * self._substeps + delay
        if ended.any():
            self._actions[:, ended], self._is_set[:, ended] = self._first, False
            self._due[:, ended] = NEVER
            self._effect[ended] = self._first
            self._current[ended] = self._turn

    def _choose(self, now: int) -> None:
        """Let what has arrived by substep `now` take effect, the newest in each environment."""
        slots = len(self._actions)
        for turn in range(max(self._turn - slots + 1, 0), self._turn + 1):
            slot = turn % slots
            arrived = (self._due[slot] <= now) & (turn > self._current)
            if arrived.any():
                self._effect[arrived] = self._actions[slot, arrived]
                self._current[arrived] = turn
                self._ages[arrived, 0] = now / self._substeps - turn
                self._ages[arrived, 1] = time.perf_counter() - self._seen_at[slot]

    def _previous_actions(self) -> NDArray[np.float32]:
        """Return the newest actions, `(num_envs, k * n)`; zeros where an episode had none yet."""
        slots = [(self._turn - 1 - back) % len(self._actions) for back in range(self._shown)]
        parts = [encoded(self._actions[slot], self._action) * self._is_set[slot, :, None] for slot in slots]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def on_resume(self) -> None:
        # Nothing aged while the world stood still.
        self._seen_at[:] = time.perf_counter()

    def state(self) -> State:
        return {
            "actions": self._actions,
            "is_set": self._is_set,
            "due": self._due,
            "turn": self._turn,
            "current": self._current,
            "ages": self._ages[:, 0],
            "effect": self._effect,
            "reward": self._reward,
        }

    def load_state(self, state: State) -> None:
        for name in ("actions", "is_set", "due", "current", "effect", "reward"):
            setattr(self, f"_{name}", np.array(state[name]))
        self._turn = int(np.asarray(state["turn"]))
        self._ages[:, 0] = np.asarray(state["ages"])
        self._seen_at[:] = time.perf_counter()
        self._seen = None


def encoded(action: Array, space: ActionSpec) -> NDArray[np.float32]:
    """Return canonical actions as numbers, `(num_envs, n)`: one-hot for each branch, a Box as it is."""
    if space["kind"] == "box":
        return action.astype(np.float32)
    parts = [np.eye(choices, dtype=np.float32)[action[:, branch]] for branch, choices in enumerate(space["nvec"])]
    return np.concatenate(parts, axis=1)


def _bounds(space: ActionSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if space["kind"] == "box":
        low, high = np.array(space["low"], np.float32), np.array(space["high"], np.float32)
        return np.minimum(low, 0), np.maximum(high, 0)
    count = sum(space["nvec"])
    return np.zeros(count, np.float32), np.ones(count, np.float32)


def _in_substeps(bounds: Sequence[float], substeps: int) -> tuple[int, int]:
    if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] < math.inf:
        raise ValueError(f"delay.steps must be a number from 0 on, or [lowest, highest], not {list(bounds)}")
    low, high = (round(bound * substeps) for bound in bounds)
    for bound, whole in zip(bounds, (low, high), strict=True):
        if abs(bound * substeps - whole) > 1e-9:
            raise ValueError(
                f"delay.steps: {bound} turns are no whole number of environment steps: with delay.substeps=n "
                "a turn has n of them"
            )
    return low, high


def _first_action(first: Sequence[float] | None, space: ActionSpec) -> Array:
    size = space["shape"][0]
    action: Array = np.zeros(size, dtype=space["dtype"]) if first is None else np.array(first, dtype=space["dtype"])
    if action.shape != (size,):
        raise ValueError(f"delay.first_action must hold {size} numbers, not {list(first or ())}")
    return action
