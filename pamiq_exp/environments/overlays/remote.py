"""Action spaces with an additional button."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


def with_button(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Return an action space with a button: one more choice of a Discrete, one more branch or dimension of others.

    Raises:
        ValueError: For spaces that are neither Discrete, MultiDiscrete nor a one-dimensional Box.
    """
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n) + 1, start=int(space.start))
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return spaces.MultiDiscrete([*space.nvec, 2], start=[*space.start, 0])
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        low, high = np.append(space.low, -1), np.append(space.high, 1)
        return spaces.Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type)
    raise ValueError(f"{space} has no room for a button: use Discrete, MultiDiscrete or a one-dimensional Box")


def without_button(space: gymnasium.Space[Any], action: Any, idle: int) -> tuple[Any, bool]:
    """Take the button out of an action of `with_button(space)`.

    Args:
        space: The space without the button.
        action: One of the space with it.
        idle: What a Discrete space does while its button is pressed, which takes the place of all else.

    Returns:
        The action of `space`, and whether the button is pressed (in a Box: above 0).
    """
    if isinstance(space, spaces.Discrete):
        pressed = int(action) == int(space.start) + int(space.n)
        return (idle if pressed else action), pressed
    return action[:-1], bool(action[-1] > 0)
