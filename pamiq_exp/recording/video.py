"""Films of an interaction, for people to watch."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.interaction.environment import Array
from pamiq_exp.interaction.observer import StepObserver, Turn
from pamiq_exp.media import Media, Video

Frame = NDArray[np.uint8]

logger = logging.getLogger(__name__)

WALL, FLOOR, TRAIL, OTHERS, BODY = (34, 36, 44), (222, 222, 214), (160, 186, 232), (128, 132, 140), (214, 60, 48)
"""Colors of the map."""

WIDEST = 4
"""How many times as wide as it is high a film may be."""


class VideoRecorder(StepObserver):
    """Records short films of what one environment sees, enlarged pixel by pixel.

    Where the environment's ground truth has `pose` and `reachable`, a map with the body's way lies beside
    the view. Environments without a picture among their observations are left alone.

    Args:
        every_steps: Environment steps (of all environments together) from the start of one film to the next; the
            first film begins with the first step.
        length: Turns in a film.
        environment: Whose eyes.
        key: Name of the picture among the observations; None takes the first one.
        size: Height of the film in pixels, a multiple of 16; views are enlarged by whole numbers up to it, or shrunk.
        frames_per_second: Speed at which the film is shown.
        cell: Side of the cells of `reachable`, in meters.
        name: What the film is called.
    """

    def __init__(
        self,
        every_steps: int = 20_000,
        length: int = 100,
        env: int = 0,
        key: str | None = None,
        size: int = 256,
        frames_per_second: float = 10.0,
        cell: float = 0.25,
        name: str = "view",
    ) -> None:
        if every_steps < 1 or length < 1:
            raise ValueError("every_steps and length of a video recorder must be at least 1")
        if size < 16 or size % 16:
            raise ValueError(f"the size of a film must be a multiple of 16, not {size}")
        self._every, self._length, self._env, self._key = every_steps, length, env, key
        self._size, self._rate, self._cell, self._name = size, frames_per_second, cell, name
        self._steps = 0
        self._next_start = 0
        self._frames: Frame | None = None
        self._count = 0
        self._finished: list[Media] = []
        self._map: MapPicture | None = None

    def on_step(self, turn: Turn) -> None:
        num_envs = len(turn.observation.reward)
        if self._map is None and "pose" in turn.ground_truth and "reachable" in turn.ground_truth:
            self._map = MapPicture(turn.ground_truth["reachable"], self._cell, self._size)
        if self._map is not None:
            self._map.walk(turn.ground_truth["pose"][self._env])
        if self._frames is None and self._steps >= self._next_start:
            self._start(turn)
        if self._frames is not None:
            self._take(turn)
        self._steps += num_envs

    def _start(self, turn: Turn) -> None:
        self._next_start = (self._steps // self._every + 1) * self._every
        self._key = self._key or picture_key(turn.observation.values)
        if self._key is None:
            logger.info("no film: this environment shows no picture")
            self._next_start = 2**62
            return
        view = fitted(picture(turn.observation.values[self._key][self._env]), self._size)
        width = view.shape[1] + (self._size if self._map is not None else 0)
        self._frames = np.zeros((self._length, self._size, width + width % 2, 3), dtype=np.uint8)
        self._count = 0

    def _take(self, turn: Turn) -> None:
        assert self._frames is not None
        assert self._key is not None
        frame = self._frames[self._count]
        view = fitted(picture(turn.observation.values[self._key][self._env]), self._size)
        top = (self._size - view.shape[0]) // 2
        frame[top : top + view.shape[0], : view.shape[1]] = view
        if self._map is not None:
            self._map.draw(frame[:, view.shape[1] : view.shape[1] + self._size], turn.ground_truth["pose"], self._env)
        self._count += 1
        if self._count == self._length:
            self._finished.append(Video(self._name, self._frames, self._rate))
            self._frames = None

    def teardown(self) -> None:
        """End the film that is being recorded."""
        if self._frames is not None and self._count > 1:
            self._finished.append(Video(self._name, self._frames[: self._count], self._rate))
        self._frames = None

    def media(self) -> list[Media]:
        finished, self._finished = self._finished, []
        return finished


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
    """A map seen from above, with the way that a body went.

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
        self._pixels_a_meter = scale / cell
        self._size = size

    def walk(self, pose: NDArray[np.float64]) -> None:
        """Remember that the body was at a pose (x, y, ...)."""
        self._dot(self._picture, float(pose[0]), float(pose[1]), 1, TRAIL)

    def draw(self, area: Frame, poses: NDArray[np.float64], env: int) -> None:
        """Draw the map and everybody on it into `area`; the body of `environment` shows where it looks."""
        area[:] = self._picture
        for index, pose in enumerate(poses):
            if index != env:
                self._dot(area, float(pose[0]), float(pose[1]), 2, OTHERS)
        x, y, heading = (float(value) for value in poses[env, :3])
        for side in (-math.pi / 6, 0.0, math.pi / 6):
            for step in range(1, 9):
                reach = 0.25 * step
                place = x + reach * math.cos(heading + side), y + reach * math.sin(heading + side)
                self._dot(area, *place, 1 if side == 0.0 else 0, BODY)
        self._dot(area, x, y, 4, BODY)

    def _dot(self, area: Frame, x: float, y: float, radius: int, color: tuple[int, int, int]) -> None:
        column = self._left + int(x * self._pixels_a_meter)
        row = self._top + int(y * self._pixels_a_meter)
        if 0 <= row < self._size and 0 <= column < self._size:
            area[
                max(row - radius, 0) : row + radius + 1,
                max(column - radius, 0) : column + radius + 1,
            ] = color
