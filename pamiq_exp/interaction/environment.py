"""Base class of environments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a world shows at one moment, for all its environments.

    Attributes:
        values: The arrays that `observation_space` declares, each `(num_envs, *shape)`.
        reward: Reward of the transition that led here, `(num_envs,)` float32.
        terminated: This observation is the last of its episode and its world has no future, `(num_envs,)` bool.
        truncated: This observation is the last of its episode, but only for lack of time, `(num_envs,)` bool.

    After an observation that ends an episode the next one starts a new episode, whatever the action
    (Gymnasium's next-step autoreset): no observation is ever lost, and the transition between the two
    means nothing. A continual world never ends: all flags are false.
    """

    values: Mapping[str, Array]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Environments whose episode ends with this observation, `(num_envs,)`."""
        return self.terminated | self.truncated


def continual(values: Mapping[str, Array]) -> Observation:
    """An observation of a world that neither ends nor rewards."""
    num_envs = len(next(iter(values.values())))
    never = np.zeros(num_envs, dtype=np.bool_)
    return Observation(values, np.zeros(num_envs, dtype=np.float32), never, never)


class Age(NamedTuple):
    """How old an observation was when the action that answers it took effect, mean of all environments.

    Attributes:
        turns: As set by a delay; 0 where there is none.
        seconds: As measured on the wall clock.
    """

    turns: float
    seconds: float


class Environment(Component, ABC):
    """A world with `num_envs` independent copies of itself (one, if it is real).

    Attributes:
        observation_space: What one environment shows: a Dict of named Boxes.
        action_space: What one environment accepts: Discrete, MultiDiscrete or one-dimensional Box.
        num_envs: Number of copies; the leading axis of every observation and action.
        live: There is only one such world, and it continues by itself: it has no copies.
        private: It shows pictures of the user's own. Those of private and of live worlds are not sent anywhere unless
            the user says so.
        has_rewards: It pays rewards. One whose rewards are always 0 says False.
        has_episodes: Its episodes end. A world whose flags are always false says False.
        free_running: It goes on by itself, at its own rate, whatever its callers do: see `FreeRunning`.
        noop_action: The action of one environment that does nothing, canonical; None if it names none.
        own_interval: Seconds from one turn to the next if the world itself makes its callers wait for them, else
            None. Such a world must not be paced a second time: use an unpaced interaction.
        observed_at: When what the newest observation shows was true (`time.perf_counter`); None means when
            `observe` returned.
        age: The age of the observation that the action in effect answers, if the world itself knows: after
            a delay. None means that actions take effect at once.
    """

    observation_space: gymnasium.spaces.Dict
    action_space: gymnasium.Space  # type: ignore[type-arg]
    num_envs: int = 1
    live: bool = False
    private: bool = False
    has_rewards: bool = True
    has_episodes: bool = True
    free_running: bool = False
    noop_action: Sequence[float] | None = None
    own_interval: float | None = None
    observed_at: float | None = None
    age: Age | None = None

    @abstractmethod
    def observe(self) -> Observation:
        """Return what the world shows now. The arrays must not change afterwards."""

    @abstractmethod
    def affect(self, action: Array) -> None:
        """Act on the world. `action` is `(num_envs, branches)` int64, or `(num_envs, *shape)` float32 for a Box."""

    def ground_truth(self) -> Mapping[str, Array]:
        """What is true of the world now (pose, noise mask, ...): for metrics only, never for agents."""
        return {}

    def notes(self) -> list[str]:
        """Return what a user should know before a run: how observations are understood, what is left out."""
        return []

    def report(self) -> dict[str, float]:
        """Return metrics of the world itself for the records; those that depend on the wall clock as `time/...`."""
        return {}

    def summary(self) -> dict[str, float]:
        """Return final metrics for `summary.json`."""
        return {}

    def render(self) -> Array | None:
        """Return a picture of each environment for people, `(num_envs, height, width, channels)` uint8, if it has any.

        Only asked for where no observation is a picture.
        """
        return None

    def repeat_actions(self, times: int) -> bool:
        """Do each action `times` times from now on, in each environment until its episode ends.

        Called before the first observation. Returns whether this world can do that by itself.
        """
        return False

    def place(self, poses: Array) -> bool:
        """Place the agents of all environments at x, y (meters) and heading (radians), `(num_envs, 3)`, at rest.

        For measurements at fixed poses, in an environment that no agent uses. Returns whether this world
        can do that.
        """
        return False

    def stop_rendering(self) -> None:
        """Leave out pictures from now on: `affect` and the truth of poses go on, `observe` is not called any more.

        For random walks in an environment that no agent uses. Does nothing in a world whose pictures cost little.
        """

    def keyboard(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Which branches of the action a key sets to which choices, for people who want to walk about.

        Keys are named `w`, `space`, `left shift`, ... Whatever no key sets is 0.
        """
        return {}
