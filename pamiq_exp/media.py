"""Pictures, videos and recordings for the run folder and the trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Recording:
    """A stretch of a run, turn by turn, for machines: it stays in the run folder, and trackers are not shown it.

    Attributes:
        name: What the recording is called; its stretches share the name.
        first_step: Environment step of the first turn, all environments together.
        header: What a reader must know, as plain data; goes into the first line.
        turns: Named arrays, each `(num_envs, *shape)`. They must not change afterwards.
        pictures: Which of them are pictures, `(num_envs, height, width, 3 or 1)` uint8, and go into videos.
        frames_per_second: Of the videos.
        lossless: Whether videos keep every bit.
    """

    name: str
    first_step: int
    header: Mapping[str, Any]
    turns: Sequence[Mapping[str, NDArray[Any]]]
    pictures: Sequence[str]
    frames_per_second: float
    lossless: bool


Media = Picture | Video | Recording
