"""Conversion of the observation spaces of Gymnasium to named arrays."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pamiq_exp.spaces import ACTION_MASK

Space: TypeAlias = "gymnasium.Space[Any]"
ImageSize: TypeAlias = "int | tuple[int, int] | None"
Reader: TypeAlias = Callable[[Any], Any]
Channels: TypeAlias = Literal["first", "last"]

_COLORS = 4
"""Most channels of a single picture: red, green, blue and opacity."""


@dataclass(frozen=True)
class Part:
    """One named part of an observation: its space, and the function that reads it from a raw observation."""

    space: spaces.Box
    read: Reader


@dataclass
class Reading:
    """How the observations of an environment are read.

    Attributes:
        parts: Named parts.
        notes: Messages for the user: how images are read, and what is left out.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def observation_parts(space: Space, image_size: ImageSize = None, channels: Channels | None = None) -> Reading:
    """Return the named parts of observations of `space`, and notes about them.

    uint8 arrays of two or more dimensions are images, `(height, width, channels)` uint8 under the name
    `image`, stacked frames becoming channels. All else becomes a float32 `vector`, as
    `gymnasium.spaces.flatten` has it: numbers as they are, choices one-hot. The parts of a Dict go by their
    keys (nested ones joined with `_`). Bounds are those that the space declares. Texts, sequences, graphs, empty
    arrays and other things without a fixed size are left out.

    Args:
        space: What one environment declares.
        image_size: Resize images to this size.
        channels: Where images have their channels; None reads it off their shape.

    Raises:
        ValueError: No part has numbers, or the channel axis of an image is not clear.
    """
    reading = Reading()
    if isinstance(space, spaces.Dict):
        for key, inner, pick in _leaves(space):
            part = _part(inner, pick, image_size, channels, key, reading.notes)
            if part is not None:
                reading.parts[_free_name(key, reading)] = part
    else:
        part = _part(space, lambda raw: raw, image_size, channels, "observation", reading.notes)
        if part is not None:
            reading.parts["image" if part.space.dtype == np.uint8 else "vector"] = part
    if not reading.parts:
        raise ValueError(f"the observation space {space} has no part that agents can read (numbers or images)")
    return reading


def picture_part(shape: tuple[int, ...], image_size: ImageSize = None) -> Part:
    """Return the part that shows a rendered picture of this shape, its channels last."""
    return _image_part(spaces.Box(0, 255, shape, np.uint8), lambda raw: raw, image_size, "last", "the picture", [])


def mismatch(space: Space, value: Any, where: str = "it") -> str | None:
    """Return in words how a raw observation differs in structure, shape or type from what `space` declares.

    None if it does not, or for spaces of other kinds. Bounds are not compared.
    """
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return _mismatch_inside(space, value, where)
    if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if isinstance(space, spaces.Discrete) and array.size == 1:
        array = array.reshape(())
    declared = f"declared {space.shape} {space.dtype}"
    if array.dtype.kind not in "biuf" or array.shape != space.shape:
        return f"{where} is {_words(value)}, {declared}"
    if np.dtype(space.dtype).kind in "iu" and array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        return f"{where} is {_words(value)} with fractions, {declared}"
    return None


def _mismatch_inside(space: Space, value: Any, where: str) -> str | None:
    prefix = "" if where == "it" else where
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping):
            return f"{where} is {_words(value)}, declared a Dict"
        if missing := [key for key in space.spaces if key not in value]:
            return f"{where} lacks '{missing[0]}'"
        inside = [(inner, value[key], f"{prefix}.{key}".lstrip(".")) for key, inner in space.spaces.items()]
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(space.spaces):
            return f"{where} is {_words(value)}, declared a tuple of {len(space.spaces)}"
        inside = [(inner, value[index], f"{prefix}[{index}]") for index, inner in enumerate(space.spaces)]
    else:
        return None
    return next((found for each in inside if (found := mismatch(*each)) is not None), None)


def _words(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.shape} {value.dtype}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value) if isinstance(value, (int, float, str, type(None))) else f"a {type(value).__name__}"


def _leaves(
    space: spaces.Dict, pick: Reader = lambda raw: raw, prefix: str = ""
) -> Iterator[tuple[str, Space, Reader]]:
    """Yield `(name, space, reader)` of all parts of a Dict, nested names joined with `_`."""
    for key, inner in space.spaces.items():
        name = prefix + _name(key)
        inner_pick = _then(pick, key)
        if isinstance(inner, spaces.Dict):
            yield from _leaves(inner, inner_pick, f"{name}_")
        else:
            yield name, inner, inner_pick


def _then(pick: Reader, key: str) -> Reader:
    return lambda raw: pick(raw)[key]


def _name(key: object) -> str:
    """Return a key as a name that configs can interpolate: letters, digits and `_`, beginning with a letter."""
    name = re.sub(r"\W", "_", str(key)).lstrip("_")
    return name if name and not name[0].isdigit() else f"part_{name}"


def _free_name(name: str, reading: Reading) -> str:
    """Return a name that no other part has: two keys may differ in characters that names cannot have."""
    free = next(each for n in itertools.count(1) if (each := name if n == 1 else f"{name}_{n}") not in reading.parts)
    if free != name:
        reading.notes.append(f"two parts of the observation would be called {name}: the second one is {free}")
    return free


def _part(
    space: Space, pick: Reader, image_size: ImageSize, channels: Channels | None, name: str, notes: list[str]
) -> Part | None:
    if 0 in (space.shape or ()):
        notes.append(f"{name} is left out: it is empty ({space})")
        return None
    if isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) >= 2 and name != ACTION_MASK:
        return _image_part(space, pick, image_size, channels, name, notes)
    if name == ACTION_MASK:
        notes.append(f"{name} marks the choices that are allowed: PPO, SAC, DQN and random actions take no others")
    elif name.endswith(ACTION_MASK):
        notes.append(f"{name} looks like an action mask, but is read as numbers: a mask has to be called {ACTION_MASK}")
    if isinstance(space, spaces.Box):
        with np.errstate(over="ignore"):  # bounds beyond float32 are none
            low, high = _flat(space.low), _flat(space.high)
        return Part(spaces.Box(low, high, dtype=np.float32), lambda raw: _flat(pick(raw)))
    try:
        size = 0 if isinstance(space, spaces.Text) else spaces.flatdim(space)
    except (NotImplementedError, ValueError):  # sequences, graphs, spaces of another package
        size = 0
    if size == 0:
        notes.append(f"{name} is left out: a {type(space).__name__} has no numbers of a fixed count")
        return None
    low, high = _flattened_bounds(space)
    return Part(spaces.Box(low, high, dtype=np.float32), lambda raw: _flat(spaces.flatten(space, pick(raw))))


def _flattened_bounds(space: Space) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the bounds of each number of a flattened space: those of its Boxes, 0 and 1 where choices are one-hot."""
    flat = spaces.flatten_space(space)
    if not isinstance(flat, spaces.Box):
        raise ValueError(f"{space} cannot be flattened")
    with np.errstate(over="ignore"):
        return _flat(flat.low), _flat(flat.high)


def _flat(value: object) -> NDArray[np.float32]:
    return np.asarray(value, dtype=np.float32).reshape(-1)


def _image_part(
    space: spaces.Box, pick: Reader, image_size: ImageSize, channels: Channels | None, name: str, notes: list[str]
) -> Part:
    arrange = _arrangement(space.shape, channels, name)
    height, width, depth = arrange(np.empty(space.shape, dtype=np.uint8)).shape
    low, high = int(space.low.min()), int(space.high.max())
    notes.append(f"{name}: {space.shape} is read as {height} x {width} pixels with {depth} channels, {low} to {high}")
    if image_size is None:
        return Part(spaces.Box(low, high, (height, width, depth), np.uint8), lambda raw: arrange(pick(raw)))
    size = (image_size, image_size) if isinstance(image_size, int) else (int(image_size[0]), int(image_size[1]))
    return Part(spaces.Box(low, high, (*size, depth), np.uint8), lambda raw: resize(arrange(pick(raw)), size))


def _arrangement(shape: tuple[int, ...], channels: Channels | None, name: str) -> Callable[[Any], NDArray[np.uint8]]:
    """Return what brings an image of `shape` into the form (height, width, channels)."""
    if len(shape) == 2:
        return lambda image: np.asarray(image)[:, :, None]
    if len(shape) == 3:
        where = channels or _channels_of(shape)
        if where is None:
            raise ValueError(
                f"{name} is an image of shape {shape}, and it is not clear which axis holds its channels: "
                "set channels to last (height, width, channels) or first (channels, height, width)"
            )
        return np.asarray if where == "last" else lambda image: np.moveaxis(np.asarray(image), 0, -1)
    if len(shape) == 4:
        inner = _arrangement(shape[1:], channels, name)
        return lambda stack: np.concatenate([inner(frame) for frame in stack], axis=-1)
    raise ValueError(f"{name} of shape {shape} has too many dimensions: (height, width, channels) or a stack of it")


def _channels_of(shape: tuple[int, ...]) -> Channels | None:
    """Return where a three-dimensional image has its channels, None if its shape does not say it.

    It does if one end alone has few entries (up to 4, or a quarter of the other sides), unless the other end is the odd
    one out beside a square; if both ends or none have few, that odd one out decides.
    """
    first, middle, last = shape
    square: Channels | None = None
    if (first == middle) != (middle == last):
        square = "last" if first == middle else "first"
    few: list[Channels] = []
    if last <= _COLORS or 4 * last <= min(first, middle):
        few.append("last")
    if first <= _COLORS or 4 * first <= min(middle, last):
        few.append("first")
    if len(few) == 1:
        return few[0] if square in (None, few[0]) else None
    return square


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize `(height, width, channels)` to `size` (height, width): area means when it shrinks, else bilinear."""
    if image.shape[:2] == size:
        return image
    from PIL import Image

    shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR

    def one(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(plane).resize((size[1], size[0]), method))

    image = np.ascontiguousarray(image)
    if image.shape[2] == 3:
        return one(image)
    return np.stack([one(np.ascontiguousarray(image[:, :, channel])) for channel in range(image.shape[2])], axis=-1)


def numeric(values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the entries of an `info` that are numbers or arrays of numbers; all others are left out."""
    found: dict[str, NDArray[Any]] = {}
    for name, value in values.items():
        if isinstance(value, (int, float, np.ndarray, np.generic, list, tuple)):
            try:
                array = np.asarray(value)
            except (ValueError, TypeError, OverflowError):  # such as lists of different lengths
                continue
            if array.dtype.kind in "biuf":
                found[str(name)] = array
    return found
