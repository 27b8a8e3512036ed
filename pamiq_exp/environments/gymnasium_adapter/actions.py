"""Conversion of actions to the action spaces of Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pamiq_exp.environments.gymnasium_adapter.observations import Space
from pamiq_exp.spaces import UnsupportedSpaceError, describe_action

LARGEST_WHOLE = 2**24
"""Largest whole number up to which float32, in which agents act, has every one."""


@dataclass(frozen=True)
class ActionMap:
    """The action space that agents see, and the conversion of their actions to the environment's own.

    Attributes:
        space: Discrete, MultiDiscrete or one-dimensional Box, starting at 0.
        native: Converts the action of one environment, `(branches,)` int64 or `(n,)` float32.
        notes: Messages for the user about the conversion.
    """

    space: Space
    native: Callable[[NDArray[Any]], Any]
    notes: tuple[str, ...] = ()


def action_map(space: Space) -> ActionMap:
    """Return the action map of a space.

    Discrete numbers may start anywhere, MultiBinary is MultiDiscrete with two choices each, arrays of more
    than one dimension are flattened, and what goes into a Box is clipped to its bounds, and rounded if the Box holds
    whole numbers.

    Raises:
        ValueError: For spaces that mix kinds (Dict, Tuple, Text, ...), empty ones, and whole numbers without usable
            bounds.
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
        return _box_map(space)
    try:
        describe_action(space)
    except UnsupportedSpaceError as error:
        raise ValueError(f"{error}. A wrapper can convert it: environment.wrappers") from error
    raise AssertionError("describe_action refuses every other space")


def _box_map(space: spaces.Box) -> ActionMap:
    low, high = np.ravel(space.low).astype(np.float64), np.ravel(space.high).astype(np.float64)
    shape, dtype = space.shape, np.dtype(space.dtype)
    if low.size == 0:
        raise ValueError(f"the action space {space} is empty: it has no actions")
    if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise ValueError(f"the action space {space} has invalid bounds: low above high, or NaN")
    if dtype.kind in "iu" and max(-low.min(), high.max()) > LARGEST_WHOLE:
        raise ValueError(
            f"the action space {space} holds whole numbers from {low.min():g} to {high.max():g}; agents act in "
            f"float32, which has no exact ones beyond {LARGEST_WHOLE}: declare narrower bounds, or wrap the "
            "environment (gymnasium.wrappers.RescaleAction)"
        )
    with np.errstate(over="ignore"):  # bounds beyond float32 are none
        flat = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
    if dtype.kind == "f":
        return ActionMap(flat, lambda row: np.clip(row, low, high).astype(dtype).reshape(shape))
    note = f"actions are rounded to whole numbers: {space}"
    return ActionMap(flat, lambda row: np.clip(np.rint(row), low, high).astype(dtype).reshape(shape), (note,))
