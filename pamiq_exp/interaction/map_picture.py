"""Pictures for people: observations as RGB, enlarged, and a map with the agent's path."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.interaction.environment import Array

Frame = NDArray[np.uint8]

WALL, FLOOR, TRAIL, OTHERS, AGENT = (34, 36, 44), (222, 222, 214), (160, 186, 232), (128, 132, 140), (214, 60, 48)
"""Colors of the map."""

WIDEST = 4
"""Largest ratio of width to height of a view in a video."""


def picture_key(values: Mapping[str, Array]) -> str | None:
    """Return the name of the first picture among observations, `(num_envs, height, width, channels)` uint8.

    Those with one, three or four channels come first; other numbers of channels are stacks of pictures.
    """
    pictures = [name for name, value in values.items() if value.dtype == np.uint8 and value.ndim == 4]
    single = [name for name in pictures if values[name].shape[-1] in (1, 3, 4)]
    return next(iter([*single, *pictures]), None)


def picture(pixels: Array) -> Frame:
    """Return `(height, width, channels)` pixels as `(height, width, 3)`.

    Opacity is left out, and of stacked pictures the last one is shown: its three channels if their number is a
    multiple of three, else its only one.
    """
    channels = pixels.shape[-1]
    if channels == 4 and (pixels[..., 3] == 255).all():
        pixels = pixels[..., :3]
    pixels = pixels[..., -3:] if pixels.shape[-1] % 3 == 0 else pixels[..., -1:]
    shown: Frame = pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=-1)
    return shown


def fitted(pixels: Frame, height: int) -> Frame:
    """Return a picture in a film of this height: enlarged by the largest whole number that fits, or shrunk as a whole.

    It is at most four times as wide as the film is high.
    """
    factor = min(height // pixels.shape[0], WIDEST * height // pixels.shape[1])
    if factor >= 1:
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    from PIL import Image

    scale = min(height / pixels.shape[0], WIDEST * height / pixels.shape[1])
    size = max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1)
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX))


class MapPicture:
    """A map seen from above, with the path of an agent.

    Args:
        reachable: Which cells can be walked on, `(rows, columns)` bool.
        cell: Side of a cell in meters.
        size: Pixels a side.
    """

    def __init__(self, reachable: NDArray[np.bool_], cell: float, size: int) -> None:
        rows, columns = reachable.shape
        scale = max(size // max(rows, columns), 1)
        shown = np.where(reachable[..., None], np.array(FLOOR), np.array(WALL)).astype(np.uint8)
        shown = shown.repeat(scale, axis=0).repeat(scale, axis=1)[:size, :size]
        self._top, self._left = (size - shown.shape[0]) // 2, (size - shown.shape[1]) // 2
        self._picture = np.empty((size, size, 3), dtype=np.uint8)
        self._picture[:] = WALL
        self._picture[self._top : self._top + shown.shape[0], self._left : self._left + shown.shape[1]] = shown
        self._pixels_per_meter = scale / cell
        self._size = size

    def walk(self, pose: NDArray[np.float64]) -> None:
        """Add a pose (x, y, ...) to the path."""
        self._dot(self._picture, float(pose[0]), float(pose[1]), 1, TRAIL)

    def draw(self, area: Frame, poses: NDArray[np.float64], env: int) -> None:
        """Draw the map and all agents into `area`; that of environment `env` with its heading."""
        area[:] = self._picture
        for index, pose in enumerate(poses):
            if index != env:
                self._dot(area, float(pose[0]), float(pose[1]), 2, OTHERS)
        x, y, heading = (float(value) for value in poses[env, :3])
        for side in (-math.pi / 6, 0.0, math.pi / 6):
            for step in range(1, 9):
                reach = 0.25 * step
                place = x + reach * math.cos(heading + side), y + reach * math.sin(heading + side)
                self._dot(area, *place, 1 if side == 0.0 else 0, AGENT)
        self._dot(area, x, y, 4, AGENT)

    def _dot(self, area: Frame, x: float, y: float, radius: int, color: tuple[int, int, int]) -> None:
        column = self._left + int(x * self._pixels_per_meter)
        row = self._top + int(y * self._pixels_per_meter)
        if 0 <= row < self._size and 0 <= column < self._size:
            area[
                max(row - radius, 0) : row + radius + 1,
                max(column - radius, 0) : column + radius + 1,
            ] = color
