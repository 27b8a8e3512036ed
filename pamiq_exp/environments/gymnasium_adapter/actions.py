"""From what agents do to the action spaces of Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pamiq_exp.environments.gymnasium_adapter.observations import Space
from pamiq_exp.spaces import UnsupportedSpaceError, describe_action


@dataclass(frozen=True)
class ActionMap:
    """What agents are told of an action space, and how their actions are turned into its own.

    Attributes:
        space: Discrete, MultiDiscrete or one-dimensional Box, starting at 0.
        native: Turns the action of one lane, `(branches,)` int64 or `(n,)` float32, into one of the space.
    """

    space: Space
    native: Callable[[NDArray[Any]], Any]


def action_map(space: Space) -> ActionMap:
    """Return the action map of a space.

    Discrete numbers may start anywhere, MultiBinary is MultiDiscrete with two choices each, arrays of more
    than one dimension are flattened, and what goes into a Box is clipped to its bounds.

    Raises:
        ValueError: For spaces that mix kinds (Dict, Tuple, Text, ...).
    """
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return ActionMap(spaces.Discrete(int(space.n)), lambda row: int(row[0]) + start)
    if isinstance(space, spaces.MultiDiscrete):
        starts, shape, dtype = np.ravel(space.start), space.shape, space.dtype
        return ActionMap(
            spaces.MultiDiscrete(np.ravel(space.nvec)), lambda row: (row + starts).reshape(shape).astype(dtype)
        )
    if isinstance(space, spaces.MultiBinary):
        shape = space.shape
        choices = np.full(int(np.prod(shape)), 2)
        return ActionMap(spaces.MultiDiscrete(choices), lambda row: row.reshape(shape).astype(np.int8))
    if isinstance(space, spaces.Box):
        low, high, shape, dtype = np.ravel(space.low), np.ravel(space.high), space.shape, space.dtype
        flat = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        return ActionMap(flat, lambda row: np.clip(row, low, high).reshape(shape).astype(dtype))
    try:
        describe_action(space)
    except UnsupportedSpaceError as error:
        raise ValueError(str(error)) from error
    raise AssertionError("describe_action refuses every other space")
