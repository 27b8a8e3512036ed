"""Painting of shapes with soft edges, lit from the upper left, on a square canvas.

Only additions, multiplications, divisions and square roots of float64 numbers are used, so that equal seeds
give equal bytes on every platform. The canvas reaches from -1 to 1 in both directions, y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world.materials import grain, hsv
from pamiq_exp.environments.noise_world.moving import sine

Grid = NDArray[np.float64]
Color = tuple[float, float, float] | NDArray[np.float64]


def direction(turns: float) -> tuple[float, float]:
    """Return x and y of a unit vector, `turns` full turns clockwise from the right."""
    return sine(360.0 * turns + 90.0), sine(360.0 * turns)


@dataclass(frozen=True)
class Shape:
    """A region of the canvas.

    Attributes:
        distance: Signed distance to the edge for coordinates x and y, negative inside.
        reach: Left, top, right and bottom of a box around it.
    """

    distance: Callable[[Grid, Grid], Grid]
    reach: tuple[float, float, float, float]

    def __and__(self, other: Shape) -> Shape:
        a, b = self.reach, other.reach
        reach = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
        return Shape(lambda x, y: np.maximum(self.distance(x, y), other.distance(x, y)), reach)

    def __or__(self, other: Shape) -> Shape:
        a, b = self.reach, other.reach
        reach = min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
        return Shape(lambda x, y: np.minimum(self.distance(x, y), other.distance(x, y)), reach)

    def __sub__(self, other: Shape) -> Shape:
        return Shape(lambda x, y: np.maximum(self.distance(x, y), -other.distance(x, y)), self.reach)

    def grown(self, by: float) -> Shape:
        left, top, right, bottom = self.reach
        return Shape(lambda x, y: self.distance(x, y) - by, (left - by, top - by, right + by, bottom + by))

    def moved(self, right: float, down: float) -> Shape:
        a = self.reach
        reach = a[0] + right, a[1] + down, a[2] + right, a[3] + down
        return Shape(lambda x, y: self.distance(x - right, y - down), reach)


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0) -> Shape:
    """An ellipse with half axes `across` and `down`, turned clockwise by `turn` full turns."""
    c, s = direction(turn)
    size = max(across, down)

    def distance(px: Grid, py: Grid) -> Grid:
        u, v = (px - x) * c + (py - y) * s, (py - y) * c - (px - x) * s
        return (np.sqrt((u / across) ** 2 + (v / down) ** 2) - 1.0) * min(across, down)

    return Shape(distance, (x - size, y - size, x + size, y + size))


def disc(x: float, y: float, radius: float) -> Shape:
    return ellipse(x, y, radius, radius)


def line(points: Sequence[tuple[float, float]], width: float) -> Shape:
    """A line through points, `2 * width` thick, with round ends and joints."""

    def distance(px: Grid, py: Grid) -> Grid:
        best = np.full(np.broadcast(px, py).shape, 9.0)
        for (x0, y0), (x1, y1) in pairwise(points):
            dx, dy = x1 - x0, y1 - y0
            along = np.clip(((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy + 1e-12), 0.0, 1.0)
            best = np.minimum(best, np.sqrt((px - x0 - along * dx) ** 2 + (py - y0 - along * dy) ** 2))
        return best - width

    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return Shape(distance, (min(xs) - width, min(ys) - width, max(xs) + width, max(ys) + width))


def box(x: float, y: float, across: float, down: float, rounding: float = 0.02, turn: float = 0.0) -> Shape:
    """A rectangle with half sides `across` and `down` and round corners."""
    c, s = direction(turn)
    size = across + down

    def distance(px: Grid, py: Grid) -> Grid:
        u, v = (px - x) * c + (py - y) * s, (py - y) * c - (px - x) * s
        u, v = np.abs(u) - across + rounding, np.abs(v) - down + rounding
        outside = np.sqrt(np.maximum(u, 0.0) ** 2 + np.maximum(v, 0.0) ** 2)
        total: Grid = outside + np.minimum(np.maximum(u, v), 0.0) - rounding
        return total

    return Shape(distance, (x - size, y - size, x + size, y + size))


def polygon(points: Sequence[tuple[float, float]], rounding: float = 0.02) -> Shape:
    """A convex polygon; points clockwise as seen on the canvas."""
    edges = []
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        length = float(np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2))
        edges.append((x0, y0, (y1 - y0) / length, -(x1 - x0) / length))

    def distance(px: Grid, py: Grid) -> Grid:
        far = [(px - x0) * nx + (py - y0) * ny for x0, y0, nx, ny in edges]
        total = far[0]
        for edge in far[1:]:
            total = np.maximum(total, edge)
        return total + rounding * 0.3

    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return Shape(distance, (min(xs), min(ys), max(xs), max(ys)))


def ring(shape: Shape, width: float) -> Shape:
    """The band of `2 * width` around the edge of a shape."""
    left, top, right, bottom = shape.reach
    reach = left - width, top - width, right + width, bottom + width
    return Shape(lambda x, y: np.abs(shape.distance(x, y)) - width, reach)


class Canvas:
    """A square picture that is being painted, with its own random numbers.

    Args:
        size: Pixels a side.
        background: Color to begin with.
        generator: What makes this picture differ from others.
    """

    def __init__(self, size: int, background: Color, generator: np.random.Generator) -> None:
        self.generator = generator
        zoom = self.between(0.92, 1.12)
        place = ((np.arange(size) + 0.5) * 2.0 / size - 1.0) * zoom
        self._across, self._down = place + self.between(-0.06, 0.06), place + self.between(-0.06, 0.06)
        self._pixel = 2.0 * zoom / size
        self._grain = grain(size, generator)
        self.pixels = np.zeros((size, size, 3)) + np.asarray(background)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.generator.random())

    def count(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high + 1))

    def tint(self, hue: float, saturation: float, value: float, vary: float = 0.02) -> Color:
        """Return a color near the one given, by hue, saturation and value."""
        return hsv(
            hue + self.between(-vary, vary) * 0.5,
            min(max(saturation + self.between(-vary, vary) * 2.0, 0.0), 1.0),
            min(max(value + self.between(-vary, vary) * 2.0, 0.0), 1.0),
        )

    def spots(
        self, count: int, x: float, y: float, across: float, down: float, apart: float
    ) -> list[tuple[float, float]]:
        """Return up to `count` places in an ellipse that keep `apart` from each other."""
        places: list[tuple[float, float]] = []
        for _ in range(count * 12):
            u, v = self.between(-1.0, 1.0), self.between(-1.0, 1.0)
            place = x + u * across, y + v * down
            if u * u + v * v <= 1.0 and all(
                (place[0] - a) ** 2 + (place[1] - b) ** 2 >= apart * apart for a, b in places
            ):
                places.append(place)
                if len(places) == count:
                    break
        return places

    def _cut(self, shape: Shape, margin: float) -> tuple[slice, slice]:
        left, top, right, bottom = shape.reach
        rows = np.searchsorted(self._down, (top - margin, bottom + margin))
        columns = np.searchsorted(self._across, (left - margin, right + margin))
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def fill(
        self,
        shape: Shape,
        color: Color,
        *,
        alpha: float = 1.0,
        rough: float = 0.08,
        bulge: float = 0.0,
        light: float = 0.0,
        soft: float = 0.0,
    ) -> None:
        """Paint a shape.

        Args:
            shape: Where.
            color: Red, green and blue from 0 to 1.
            alpha: Opacity.
            rough: Strength of the grain.
            bulge: Width of a darker rim that makes the shape look round; 0 is flat.
            light: How much brighter the upper left is than the lower right.
            soft: Width of a blurred edge.
        """
        rows, columns = self._cut(shape, soft + 2.0 * self._pixel)
        y, x = self._down[rows, None], self._across[None, columns]
        if not y.size or not x.size:
            return
        distance = shape.distance(x, y)
        edge = max(self._pixel, 2.0 * soft)
        cover = np.clip(0.5 - distance / edge, 0.0, 1.0) * alpha
        brightness = 1.0 + rough * 2.0 * self._grain[rows, columns]
        if bulge > 0.0:
            depth = np.clip(-distance / bulge, 0.0, 1.0)
            brightness = brightness * (0.68 + 0.32 * depth * (2.0 - depth))
        if light != 0.0:
            left, top, right, bottom = shape.reach
            brightness = brightness + light * (
                ((left + right) * 0.5 - x) / (right - left) + ((top + bottom) * 0.5 - y) / (bottom - top)
            )
        painted = np.clip(brightness[..., None] * np.asarray(color), 0.0, 1.0)
        area = self.pixels[rows, columns]
        area += cover[..., None] * (painted - area)

    def shadow(self, shape: Shape, strength: float = 0.35, away: float = 0.05) -> None:
        """Darken what lies under a shape, a little to the lower right of it."""
        self.fill(shape.moved(away * 0.6, away), (0.05, 0.03, 0.02), alpha=strength, rough=0.0, soft=0.07)

    def shine(self, x: float, y: float, size: float, strength: float = 0.7) -> None:
        """Paint a small highlight."""
        self.fill(ellipse(x, y, size, size * 0.6, -0.1), (1.0, 1.0, 0.97), alpha=strength, rough=0.0, soft=size * 0.5)

    def picture(self, size: int) -> NDArray[np.uint8]:
        """Return the picture in some light and from either side, reduced to `size` pixels by whole-number means."""
        lamp = np.array([self.between(0.9, 1.08), self.between(0.92, 1.02), self.between(0.86, 1.04)])
        pixels = self.pixels[:, ::-1] if self.between(0, 1) < 0.5 else self.pixels
        whole = np.floor(np.clip(pixels * lamp, 0.0, 1.0) * 255.0 + 0.5).astype(np.int64)
        factor = whole.shape[0] // size
        blocks = whole.reshape(size, factor, size, factor, 3).sum(axis=(1, 3))
        means: NDArray[np.uint8] = ((blocks + factor * factor // 2) // (factor * factor)).astype(np.uint8)
        return means
