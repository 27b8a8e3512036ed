"""From the observation spaces of Gymnasium to named arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Space: TypeAlias = "gymnasium.Space[Any]"
ImageSize: TypeAlias = "int | tuple[int, int] | None"
Reader: TypeAlias = Callable[[Any], NDArray[Any]]


@dataclass(frozen=True)
class Part:
    """One named part of an observation: what it looks like, and how it is read from the raw one of one lane."""

    space: spaces.Box
    read: Reader


def observation_parts(space: Space, image_size: ImageSize = None) -> dict[str, Part]:
    """Return the parts that an observation of `space` is turned into, by name.

    uint8 arrays of two or more dimensions are images, `(height, width, channels)` uint8 under the name
    `image`, stacked frames becoming channels. All else becomes a float32 `vector`, as
    `gymnasium.spaces.flatten` has it: numbers as they are, choices one-hot. The parts of a Dict go by their
    keys (nested ones joined with `_`); texts and other things without a fixed size are left out.

    Raises:
        ValueError: Nothing is left that has numbers.
    """
    if isinstance(space, spaces.Dict):
        parts = dict(_dict_parts(space, image_size))
    else:
        part = _part(space, lambda raw: raw, image_size)
        parts = {} if part is None else {"image" if part.space.dtype == np.uint8 else "vector": part}
    if not parts:
        raise ValueError(f"the observation space {space} holds nothing that an agent can read (numbers or images)")
    return parts


def picture_part(shape: tuple[int, ...], image_size: ImageSize = None) -> Part:
    """Return the part that shows a rendered picture of this shape."""
    return _image_part(spaces.Box(0, 255, shape, np.uint8), lambda raw: raw, image_size)


def _dict_parts(space: spaces.Dict, image_size: ImageSize, prefix: str = "") -> Iterator[tuple[str, Part]]:
    for key, inner in space.spaces.items():
        name = prefix + re.sub(r"\W", "_", str(key))
        if isinstance(inner, spaces.Dict):
            for inner_name, part in _dict_parts(inner, image_size, f"{name}_"):
                yield inner_name, Part(part.space, _then(key, part.read))
        else:
            part_or_none = _part(inner, _then(key, lambda raw: raw), image_size)
            if part_or_none is not None:
                yield name, part_or_none


def _then(key: str, read: Reader) -> Reader:
    return lambda raw: read(raw[key])


def _part(space: Space, pick: Reader, image_size: ImageSize) -> Part | None:
    if isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) >= 2:
        return _image_part(space, pick, image_size)
    if isinstance(space, spaces.Box):
        flat = spaces.Box(_flat(space.low), _flat(space.high), dtype=np.float32)
        return Part(flat, lambda raw: _flat(pick(raw)))
    try:
        size = 0 if isinstance(space, spaces.Text) else spaces.flatdim(space)
    except (NotImplementedError, ValueError):  # sequences, graphs, spaces of another package
        size = 0
    if size == 0:
        return None
    low, high = (0.0, 1.0) if not isinstance(space, spaces.Tuple) else (-np.inf, np.inf)
    return Part(spaces.Box(low, high, (size,), np.float32), lambda raw: _flat(spaces.flatten(space, pick(raw))))


def _flat(value: object) -> NDArray[np.float32]:
    return np.asarray(value, dtype=np.float32).reshape(-1)


def _image_part(space: spaces.Box, pick: Reader, image_size: ImageSize) -> Part:
    arrange = _arrangement(space.shape)
    height, width, channels = arrange(np.empty(space.shape, dtype=np.uint8)).shape
    if image_size is None:
        return Part(spaces.Box(0, 255, (height, width, channels), np.uint8), lambda raw: arrange(pick(raw)))
    size = (image_size, image_size) if isinstance(image_size, int) else (int(image_size[0]), int(image_size[1]))
    shape = (*size, channels)
    return Part(spaces.Box(0, 255, shape, np.uint8), lambda raw: resize(arrange(pick(raw)), size))


def _arrangement(shape: tuple[int, ...]) -> Callable[[Any], NDArray[np.uint8]]:
    """Return what brings an image of `shape` into the form (height, width, channels)."""
    if len(shape) == 2:
        return lambda image: np.asarray(image)[:, :, None]
    if len(shape) == 3:
        # Of the two candidates the channels are fewer than the pixels of a side, and last where both fit.
        return np.asarray if shape[-1] <= shape[0] else lambda image: np.moveaxis(image, 0, -1)
    if len(shape) == 4:
        inner = _arrangement(shape[1:])
        return lambda stack: np.concatenate([inner(frame) for frame in stack], axis=-1)
    raise ValueError(f"an image of shape {shape} has too many dimensions: (height, width, channels) or a stack of it")


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
    """Return the entries of an `info` that are numbers or arrays of numbers."""
    arrays = {name: np.asarray(value) for name, value in values.items() if not isinstance(value, (str, bytes))}
    return {name: array for name, array in arrays.items() if array.dtype.kind in "biuf"}
