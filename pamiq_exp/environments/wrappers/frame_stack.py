"""A wrapper that shows the newest observations together."""

from __future__ import annotations

import gymnasium
import numpy as np

from pamiq_exp.component import State
from pamiq_exp.environments.wrappers.wrapper import EnvironmentWrapper
from pamiq_exp.interaction.environment import Array, Environment, Observation
from pamiq_exp.spaces import ACTION_MASK


class FrameStack(EnvironmentWrapper):
    """Shows the newest observations of an episode as one, along the last axis: channels of images, numbers of vectors.

    The oldest comes first. At the start of an episode, its first observation stands for those before it. Action masks
    are shown as they are. Source: Mnih et al. 2015, Human-level control through deep reinforcement learning.

    Args:
        environment: What is observed.
        frames: How many observations.

    Raises:
        ValueError: For less than one observation.
    """

    def __init__(self, environment: Environment, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"frame_stack must be at least 1, not {frames}")
        super().__init__(environment)
        self._count = frames
        parts = dict(environment.observation_space.spaces)
        self._names = [name for name in parts if name != ACTION_MASK]
        self.observation_space = gymnasium.spaces.Dict(
            {name: self._stacked(part) if name in self._names else part for name, part in parts.items()}
        )
        self._frames: dict[str, Array] = {}
        """The newest observations of each part, `(frames, num_envs, *shape)`."""
        self._begins = np.ones(self.num_envs, dtype=np.bool_)
        self._before = self._frames, self._begins
        """Both before the current observation."""
        self._current: Observation | None = None

    def _stacked(self, space: gymnasium.Space) -> gymnasium.Space:  # type: ignore[type-arg]
        assert isinstance(space, gymnasium.spaces.Box)
        low, high = (np.concatenate([bound] * self._count, axis=-1) for bound in (space.low, space.high))
        return gymnasium.spaces.Box(low, high, dtype=space.dtype.type)

    def observe(self) -> Observation:
        """See `Environment`."""
        if self._current is None:
            seen = super().observe()
            self._before = self._frames, self._begins
            self._frames = {name: self._with(name, np.asarray(seen.values[name])) for name in self._names}
            self._begins = seen.ended.copy()
            stacked = {name: np.concatenate(list(frames), axis=-1) for name, frames in self._frames.items()}
            self._current = Observation({**seen.values, **stacked}, seen.reward, seen.terminated, seen.truncated)
        return self._current

    def affect(self, action: Array) -> None:
        """See `Environment`."""
        self.observe()  # one that was not looked at is part of the next ones
        super().affect(action)
        self._current = None

    def _with(self, name: str, newest: Array) -> Array:
        """Return the frames of a part with the newest observation."""
        before = self._frames.get(name)
        if before is None:
            before = np.zeros((self._count, *newest.shape), newest.dtype)
        frames = np.concatenate([before[1:], newest[None]])
        frames[:, self._begins] = newest[self._begins]
        return frames

    def state(self) -> State:
        """The observations before the current one, which the environment shows again after a resume."""
        frames, begins = (self._frames, self._begins) if self._current is None else self._before
        return {"frames": dict(frames), "begins": begins}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._frames = {name: np.array(frames) for name, frames in state["frames"].items()}
        self._begins = np.array(state["begins"], dtype=np.bool_)
        self._current = None
