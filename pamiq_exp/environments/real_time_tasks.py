"""Small tasks for real-time learning, registered with Gymnasium as `pamiq_exp/...`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from numpy.typing import NDArray


class CartPoleForce(gymnasium.ActionWrapper[Any, Any, Any]):
    """CartPole whose action is a force, in [-1, 1] times 10 N, in place of a push to one side.

    Registered as `pamiq_exp/CartPoleForce-v0`.
    """

    def __init__(self, **arguments: Any) -> None:
        self._pole = CartPoleEnv(**arguments)
        super().__init__(self._pole)
        self._largest = self._pole.force_mag
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def action(self, action: NDArray[np.float32]) -> int:
        """Return the side to push to, and set how strongly."""
        force = float(action[0])
        self._pole.force_mag = self._largest * abs(force)
        return int(force >= 0)


class PixelTracker(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """A cursor that follows a target, which moves by itself.

    The target moves with a speed of about 0.5 a second, in a direction that drifts at random, and turns back at the
    edges of the square [-1, 1] x [-1, 1]. The action, in [-1, 1] x [-1, 1], is the velocity of the cursor in units of
    2 a second; a step is 0.05 seconds. The reward of a step is 1 minus the distance from cursor to target after it.

    The observation is cursor, target, and velocity of the target, `(6,)`; `render` draws a red disk (target) and a
    green one (cursor), which do not show the velocity. An episode ends after 400 steps.

    Registered as `pamiq_exp/PixelTracker-v0`.

    Args:
        render_mode: `rgb_array` or None.
        size: Height and width of the picture in pixels.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    DT = 0.05
    SPEED = 0.5
    CURSOR_SPEED = 2.0
    DRIFT = 2.0
    """Standard deviation of the change of direction in a second, in radians."""

    def __init__(self, render_mode: str | None = None, size: int = 64) -> None:
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (6,), np.float32)
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2.2 - 1.1
        self._grid = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1)
        self.cursor = np.zeros(2)
        self.target = np.zeros(2)
        self.direction = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Put cursor and target at random places."""
        super().reset(seed=seed)
        self.cursor = self.np_random.uniform(-1, 1, 2)
        self.target = self.np_random.uniform(-1, 1, 2)
        self.direction = float(self.np_random.uniform(-np.pi, np.pi))
        return self._observation(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move both for 0.05 seconds."""
        self.direction += float(self.np_random.normal(0, self.DRIFT * np.sqrt(self.DT)))
        target = self.target + self._velocity() * self.DT
        beyond = np.abs(target) > 1
        if beyond.any():
            self.direction = float(np.arctan2(*np.where(beyond, -1, 1)[::-1] * self._velocity()[::-1]))
        self.target = np.clip(target, -1, 1)
        push = np.clip(np.asarray(action, dtype=np.float64), -1, 1)
        self.cursor = np.clip(self.cursor + push * self.CURSOR_SPEED * self.DT, -1, 1)
        reward = 1.0 - float(np.hypot(*(self.cursor - self.target)))
        return self._observation(), reward, False, False, {}

    def render(self) -> NDArray[np.uint8]:
        """Return a picture, `(size, size, 3)`."""
        picture = np.zeros((*self._grid.shape[:2], 3), np.uint8)
        for channel, place in enumerate((self.target, self.cursor)):
            near = ((self._grid - place.astype(np.float32)) ** 2).sum(axis=-1) < 0.1**2
            picture[near, channel] = 255
        return picture

    def _velocity(self) -> NDArray[np.float64]:
        return self.SPEED * np.array([np.cos(self.direction), np.sin(self.direction)])

    def _observation(self) -> NDArray[np.float32]:
        return np.concatenate([self.cursor, self.target, self._velocity()]).astype(np.float32)


gymnasium.register("pamiq_exp/CartPoleForce-v0", f"{__name__}:CartPoleForce", max_episode_steps=500)
gymnasium.register("pamiq_exp/PixelTracker-v0", f"{__name__}:PixelTracker", max_episode_steps=400)
