"""A slow and independent renderer for comparison: brute force over all surfaces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hit:
    """The surface that a ray hits: its depth along the view axis, the kind of surface, and where in the world."""

    depth: float
    kind: str
    point: tuple[float, float, float]
    axis: int


def ray(
    pose: tuple[float, float, float, float], size: int, row: int, column: int, field_of_view: float
) -> NDArray[np.float64]:
    """Return the direction of a pixel's ray, one meter along the view axis, z upwards."""
    tangent = math.tan(math.radians(field_of_view) / 2)
    right = ((column + 0.5) / size * 2 - 1) * tangent
    up = -((row + 0.5) / size * 2 - 1) * tangent
    heading = pose[2]
    return np.array([math.cos(heading) - math.sin(heading) * right, math.sin(heading) + math.cos(heading) * right, up])


def brute_force(
    solid: NDArray[np.bool_],
    pose: tuple[float, float, float, float],
    direction: NDArray[np.float64],
    wall_height: float,
) -> Hit:
    """Return the nearest of floor, ceiling and all wall cubes."""
    x, y, _, eye = pose
    plane = 0.0 if direction[2] < 0 else wall_height
    depth = (plane - eye) / direction[2]
    place = np.array([x, y, eye]) + depth * direction
    best = Hit(depth, "floor" if direction[2] < 0 else "ceiling", tuple(place), 2)
    for row, column in np.argwhere(solid):
        with np.errstate(divide="ignore"):
            near = np.array([column - x, row - y]) / direction[:2]
            far = np.array([column + 1 - x, row + 1 - y]) / direction[:2]
        enter, leave = np.minimum(near, far), np.maximum(near, far)
        first = float(enter.max())
        if 0 < first <= float(leave.min()) and first < best.depth:
            place = np.array([x, y, eye]) + first * direction
            best = Hit(first, "wall", tuple(place), int(enter.argmax()))
    return best
