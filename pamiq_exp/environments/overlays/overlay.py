"""Base class of pixel overlays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

Env = gymnasium.Env[Any, Any]
Frame = NDArray[np.uint8]
Info = dict[str, Any]

SMALLEST = 8
"""Pixels a side below which an image is taken for symbols, such as those of MiniGrid."""


class PixelOverlay(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs, ABC):
    """Base class of wrappers that cover a part of the picture with noise.

    The noise covers the picture among the observations, and what `render` returns where that is a picture. It is
    drawn from a generator of its own, seeded by `reset(seed=...)`: the world lives as it does without noise.
    `info["noise_mask"]` says which pixels of the observed picture show noise (height, width).

    A subclass calls `RecordConstructorArgs.__init__` with its arguments first, so that `env.spec` can remake it.

    Args:
        env: An environment that shows pictures: uint8, height x width, with or without channels (last).
        key: The picture's name, if observations are a Dict; None takes the first picture.

    Raises:
        ValueError: It neither observes nor renders pictures.
    """

    def __init__(self, env: Env, key: str | None = None) -> None:
        gymnasium.Wrapper.__init__(self, env)
        self._key, self._observes = _find_picture(env.observation_space, key)
        if not self._observes and env.render_mode != "rgb_array":
            raise ValueError(
                f"{type(self).__name__} finds no picture in {env.observation_space}. Symbols can be turned into "
                "pixels by another wrapper before this one (minigrid.wrappers.RGBImgPartialObsWrapper); an "
                "environment that only renders needs render_mode=rgb_array (render_as_observation=true)"
            )
        self._noise_random: np.random.Generator | None = None
        self._draw: int | None = None

    @abstractmethod
    def cover(self, picture: Frame, random: np.random.Generator | None) -> NDArray[np.bool_]:
        """Paint the noise of this moment over a picture, and return which pixels it covers.

        Args:
            picture: `(height, width, channels)`, changed in place.
            random: Always in the same state until the noise is redrawn; None before the first draw.

        Returns:
            `(height, width)`.
        """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """Reset the environment; a seed seeds the noise, too."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None or self._noise_random is None:
            self._noise_random, _ = seeding.np_random(seed)
        self.begin()
        return self._shown(observation, info)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, Info]:
        """Step the environment and draw new noise."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.redraw()
        shown, new_info = self._shown(observation, info)
        return shown, reward, terminated, truncated, new_info

    def render(self) -> Any:
        """Return what the environment renders, covered if it is a picture."""
        frame = self.env.render()
        if isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.dtype == np.uint8:
            frame = frame.copy()
            self.cover(frame, self._random_of_this_draw())
        return frame

    def begin(self) -> None:
        """Called when an episode begins."""
        self.redraw()

    def redraw(self) -> None:
        """Let the noise change."""
        assert self._noise_random is not None, "reset the environment before its first step"
        self._draw = int(self._noise_random.integers(2**63))

    def _random_of_this_draw(self) -> np.random.Generator | None:
        return None if self._draw is None else np.random.default_rng(self._draw)

    def _shown(self, observation: Any, info: Info) -> tuple[Any, Info]:
        if not self._observes:
            return observation, info
        picture = np.array(observation if self._key is None else observation[self._key])
        mask = self.cover(picture if picture.ndim == 3 else picture[..., None], self._random_of_this_draw())
        before = info.get("noise_mask")
        new_info = info | {"noise_mask": mask if before is None else mask | before}
        return (picture if self._key is None else {**observation, self._key: picture}), new_info


def _find_picture(space: gymnasium.Space[Any], key: str | None) -> tuple[str | None, bool]:
    """Return the key of the picture in a space (None: the space itself), and whether there is one."""
    if key is not None:
        if not isinstance(space, spaces.Dict) or not _is_picture(space.spaces.get(key)):
            raise ValueError(f"there is no picture '{key}' in {space}")
        return key, True
    if isinstance(space, spaces.Dict):
        first = next((name for name, part in space.spaces.items() if _is_picture(part)), None)
        return first, first is not None
    return None, _is_picture(space)


def _is_picture(space: gymnasium.Space[Any] | None) -> bool:
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3):
        return False
    return min(space.shape[:2]) >= SMALLEST and (len(space.shape) == 2 or space.shape[2] <= 4)
