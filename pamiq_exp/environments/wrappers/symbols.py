"""Pictures of symbols, such as MiniGrid's, as one-hot planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray


class OneHotSymbols(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Turns each channel of a picture of symbols into one plane per symbol, declared from 0 to 1.

    Numbers of symbols (key 5, door 4) have no order, and a picture of them is declared as brightness up to 255. The
    defaults are MiniGrid's: 11 objects, 6 colors and 3 states of doors.

    Args:
        env: An environment whose observation is a Dict with the picture.
        counts: Number of symbols of each channel.
        key: Name of the picture, `(height, width, channels)`.

    Raises:
        ValueError: The picture has another number of channels.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], counts: Sequence[int] = (11, 6, 3), key: str = "image") -> None:
        super().__init__(env)
        parts = env.observation_space
        picture = parts.spaces.get(key) if isinstance(parts, gymnasium.spaces.Dict) else None
        shape = () if picture is None or picture.shape is None else picture.shape
        if len(shape) != 3 or shape[2] != len(counts):
            raise ValueError(f"OneHotSymbols needs a picture '{key}' with {len(counts)} channels, not {parts}")
        assert isinstance(parts, gymnasium.spaces.Dict)
        self.key = key
        self._rows = [np.eye(count, dtype=np.uint8) for count in counts]
        planes = gymnasium.spaces.Box(0, 1, (*shape[:2], sum(counts)), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({**parts.spaces, key: planes})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Return the observation with the planes in place of the picture."""
        symbols: NDArray[np.uint8] = observation[self.key]
        planes = [rows[symbols[..., channel]] for channel, rows in enumerate(self._rows)]
        return {**observation, self.key: np.concatenate(planes, axis=-1)}
