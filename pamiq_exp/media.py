"""Pictures and videos on their way from whoever made them to the run folder and the trackers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """One picture: `pixels` is `(height, width, 3)` uint8."""

    name: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Video:
    """A short film: `frames` is `(time, height, width, 3)` uint8, shown at `frames_per_second`."""

    name: str
    frames: NDArray[np.uint8]
    frames_per_second: float


Media = Picture | Video
