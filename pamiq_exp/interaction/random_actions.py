"""Actions drawn at random from an action space."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import Component, State
from pamiq_exp.interaction.environment import Array
from pamiq_exp.seeding import numpy_generator
from pamiq_exp.spaces import ActionSpec


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

    def draw(self) -> Array:
        """Return the next actions: `(num_envs, branches)` int64, or `(num_envs, *shape)` float32 for a Box."""
        action = self._draw_new()
        if self._last is not None and self._stickiness:
            repeat = self._generator.random(self._num_envs) < self._stickiness
            action[repeat] = self._last[repeat]
        self._last = action
        return action

    def state(self) -> State:
        """The actions that may be repeated; the generator is saved by the walker."""
        return {} if self._last is None else {"last": self._last}

    def load_state(self, state: State) -> None:
        """Restore the actions that may be repeated."""
        self._last = state["last"]

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
