"""Noise over the whole view."""

from __future__ import annotations

from typing import Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.overlays.overlay import Env, Frame, PixelOverlay

Kind = Literal["gaussian", "uniform", "dark"]


class ViewNoise(PixelOverlay):
    """Noise over every pixel of the view, new with every step.

    Args:
        env: The environment, see `PixelOverlay`.
        kind: `gaussian`: added to each channel; `uniform`: takes the place of the view; `dark`: black pixels become
            `max(0, N(0, sigma))`, as in Bai et al. 2021.
        sigma: Standard deviation in gray levels of 0 to 255; 80 is usual for `dark`.
        probability: How often a moment is noisy at all.
        key: Name of the picture, see `PixelOverlay`.
    """

    def __init__(
        self,
        env: Env,
        kind: Kind = "gaussian",
        sigma: float = 50.0,
        probability: float = 1.0,
        key: str | None = None,
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, kind=kind, sigma=sigma, probability=probability, key=key)
        if kind not in ("gaussian", "uniform", "dark"):
            raise ValueError(f"the noise of a view is gaussian, uniform or dark, not {kind!r}")
        if sigma < 0 or not 0 <= probability <= 1:
            raise ValueError(f"sigma must be at least 0 and probability in [0, 1], not {sigma} and {probability}")
        super().__init__(env, key)
        self._kind, self._sigma, self._probability = kind, sigma, probability

    def cover(self, picture: Frame, random: np.random.Generator | None) -> NDArray[np.bool_]:
        """See `PixelOverlay`."""
        covered = np.zeros(picture.shape[:2], dtype=np.bool_)
        if random is None or random.random() >= self._probability:
            return covered
        if self._kind == "uniform":
            picture[:] = random.integers(0, 256, picture.shape, dtype=np.uint8)
            covered[:] = True
        elif self._kind == "gaussian":
            noise = random.normal(0.0, self._sigma, picture.shape)
            picture[:] = np.clip(np.rint(picture + noise), 0, 255)
            covered[:] = True
        else:
            covered = (picture == 0).all(axis=-1)
            noise = random.normal(0.0, self._sigma, picture.shape)
            picture[covered] = np.clip(np.rint(noise[covered]), 0, 255)
        return covered
