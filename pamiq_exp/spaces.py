"""Plain descriptions of Gymnasium spaces.

A config cannot hold a Gymnasium space, so the environment's spaces are described once as plain data
and everything that needs a shape reads it from there: `${spaces.observation.image.shape}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import gymnasium
import numpy as np

ACTION_MASK = "action_mask"
"""The part of an observation that marks allowed choices: a number for each choice of each branch, 1 or 0."""


class ArraySpec(TypedDict):
    """Shape and numpy dtype of one array, without environments and time, and its declared bounds.

    `low` and `high` bound all its numbers. A vector whose numbers have bounds of their own has them in `lows` and
    `highs`.
    """

    shape: list[int]
    dtype: str
    low: NotRequired[float]
    high: NotRequired[float]
    lows: NotRequired[list[float]]
    highs: NotRequired[list[float]]


class ActionSpec(TypedDict):
    """What an agent may do.

    `kind` is `discrete`, `multi_discrete` or `box`. `shape` and `dtype` describe the array that agents
    and buffers exchange: always one axis of branches for the discrete kinds, so `discrete` is a
    `multi_discrete` with one branch. `nvec` holds the number of choices of each branch.
    """

    kind: str
    shape: list[int]
    dtype: str
    nvec: NotRequired[list[int]]
    low: NotRequired[list[float]]
    high: NotRequired[list[float]]


class SpacesDescription(TypedDict):
    """All that a config needs to know of an environment: `${spaces...}`."""

    observation: dict[str, ArraySpec]
    action: ActionSpec
    num_envs: int


@dataclass(frozen=True)
class UnsupportedSpaceError(Exception):
    """An environment declares a space that agents cannot use; the message says what would do."""

    message: str

    def __str__(self) -> str:
        return self.message


def describe_array(space: gymnasium.Space) -> ArraySpec:  # type: ignore[type-arg]
    """Describe one part of an observation. Raises UnsupportedSpaceError for anything but a Box."""
    if not isinstance(space, gymnasium.spaces.Box):
        raise UnsupportedSpaceError(
            f"an observation part is {space}; use Box (the Gymnasium adapter turns Discrete parts into one-hot Boxes)"
        )
    spec = ArraySpec(
        shape=[int(size) for size in space.shape],
        dtype=str(space.dtype),
        low=float(np.min(space.low)),
        high=float(np.max(space.high)),
    )
    if len(space.shape) == 1 and ((space.low != np.min(space.low)).any() or (space.high != np.max(space.high)).any()):
        spec["lows"] = [float(bound) for bound in space.low]
        spec["highs"] = [float(bound) for bound in space.high]
    return spec


def describe_action(space: gymnasium.Space) -> ActionSpec:  # type: ignore[type-arg]
    """Describe an action space. Raises UnsupportedSpaceError for anything but the three known kinds."""
    if isinstance(space, gymnasium.spaces.Discrete):
        if int(space.start) != 0:
            raise UnsupportedSpaceError(f"{space} must start at 0")
        return ActionSpec(kind="discrete", shape=[1], dtype="int64", nvec=[int(space.n)])
    if isinstance(space, gymnasium.spaces.MultiDiscrete) and space.nvec.ndim == 1:
        nvec = [int(n) for n in space.nvec]
        return ActionSpec(kind="multi_discrete", shape=[len(nvec)], dtype="int64", nvec=nvec)
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return ActionSpec(
            kind="box",
            shape=[int(size) for size in space.shape],
            dtype="float32",
            low=[float(value) for value in space.low],
            high=[float(value) for value in space.high],
        )
    raise UnsupportedSpaceError(
        f"the action space is {space}; use Discrete, a one-dimensional MultiDiscrete or a one-dimensional Box"
    )


def describe_spaces(
    observation: gymnasium.spaces.Dict,
    action: gymnasium.Space,  # type: ignore[type-arg]
    num_envs: int,
) -> SpacesDescription:
    """Describe what one environment observes and does, and how many environments there are."""
    return SpacesDescription(
        observation={name: describe_array(part) for name, part in observation.spaces.items()},
        action=describe_action(action),
        num_envs=int(num_envs),
    )


def observation_space_of(parts: Mapping[str, ArraySpec]) -> gymnasium.spaces.Dict:
    """Return the space that the parts of an observation describe: the reverse of `describe_array`."""
    return gymnasium.spaces.Dict({name: _box_of(spec) for name, spec in parts.items()})


def action_space_of(spec: ActionSpec) -> gymnasium.Space:  # type: ignore[type-arg]
    """Return the space that a description of actions stands for: the reverse of `describe_action`."""
    if spec["kind"] == "discrete":
        return gymnasium.spaces.Discrete(spec["nvec"][0])
    if spec["kind"] == "multi_discrete":
        return gymnasium.spaces.MultiDiscrete(spec["nvec"])
    low, high = np.array(spec["low"], np.float32), np.array(spec["high"], np.float32)
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def _box_of(spec: ArraySpec) -> gymnasium.spaces.Box:
    shape, dtype = tuple(spec["shape"]), np.dtype(spec["dtype"])
    low = np.asarray(spec.get("lows", spec.get("low", -np.inf)), dtype)
    high = np.asarray(spec.get("highs", spec.get("high", np.inf)), dtype)
    return gymnasium.spaces.Box(np.broadcast_to(low, shape), np.broadcast_to(high, shape), shape, dtype.type)


def flatten_specs(fields: Mapping[str, object], prefix: str = "") -> dict[str, ArraySpec]:
    """Flatten nested field descriptions into dotted names.

    `{"observation": {"image": spec}, "reward": spec}` becomes `{"observation.image": spec, "reward": spec}`.
    A mapping with a list of sizes as `shape` is a description, any other mapping a group.
    """
    flat: dict[str, ArraySpec] = {}
    for name, value in fields.items():
        address = f"{prefix}{name}"
        if not isinstance(value, Mapping):
            raise TypeError(f"field {address} must be a mapping with shape and dtype, not {value!r}")
        if "shape" in value and not isinstance(value["shape"], Mapping):  # a field may be called shape
            flat[address] = ArraySpec(
                shape=[int(size) for size in value["shape"]], dtype=str(value.get("dtype", "float32"))
            )
            flat[address].update(_bounds(value))
        else:
            flat |= flatten_specs(value, f"{address}.")
    return flat


def _bounds(field: Mapping[str, Any]) -> ArraySpec:
    """The declared bounds in the description of a field; none for an action, whose numbers have other keys."""
    bounds: dict[str, Any] = {
        name: float(field[name]) for name in ("low", "high") if isinstance(field.get(name), (int, float))
    }
    for name in ("lows", "highs"):
        if field.get(name) is not None:
            bounds[name] = [float(bound) for bound in field[name]]
    return cast(ArraySpec, bounds)


LARGEST_BOUND = 1e8
"""Bounds of at least this size (the largest float, say) stand for none."""


def are_bounds(low: float, high: float) -> bool:
    """Whether numbers from `low` to `high` have a scale: both are declared, finite, different, and not huge."""
    return low < high and max(abs(low), abs(high)) < LARGEST_BOUND
