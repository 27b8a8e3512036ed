"""Drawing of things: intersections of rays with boxes, cylinders and balls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import inlined
from pamiq_exp.environments.noise_world.things import AT_X, AT_Y, BALL, BOX, Things

Floats = NDArray[np.float64]


@inlined
def hit_disc(x: float, y: float, dx: float, dy: float, radius: float) -> tuple[float, float, float]:
    """Intersect a ray with an upright cylinder whose center is at `(x, y)` relative to the eye.

    Returns the distance in units of the ray (negative for a miss), where it was hit from left (0) to right (1),
    and the brightness there.
    """
    a = dx * dx + dy * dy
    b = x * dx + y * dy
    root = b * b - a * (x * x + y * y - radius * radius)
    if root <= 0.0:
        return -1.0, 0.0, 0.0
    across = 0.5 + 0.5 * (x * dy - y * dx) / (np.sqrt(a) * radius)
    return (b - np.sqrt(root)) / a, across, 0.55 + 0.45 * np.sqrt(root) / (np.sqrt(a) * radius)


@inlined
def hit_box(x: float, y: float, dx: float, dy: float, radius: float) -> tuple[float, float, float]:
    """Intersect a ray with an upright box that is aligned with the axes; see `hit_disc`."""
    across_x = 1.0 / dx if dx != 0.0 else 1e30
    across_y = 1.0 / dy if dy != 0.0 else 1e30
    near_x = min((x - radius) * across_x, (x + radius) * across_x)
    far_x = max((x - radius) * across_x, (x + radius) * across_x)
    near_y = min((y - radius) * across_y, (y + radius) * across_y)
    far_y = max((y - radius) * across_y, (y + radius) * across_y)
    near = max(near_x, near_y)
    if near <= 0.0 or near > min(far_x, far_y):
        return -1.0, 0.0, 0.0
    if near_x > near_y:
        across = (near * dy - y + radius) / (2.0 * radius)
        return near, across if dx > 0.0 else 1.0 - across, 1.0
    across = (near * dx - x + radius) / (2.0 * radius)
    return near, across if dy < 0.0 else 1.0 - across, 0.85


@inlined
def far_to_near(state: Floats, pose: Floats, order: NDArray[np.int64]) -> None:
    """Sort things by their distance along the view axis, the farthest first."""
    for index in range(order.size):
        order[index] = index
    for index in range(1, order.size):
        place = index
        while place > 0:
            one, other = state[order[place - 1]], state[order[place]]
            nearer = (one[AT_X] - other[AT_X]) * pose[2] + (one[AT_Y] - other[AT_Y]) * pose[3]
            if nearer >= 0.0:
                break
            order[place - 1], order[place] = order[place], order[place - 1]
            place -= 1


@inlined
def meet_thing(
    things: Things, index: int, x: float, y: float, dx: float, dy: float
) -> tuple[float, float, float, float, float]:
    """Return distance, position across, brightness, and lower and upper end of a thing where a ray hits it."""
    radius, top, bottom = things.radius[index], things.height[index], 0.0
    if things.kind[index] == BOX:
        distance, across, light = hit_box(x, y, dx, dy, radius)
    else:
        distance, across, light = hit_disc(x, y, dx, dy, radius)
    if things.kind[index] == BALL:
        aside = 2.0 * across - 1.0
        half = radius * np.sqrt(max(1.0 - aside * aside, 0.0))
        top, bottom = radius + half, radius - half
    return distance, across, light, bottom, top
