"""Plates, bowls and ingredients that several dishes share."""

from __future__ import annotations

from pamiq_exp.environments.noise_world.food.painting import Canvas, Color, Shape, box, disc, ellipse, line, ring

WHITE = (0.96, 0.95, 0.92)
GREEN, TOMATO, EGG_YELLOW, RICE = (0.35, 0.66, 0.2), (0.86, 0.2, 0.12), (0.98, 0.75, 0.14), (0.97, 0.96, 0.9)
NORI, DOUGH, CHOCOLATE, MEAT = (0.09, 0.15, 0.1), (0.87, 0.66, 0.36), (0.33, 0.18, 0.1), (0.45, 0.24, 0.14)


def plate(canvas: Canvas, radius: float = 0.92, color: Color = WHITE) -> None:
    """A round plate with a rim."""
    canvas.shadow(disc(0, 0, radius), 0.5, 0.06)
    canvas.fill(disc(0, 0, radius), color, rough=0.02, light=0.12)
    canvas.fill(ring(disc(0, 0, radius * 0.74), 0.02), (0.55, 0.54, 0.52), alpha=0.35, rough=0.0, soft=0.02)
    if canvas.between(0, 1) < 0.5:
        band = canvas.tint(canvas.between(0, 1), 0.6, 0.6)
        canvas.fill(ring(disc(0, 0, radius * 0.93), 0.025), band, alpha=0.8, rough=0.0)


def bowl(canvas: Canvas, color: Color, inside: Color, radius: float = 0.92) -> Shape:
    """A bowl seen from above; returns the surface of what is in it."""
    canvas.shadow(disc(0, 0, radius), 0.5, 0.08)
    canvas.fill(disc(0, 0, radius), color, rough=0.03, light=0.3)
    canvas.fill(disc(0, 0, radius * 0.9), (0.93, 0.9, 0.85), rough=0.02, light=-0.25)
    surface = disc(0, 0.02, radius * 0.82)
    canvas.fill(surface, inside, rough=0.1, bulge=0.12)
    return surface


def board(canvas: Canvas) -> None:
    """A wooden board."""
    shape = box(0, 0, 0.93, 0.8, 0.08)
    canvas.shadow(shape, 0.5, 0.06)
    canvas.fill(shape, canvas.tint(0.085, 0.5, 0.66), rough=0.2, light=0.1)
    for y in (-0.5, -0.2, 0.12, 0.45):
        canvas.fill(line([(-0.9, y), (0.9, y + canvas.between(-0.03, 0.03))], 0.008), (0.35, 0.2, 0.1), alpha=0.5)


def leaf(canvas: Canvas, x: float, y: float, size: float, turn: float, color: Color = GREEN) -> None:
    """A leaf with a rib."""
    shape = ellipse(x, y, size, size * 0.5, turn)
    canvas.shadow(shape, 0.25, 0.03)
    canvas.fill(shape, color, rough=0.2, bulge=size * 0.3, light=0.2)
    canvas.fill(ellipse(x, y, size * 0.8, size * 0.06, turn), (0.75, 0.88, 0.5), alpha=0.7, rough=0.0)


def tomato(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A small whole tomato."""
    canvas.shadow(disc(x, y, size), 0.3, 0.04)
    canvas.fill(disc(x, y, size), TOMATO, bulge=size * 0.7, light=0.35, rough=0.03)
    canvas.shine(x - size * 0.35, y - size * 0.4, size * 0.28)


def half_egg(canvas: Canvas, x: float, y: float, size: float, turn: float) -> None:
    """A boiled egg cut in two."""
    canvas.shadow(ellipse(x, y, size, size * 0.76, turn), 0.35, 0.03)
    canvas.fill(ellipse(x, y, size, size * 0.76, turn), (0.98, 0.96, 0.9), rough=0.02, bulge=size * 0.25)
    canvas.fill(disc(x, y, size * 0.47), (0.97, 0.6, 0.1), rough=0.06, bulge=size * 0.3)


def sprinkle(canvas: Canvas, count: int, area: tuple[float, float, float, float], size: float, color: Color) -> None:
    """Small bits strewn over an ellipse (x, y, half axes)."""
    for x, y in canvas.spots(count, *area, size * 1.5):
        canvas.fill(ellipse(x, y, size, size * 0.6, canvas.between(0, 1)), color, rough=0.1)


def chopsticks(canvas: Canvas) -> None:
    """Two sticks on the right edge."""
    for shift in (0.0, 0.07):
        stick = line([(0.82 + shift, -0.95), (0.9 + shift, 0.95)], 0.022)
        canvas.shadow(stick, 0.3, 0.03)
        canvas.fill(stick, (0.5, 0.12, 0.08), light=0.1)
