"""The newest pictures of a live run, for a person who looks at it from another process."""

from __future__ import annotations

import base64
import threading
import time
import zlib
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.interaction.environment import Array
from pamiq_exp.interaction.map_picture import Frame, MapPicture, picture
from pamiq_exp.interaction.observer import Turn

LARGEST_SIDE = 256
"""Pixels: larger pictures are thinned, every second or third pixel of a row and column."""

MOST_ENVIRONMENTS, MOST_PICTURES = 4, 8
"""Environments of which each camera is shown, and pictures in all."""

MAP_SIDE, CELL_METERS = 256, 0.25
FRESH_SECONDS, REST_SECONDS = 0.1, 0.002
"""How long a reader waits for the next turn, and then for its end: between turns there is room for other work."""

TRAIL_LENGTH = 100_000
"""Poses that wait to be drawn at most; older ones are forgotten."""


@dataclass(frozen=True)
class _Moment:
    """What one turn showed, kept by reference."""

    values: dict[str, Array]
    poses: NDArray[np.float64] | None


class LiveView:
    """Keeps a reference to what the newest turn showed, and draws it when asked.

    `take` runs on the agent's thread and does not copy, draw or wait. `read` runs on the caller's thread, and
    does its work between two turns, where it delays none. The way on the map begins with the first turn taken.
    """

    def __init__(self) -> None:
        self._newest: _Moment | None = None
        self._walked: deque[NDArray[np.float64]] = deque(maxlen=TRAIL_LENGTH)
        self._reachable: NDArray[np.bool_] | None = None
        self._map: MapPicture | None = None
        self._reading = threading.Lock()
        self._fresh = threading.Event()

    def take(self, turn: Turn) -> None:
        """Keep what a turn shows."""
        truth = turn.ground_truth
        poses = truth.get("pose")
        if poses is not None and "reachable" in truth:
            self._reachable = truth["reachable"]
            self._walked.append(poses[0])
        else:
            poses = None
        self._newest = _Moment(dict(turn.observation.values), poses)
        if not self._fresh.is_set():
            self._fresh.set()

    def read(self) -> list[dict[str, Any]]:
        """Return the newest pictures as plain data: `name`, `height`, `width` and `pixels` (RGB, zlib, base64).

        Empty before the first turn and for an environment that shows no picture and has no map.
        """
        with self._reading:
            self._fresh.clear()
            if self._fresh.wait(FRESH_SECONDS):
                time.sleep(REST_SECONDS)
            moment = self._newest
            if moment is None:
                return []
            pictures = [_plain(name, frame) for name, frame in _pictures(moment.values)]
            return pictures + self._drawn_map(moment)

    def _drawn_map(self, moment: _Moment) -> list[dict[str, Any]]:
        if moment.poses is None or self._reachable is None:
            return []
        if self._map is None:
            self._map = MapPicture(self._reachable, CELL_METERS, MAP_SIDE)
        while self._walked:
            self._map.walk(self._walked.popleft())
        area: Frame = np.empty((MAP_SIDE, MAP_SIDE, 3), dtype=np.uint8)
        self._map.draw(area, moment.poses, 0)
        return [_plain("map", area)]


def _pictures(values: dict[str, Array]) -> list[tuple[str, Frame]]:
    """Return the pictures among observations, of the first environments."""
    found: list[tuple[str, Frame]] = []
    for name, value in values.items():
        if value.dtype == np.uint8 and value.ndim == 4 and value.shape[-1] in (1, 3) and value.size:
            for index, pixels in enumerate(value[:MOST_ENVIRONMENTS]):
                found.append((f"{name} {index}" if len(value) > 1 else name, picture(pixels)))
    return found[:MOST_PICTURES]


def _plain(name: str, frame: Frame) -> dict[str, Any]:
    step = -(-max(frame.shape[:2]) // LARGEST_SIDE)
    shown = np.ascontiguousarray(frame[::step, ::step])
    height, width = shown.shape[:2]
    packed = zlib.compress(shown.data, 1)  # other threads go on meanwhile, and little is left to encode
    return {"name": name, "height": height, "width": width, "pixels": base64.b64encode(packed).decode()}
