"""Pictures of floors, walls and ceilings without noise, computed by arithmetic; each room has its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.seeding import numpy_generator

Picture = NDArray[np.float64]
"""Red, green and blue from 0 to 1, `(size, size, 3)`."""

GRAY = np.array((0.5, 0.5, 0.5))


def hsv(hue: float, saturation: float, value: float) -> NDArray[np.float64]:
    """Return red, green and blue of a color; all numbers from 0 to 1 (hues repeat)."""
    offsets = (hue * 6.0 + np.array((5.0, 3.0, 1.0))) % 6.0
    return value - value * saturation * np.clip(np.minimum(offsets, 4.0 - offsets), 0.0, 1.0)


def value_noise(size: int, cells: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return smooth noise from 0 to 1 that repeats at its edges, `(size, size)`, with `cells` bumps a side."""
    grid = generator.random((cells, cells))
    place = (np.arange(size) + 0.5) * cells / size
    low = place.astype(np.int64)
    share = place - low
    share = share * share * (3.0 - 2.0 * share)
    low %= cells
    high = (low + 1) % cells
    rows = grid[low] * (1.0 - share)[:, None] + grid[high] * share[:, None]
    return rows[:, low] * (1.0 - share) + rows[:, high] * share


def grain(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of several scales around 0, `(size, size)`."""
    return sum(
        (value_noise(size, cells, generator) - 0.5) * weight for cells, weight in ((4, 0.5), (8, 0.3), (32, 0.2))
    ) + np.zeros((size, size))


def _coordinates(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    place = (np.arange(size) + 0.5) / size
    return place[None, :] + np.zeros((size, 1)), place[:, None] + np.zeros((1, size))


def bricks(size: int) -> NDArray[np.float64]:
    """Return the brightness of a brick wall, `(size, size)`."""
    x, y = _coordinates(size)
    row = np.floor(y * 4.0)
    across, up = (x * 2.0 + 0.5 * (row % 2.0)) % 1.0, (y * 4.0) % 1.0
    return np.where(
        (across < 0.06) | (up < 0.12), 0.62, 1.0 - 0.12 * (np.floor(x * 2.0 + 0.5 * (row % 2.0)) + row) % 3.0
    )


def planks(size: int) -> NDArray[np.float64]:
    x, y = _coordinates(size)
    plank = np.floor(x * 4.0)
    return np.where((x * 4.0) % 1.0 < 0.08, 0.55, 0.82 + 0.18 * ((plank * 7.0) % 4.0) / 3.0) - np.where(
        np.abs(y - 0.2 - 0.19 * plank) < 0.015, 0.25, 0.0
    )


def checks(size: int) -> NDArray[np.float64]:
    x, y = _coordinates(size)
    return np.where((np.floor(x * 2.0) + np.floor(y * 2.0)) % 2.0 == 0.0, 1.0, 0.72)


def stripes(size: int) -> NDArray[np.float64]:
    x, _ = _coordinates(size)
    return np.where((x * 3.0) % 1.0 < 0.5, 1.0, 0.78)


def diamonds(size: int) -> NDArray[np.float64]:
    x, y = _coordinates(size)
    away = np.abs((x * 2.0) % 1.0 - 0.5) + np.abs((y * 2.0) % 1.0 - 0.5)
    return np.where(away < 0.32, 1.0, np.where(away < 0.4, 0.6, 0.84))


def plaster(size: int) -> NDArray[np.float64]:
    return np.full((size, size), 0.95)


def panels(size: int) -> NDArray[np.float64]:
    x, y = _coordinates(size)
    edge = np.minimum(np.minimum(x, 1.0 - x), np.minimum(y, 1.0 - y))
    return np.where(edge < 0.03, 0.7, np.where(np.abs(edge - 0.14) < 0.02, 0.8, 0.95))


WALL_PATTERNS: tuple[Callable[[int], NDArray[np.float64]], ...] = (bricks, panels, stripes, diamonds, planks, plaster)
FLOOR_PATTERNS: tuple[Callable[[int], NDArray[np.float64]], ...] = (planks, checks, plaster, diamonds)


def surface(pattern: NDArray[np.float64], color: NDArray[np.float64], roughness: float, seed: int) -> Picture:
    """Return a picture of a pattern in one color, with some grain."""
    brightness = pattern + roughness * grain(pattern.shape[0], numpy_generator(seed, "grain"))
    return np.clip(brightness[..., None] * color, 0.0, 1.0)


def clouds(size: int, seed: int) -> Picture:
    """Return a blue sky with clouds."""
    cover = 0.5 + grain(size, numpy_generator(seed, "clouds")) * 1.6
    share = np.clip(cover * 1.6 - 0.55, 0.0, 1.0)[..., None]
    return np.array((0.42, 0.64, 0.92)) * (1.0 - share) + np.array((0.96, 0.97, 1.0)) * share


def room_surfaces(room: int, size: int, seed: int) -> list[Picture]:
    """Return wall, floor and ceiling of a room; -1 is what lies outside rooms. Neighbors differ in color."""
    if room < 0:
        wood = surface(planks(size), hsv(0.08, 0.45, 0.55), 0.3, seed)
        return [
            surface(plaster(size), hsv(0.1, 0.12, 0.8), 0.2, seed),
            wood,
            surface(panels(size), GRAY * 1.6, 0.1, seed),
        ]
    hue = (0.02 + room * 0.381966) % 1.0
    wall = surface(WALL_PATTERNS[room % len(WALL_PATTERNS)](size), hsv(hue, 0.5, 0.85), 0.25, seed + room)
    floor_color = hsv(hue + 0.45, 0.22, 0.62) if room % 2 else hsv(0.08, 0.42, 0.6)
    floor = surface(FLOOR_PATTERNS[room % len(FLOOR_PATTERNS)](size), floor_color, 0.3, seed + room + 1)
    ceiling = surface(panels(size), hsv(hue, 0.07, 0.88), 0.08, seed + room + 2)
    return [wall, floor, ceiling]


def plain_surfaces(size: int) -> list[Picture]:
    """Return wall, floor and ceiling in one color."""
    return [np.zeros((size, size, 3)) + color for color in (hsv(0.09, 0.1, 0.78), hsv(0.09, 0.1, 0.6), GRAY * 1.6)]
