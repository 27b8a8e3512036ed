"""Actions of the noise world and their meanings.

In every branch with a right and a left, 1 is right and 2 is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import compiled
from pamiq_exp.environments.noise_world.options import one_of

FORWARD, STRAFE, TURN, JUMP, RUN, REMOTE = range(6)
"""Columns of a command: forward, to the right and clockwise as -1, 0 or 1; jump, run, remote as 0 or 1."""

SIGNS = np.array([0, 1, -1])
ACTION_SETS = ("branches", "masked", "discrete")

DISCRETE = (
    ("nothing", ()),
    ("forward", ((FORWARD, 1),)),
    ("back", ((FORWARD, -1),)),
    ("turn right", ((TURN, 1),)),
    ("turn left", ((TURN, -1),)),
    ("strafe right", ((STRAFE, 1),)),
    ("strafe left", ((STRAFE, -1),)),
    ("remote", ((REMOTE, 1),)),
)


KEYS = (
    ("w", FORWARD, 1, "forward"),
    ("s", FORWARD, 2, "back"),
    ("d", STRAFE, 1, "strafe right"),
    ("a", STRAFE, 2, "strafe left"),
    ("right", TURN, 1, "turn right"),
    ("left", TURN, 2, "turn left"),
    ("space", JUMP, 1, ""),
    ("left shift", RUN, 1, ""),
    ("r", REMOTE, 1, "remote"),
)
"""Keys for playing: key, branch, choice, and the name of the same discrete action."""


@dataclass(frozen=True)
class ActionSet:
    """An action space of the noise world, and what its actions mean.

    `branches` is [forward/back, strafe, turn, jump, run] with [3, 3, 3, 2, 2] choices, `masked` the same with
    [3, 3, 3, 1, 1] (no jump, no run), `discrete` one choice of nothing, forward, back, turn right, turn left,
    strafe right, strafe left. Where the noise has a remote control, the branches get one more and the
    discrete set one more choice.
    """

    kind: str
    remote: bool = False

    def __post_init__(self) -> None:
        one_of(self.kind, ACTION_SETS, "environment.actions")

    @property
    def space(self) -> gymnasium.spaces.MultiDiscrete | gymnasium.spaces.Discrete:
        if self.kind == "discrete":
            return gymnasium.spaces.Discrete(len(DISCRETE) - (not self.remote))
        buttons = [2, 2] if self.kind == "branches" else [1, 1]
        return gymnasium.spaces.MultiDiscrete([3, 3, 3, *buttons, *([2] if self.remote else [])])

    @cached_property
    def choices(self) -> NDArray[np.int64]:
        """Number of choices of each branch."""
        space = self.space
        return np.array([space.n]) if isinstance(space, gymnasium.spaces.Discrete) else space.nvec

    def check(self, action: NDArray[np.int64], num_envs: int) -> None:
        """Raise ValueError unless `action` is `(num_envs, branches)` and each of its numbers is a choice."""
        choices = self.choices
        if action.shape == (num_envs, choices.size) and are_choices(action, choices):
            return
        raise ValueError(
            f"an action must have the shape {(num_envs, choices.size)}, with less than {choices.tolist()} in its "
            f"branches, but this one is {action.tolist()}"
        )

    def keyboard(self) -> dict[str, list[tuple[int, int]]]:
        """Return which branches each key sets to which choices, see `Environment.keyboard`."""
        if self.kind == "discrete":
            names = [name for name, _ in DISCRETE[: int(self.choices[0])]]
            return {key: [(0, names.index(name))] for key, _, _, name in KEYS if name in names}
        return {
            key: [(branch, choice)]
            for key, branch, choice, _ in KEYS
            if branch < self.choices.size and choice < self.choices[branch]
        }

    @cached_property
    def meanings(self) -> NDArray[np.int64]:
        """What each choice of each branch adds to a command, `(branches, choices, 6)`."""
        meanings = np.zeros((self.choices.size, int(self.choices.max()), 6), dtype=np.int64)
        if self.kind == "discrete":
            for choice, (_, parts) in enumerate(DISCRETE[: int(self.choices[0])]):
                for column, value in parts:
                    meanings[0, choice, column] = value
            return meanings
        for branch, choices in enumerate(self.choices):
            meanings[branch, :choices, branch] = (SIGNS if branch < JUMP else np.arange(3))[:choices]
        return meanings

    def commands(self, action: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn `(num_envs, branches)` actions into `(num_envs, 6)` commands."""
        commands = np.empty((action.shape[0], 6), dtype=np.int64)
        obey(action, self.meanings, commands)
        return commands


@compiled
def are_choices(actions: NDArray[np.int64], choices: NDArray[np.int64]) -> bool:
    """Return whether all numbers of actions, `(num_envs, branches)`, are choices of their branches."""
    for env in range(actions.shape[0]):
        for branch in range(actions.shape[1]):
            if not 0 <= actions[env, branch] < choices[branch]:
                return False
    return True


@compiled
def obey(actions: NDArray[np.int64], meanings: NDArray[np.int64], commands: NDArray[np.int64]) -> None:
    """Write the commands `(num_envs, 6)` of actions `(num_envs, branches)`."""
    for env in range(actions.shape[0]):
        commands[env] = 0
        for branch in range(actions.shape[1]):
            for column in range(commands.shape[1]):
                commands[env, column] += meanings[branch, actions[env, branch], column]
