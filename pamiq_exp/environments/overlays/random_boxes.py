"""Boxes of noise at random positions of the view."""

from __future__ import annotations

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.overlays.overlay import Env, Frame, PixelOverlay


class RandomBoxes(PixelOverlay):
    """Boxes of Gaussian noise at random places, new with every step (as in Bai et al. 2021).

    Args:
        env: The environment, see `PixelOverlay`.
        boxes: Mean number of boxes.
        spread: Their number is uniform from `boxes - spread` to `boxes + spread`.
        size: Pixels a side.
        sigma: Standard deviation of what is added to each channel of each pixel, in gray levels of 0 to 255.
        key: Name of the picture, see `PixelOverlay`.
    """

    def __init__(
        self,
        env: Env,
        boxes: int = 6,
        spread: int = 5,
        size: int = 20,
        sigma: float = 76.5,
        key: str | None = None,
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, boxes=boxes, spread=spread, size=size, sigma=sigma, key=key
        )
        if not 0 <= spread <= boxes or size < 1 or sigma < 0:
            raise ValueError(
                "random boxes need 0 <= spread <= boxes, size >= 1 and sigma >= 0, "
                f"not boxes={boxes}, spread={spread}, size={size}, sigma={sigma}"
            )
        super().__init__(env, key)
        self._boxes, self._spread, self._size, self._sigma = boxes, spread, size, sigma

    def cover(self, picture: Frame, random: np.random.Generator | None) -> NDArray[np.bool_]:
        """See `PixelOverlay`."""
        height, width, _ = picture.shape
        mask = np.zeros((height, width), dtype=np.bool_)
        if random is None:
            return mask
        for _ in range(int(random.integers(self._boxes - self._spread, self._boxes + self._spread + 1))):
            top = int(random.integers(max(height - self._size, 0) + 1))
            left = int(random.integers(max(width - self._size, 0) + 1))
            place = np.s_[top : top + self._size, left : left + self._size]
            noise = random.normal(0.0, self._sigma, picture[place].shape)
            # In floating point and clipped: bytes would wrap around.
            picture[place] = np.clip(np.rint(picture[place] + noise), 0, 255)
            mask[place] = True
        return mask
