"""Actions drawn at random from an action space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.interaction.environment import Array
from pamiq_exp.seeding import numpy_generator
from pamiq_exp.spaces import ACTION_MASK, ActionSpec


class RandomActions(Component):
    """A stream of uniformly random actions for all environments.

    A Box is drawn uniformly between its bounds; a number without finite bounds from the standard normal distribution.

    Args:
        action: The action space.
        num_envs: Actions in one draw.
        seed: Of its own generator.
        stickiness: Probability that an environment repeats its last action instead: long walks instead of trembling.
    """

    def __init__(self, action: ActionSpec, num_envs: int, seed: int, stickiness: float = 0.0) -> None:
        if not 0 <= stickiness < 1:
            raise ValueError(f"stickiness must be from 0 to below 1, not {stickiness}")
        self._action = action
        self._num_envs = int(num_envs)
        self._stickiness = float(stickiness)
        self._generator = numpy_generator(seed)
        self._last: Array | None = None

    def draw(self, mask: Array | None = None) -> Array:
        """Return the next actions: `(num_envs, branches)` int64, or `(num_envs, *shape)` float32 for a Box.

        Args:
            mask: The part `action_mask` of the observation, `(num_envs, choices of all branches)`: only choices that
                are 1 are drawn or repeated. A branch that allows none, at the end of an episode, allows all.

        Raises:
            ValueError: For a mask of another shape.
        """
        nvec = self._action.get("nvec")
        allowed = None if mask is None or not nvec else self._allowed(mask, nvec)
        action = self._draw_new() if allowed is None else self._draw_allowed(allowed)
        if self._last is not None and self._stickiness:
            repeat = self._generator.random(self._num_envs) < self._stickiness
            if allowed is not None:
                each = np.arange(self._num_envs)
                for branch, choices in enumerate(allowed):
                    repeat &= choices[each, self._last[:, branch]]
            action[repeat] = self._last[repeat]
        self._last = action
        return action

    def state(self) -> State:
        """The actions that may be repeated; the generator is saved by the walker."""
        return {} if self._last is None else {"last": self._last}

    def load_state(self, state: State) -> None:
        """Restore the actions that may be repeated."""
        self._last = state["last"]

    def _allowed(self, mask: Array, nvec: Sequence[int]) -> list[NDArray[np.bool_]]:
        """Which choices of each branch are allowed, `(num_envs, choices)` each."""
        if mask.shape != (self._num_envs, sum(nvec)):
            raise ValueError(
                f"'{ACTION_MASK}' has the shape {list(mask.shape[1:])}, expected [{sum(nvec)}], a number a choice"
            )
        branches = np.split(mask > 0.5, np.cumsum(nvec)[:-1], axis=1)
        return [branch | ~branch.any(axis=1, keepdims=True) for branch in branches]

    def _draw_allowed(self, allowed: list[NDArray[np.bool_]]) -> Array:
        chances = [np.where(choices, self._generator.random(choices.shape), -1.0) for choices in allowed]
        return np.stack([chance.argmax(axis=1) for chance in chances], axis=1)

    def _draw_new(self) -> Array:
        if self._action["kind"] != "box":
            nvec = self._action["nvec"]
            return self._generator.integers(0, nvec, size=(self._num_envs, len(nvec)), dtype=np.int64)
        low, high = np.asarray(self._action["low"]), np.asarray(self._action["high"])
        bounded = np.isfinite(low) & np.isfinite(high)
        uniform = self._generator.random((self._num_envs, len(low)))
        normal = self._generator.standard_normal((self._num_envs, len(low)))
        start, width = np.where(bounded, low, 0.0), np.where(bounded, high - low, 0.0)
        return np.where(bounded, start + uniform * width, normal).astype(np.float32)
