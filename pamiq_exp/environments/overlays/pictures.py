"""The pictures that a noisy television shows."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 64
"""Pixels a side in which pictures are kept."""


class PictureSet:
    """Pictures that never change.

    Args:
        pictures: `(count, height, width, 3)`.
    """

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._pictures = pictures
        self._pictures.setflags(write=False)

    def __len__(self) -> int:
        return len(self._pictures)

    def resized(self, index: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
        """Return a picture as `(height, width, channels)`: nearest pixels, and gray unless channels are 3 or 4."""
        picture: NDArray[np.uint8] = self._pictures[index]
        rows = np.arange(height) * picture.shape[0] // height
        columns = np.arange(width) * picture.shape[1] // width
        picture = picture[rows[:, None], columns]
        if channels == 3:
            return picture
        if channels == 4:
            return np.concatenate([picture, np.full_like(picture[..., :1], 255)], axis=-1)
        gray = picture.mean(axis=-1, keepdims=True).astype(np.uint8)
        return np.repeat(gray, channels, axis=-1)


@functools.cache
def picture_set(path: str | None, count: int) -> PictureSet:
    """Return `count` pictures of a folder or, without one, painted dishes; the same for all who ask.

    Raises:
        ValueError: There are no pictures in the folder.
    """
    if path is None:
        from pamiq_exp.environments.noise_world.food import food_pictures

        return PictureSet(food_pictures(count, SIZE, seed=0))
    from pamiq_exp.environments.noise_world.pictures import load_folder

    return PictureSet(load_folder(Path(path), count, SIZE))
