"""Pictures of cakes, sweets and fruit."""

from __future__ import annotations

from pamiq_exp.environments.noise_world.food.painting import Canvas, box, direction, disc, ellipse, line, polygon, ring
from pamiq_exp.environments.noise_world.food.tableware import CHOCOLATE, DOUGH, GREEN, leaf, plate, sprinkle

CREAM = (0.99, 0.96, 0.9)
BERRY = (0.88, 0.12, 0.18)


def strawberry(canvas: Canvas, x: float, y: float, size: float) -> None:
    body = disc(x, y - size * 0.15, size * 0.8) | polygon([(x - size * 0.7, y), (x + size * 0.7, y), (x, y + size)])
    canvas.shadow(body, 0.3, 0.03)
    canvas.fill(body, BERRY, rough=0.03, bulge=size * 0.5, light=0.3)
    for sx, sy in canvas.spots(7, x, y, size * 0.55, size * 0.55, size * 0.3):
        canvas.fill(disc(sx, sy, size * 0.07), (0.99, 0.85, 0.5))
    for turn in (0.62, 0.75, 0.88):
        right, down = direction(turn)
        canvas.fill(
            ellipse(x + right * size * 0.4, y - size * 0.6 + down * size * 0.2, size * 0.34, size * 0.13, turn), GREEN
        )


def cake(canvas: Canvas) -> None:
    plate(canvas, color=(0.9, 0.92, 0.95))
    side = polygon([(-0.66, -0.1), (0.62, -0.1), (0.62, 0.46), (-0.66, 0.46)])
    canvas.shadow(side, 0.45, 0.08)
    canvas.fill(side, (0.97, 0.85, 0.55), rough=0.2)
    canvas.fill(box(0, 0.18, 0.64, 0.085, 0.01) & side, CREAM, rough=0.03)
    for index in range(6):
        canvas.fill(disc(-0.55 + index * 0.22, 0.18, 0.06), BERRY, bulge=0.03)
    top = polygon([(-0.7, -0.1), (0.3, -0.56), (0.68, -0.1)])
    canvas.fill(top, CREAM, rough=0.03, light=0.12)
    canvas.fill(box(0, -0.06, 0.66, 0.06, 0.05), CREAM, rough=0.03, bulge=0.04)
    for x, y in ((0.14, -0.28), (0.42, -0.22)):
        canvas.fill(disc(x, y, 0.12), (1.0, 0.99, 0.96), bulge=0.08)
    strawberry(canvas, 0.26 + canvas.between(-0.05, 0.05), -0.5, 0.24)


def pancakes(canvas: Canvas) -> None:
    plate(canvas)
    for index in range(3):
        y = 0.28 - index * 0.17
        layer = ellipse(canvas.between(-0.03, 0.03), y, 0.66, 0.42)
        canvas.shadow(layer, 0.4, 0.04)
        canvas.fill(layer, (0.93, 0.78, 0.48), rough=0.05, bulge=0.05)
        canvas.fill(layer.moved(0, -0.05), canvas.tint(0.08, 0.66, 0.72), rough=0.15, bulge=0.06)
    syrup = (
        ellipse(0, -0.12, 0.44, 0.26)
        | line([(-0.34, -0.05), (-0.42, 0.36)], 0.07)
        | line([(0.3, -0.05), (0.34, 0.48)], 0.06)
    )
    canvas.fill(syrup, (0.5, 0.2, 0.03), alpha=0.85, rough=0.03, bulge=0.06)
    canvas.fill(box(0.02, -0.18, 0.15, 0.1, 0.03, 0.04), (1.0, 0.9, 0.45), bulge=0.05, light=0.25)
    canvas.shine(-0.24, -0.2, 0.07, 0.6)


def donut(canvas: Canvas) -> None:
    plate(canvas)
    whole = disc(0, 0, 0.64) - disc(0, 0, 0.2)
    canvas.shadow(whole, 0.4)
    canvas.fill(whole, canvas.tint(0.085, 0.6, 0.78), rough=0.08, bulge=0.18)
    icing = canvas.tint(*((0.93, 0.42, 0.97), (0.06, 0.72, 0.36), (0.42, 0.25, 0.95))[canvas.count(0, 2)])
    canvas.fill(ring(disc(0, -0.01, 0.42), 0.17), icing, rough=0.03, bulge=0.12, light=0.12)
    for x, y in canvas.spots(30, 0, 0, 0.56, 0.56, 0.1):
        if x * x + y * y > 0.08:
            c, s = direction(canvas.between(0, 1))
            bit = line([(x - c * 0.035, y - s * 0.035), (x + c * 0.035, y + s * 0.035)], 0.016)
            canvas.fill(bit, canvas.tint(canvas.between(0, 1), 0.75, 0.98), rough=0.0)
    canvas.shine(-0.3, -0.32, 0.09, 0.5)


def ice_cream(canvas: Canvas) -> None:
    cone = polygon([(-0.4, 0.06), (0.4, 0.06), (0.0, 0.96)])
    canvas.shadow(cone, 0.4, 0.06)
    canvas.fill(cone, canvas.tint(0.09, 0.6, 0.85), rough=0.06, bulge=0.1)
    for index in range(-4, 5):
        for lean in (-0.5, 0.5):
            bar = line([(index * 0.16 - lean, 0.0), (index * 0.16 + lean, 0.96)], 0.012)
            canvas.fill(bar & cone, (0.6, 0.36, 0.14), alpha=0.8)
    hues = ((0.95, 0.35, 0.96), (0.13, 0.25, 0.98), (0.4, 0.3, 0.88), (0.06, 0.55, 0.5))
    first = canvas.count(0, 3)
    for index, (x, y, size) in enumerate(((-0.2, -0.1, 0.36), (0.22, -0.12, 0.34), (0.0, -0.5, 0.36))):
        scoop = disc(x, y, size)
        canvas.shadow(scoop, 0.25, 0.04)
        canvas.fill(scoop, canvas.tint(*hues[(first + index) % 4]), rough=0.12, bulge=0.26, light=0.2)
        canvas.shine(x - 0.13, y - 0.15, 0.06, 0.5)
    canvas.fill(disc(0.04, -0.84, 0.1), (0.8, 0.06, 0.12), bulge=0.07, light=0.3)
    canvas.fill(line([(0.05, -0.9), (0.14, -0.98)], 0.014), (0.3, 0.4, 0.12))


def watermelon(canvas: Canvas) -> None:
    for x, y, lean in ((-0.16, -0.2, -0.04), (0.2, 0.34, 0.05))[: canvas.count(1, 2)]:
        c, s = direction(lean)
        half = polygon(
            [
                (x - c * 2, y - s * 2),
                (x + c * 2, y + s * 2),
                (x + c * 2 - s * 2, y + s * 2 + c * 2),
                (x - c * 2 - s * 2, y - s * 2 + c * 2),
            ]
        )
        slice_ = disc(x, y, 0.76) & half
        canvas.shadow(slice_, 0.5, 0.07)
        canvas.fill(slice_, (0.13, 0.45, 0.16), rough=0.3)
        canvas.fill(disc(x, y, 0.68) & half, (0.88, 0.95, 0.72), rough=0.03)
        canvas.fill(disc(x, y, 0.62) & half, canvas.tint(0.985, 0.78, 0.93), rough=0.1)
        for px, py in canvas.spots(40, x, y, 0.52, 0.52, 0.14):
            if (py - y) * c - (px - x) * s > 0.08:
                canvas.fill(ellipse(px, py, 0.028, 0.045, lean), (0.1, 0.05, 0.05), rough=0.0)


def cookies(canvas: Canvas) -> None:
    plate(canvas, color=canvas.tint(0.58, 0.25, 0.85, 0.1))
    for x, y in ((-0.3, -0.24), (0.32, -0.2), (0.0, 0.3)):
        canvas.shadow(disc(x, y, 0.37), 0.4)
        canvas.fill(disc(x, y, 0.37), canvas.tint(0.085, 0.6, 0.8, 0.03), rough=0.25, bulge=0.12)
        for px, py in canvas.spots(8, x, y, 0.28, 0.28, 0.13):
            canvas.fill(disc(px, py, 0.055), CHOCOLATE, bulge=0.04, light=0.3)


def croissant(canvas: Canvas) -> None:
    plate(canvas)
    for index in range(9):
        place = (index - 4) / 4
        x, y = 0.68 * place, 0.26 * place * place * 2.0 - 0.22
        size = 0.34 - 0.22 * abs(place)
        piece = ellipse(x, y, size * 0.62, size, place * 0.1)
        canvas.shadow(piece, 0.25, 0.05)
    for index in (0, 8, 1, 7, 2, 6, 3, 5, 4):
        place = (index - 4) / 4
        x, y = 0.66 * place, 0.26 * place * place * 2.0 - 0.22
        size = 0.36 - 0.22 * abs(place)
        piece = ellipse(x, y, size * 0.62, size, place * 0.1)
        canvas.fill(piece, canvas.tint(0.08, 0.72, 0.72, 0.03), rough=0.12, bulge=0.12, light=0.2)
        canvas.fill(
            ellipse(x - 0.02, y - size * 0.15, size * 0.2, size * 0.6, place * 0.1), DOUGH, alpha=0.8, soft=0.04
        )


def fruit_parfait(canvas: Canvas) -> None:
    glass = polygon([(-0.5, -0.3), (0.5, -0.3), (0.2, 0.72), (-0.2, 0.72)])
    canvas.shadow(glass, 0.4, 0.07)
    canvas.fill(box(0, 0.82, 0.34, 0.07, 0.04), (0.85, 0.9, 0.95))
    layers = (
        (CREAM, -0.22),
        ((0.9, 0.3, 0.4), -0.02),
        (CREAM, 0.16),
        ((0.98, 0.78, 0.3), 0.34),
        ((0.6, 0.35, 0.15), 0.54),
    )
    for color, y in layers:
        canvas.fill(box(0, y + 0.1, 0.6, 0.11, 0.02) & glass, color, rough=0.1)
    canvas.fill(ring(glass, 0.015), (0.95, 0.98, 1.0), alpha=0.7)
    for x, y, size in ((-0.26, -0.36, 0.24), (0.24, -0.38, 0.24), (0.0, -0.5, 0.28)):
        canvas.fill(disc(x, y, size), CREAM, rough=0.04, bulge=0.14, light=0.1)
    strawberry(canvas, -0.06, -0.72, 0.2)
    canvas.fill(line([(0.2, -0.45), (0.4, -0.95)], 0.05), (0.75, 0.5, 0.25), rough=0.1)
    leaf(canvas, 0.3, -0.52, 0.12, 0.4)
    sprinkle(canvas, 8, (0, -0.45, 0.4, 0.16), 0.025, CHOCOLATE)
