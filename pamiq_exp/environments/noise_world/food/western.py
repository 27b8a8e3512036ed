"""Pictures of western dishes."""

from __future__ import annotations

import math

from pamiq_exp.environments.noise_world.food.painting import (
    Canvas,
    Shape,
    box,
    direction,
    disc,
    ellipse,
    line,
    polygon,
)
from pamiq_exp.environments.noise_world.food.tableware import (
    DOUGH,
    EGG_YELLOW,
    GREEN,
    MEAT,
    TOMATO,
    board,
    bowl,
    half_egg,
    leaf,
    plate,
    sprinkle,
    tomato,
)


def pizza(canvas: Canvas) -> None:
    board(canvas)
    canvas.shadow(disc(0, 0, 0.86), 0.5)
    canvas.fill(disc(0, 0, 0.86), canvas.tint(0.085, 0.62, 0.78), rough=0.25, bulge=0.14)
    canvas.fill(disc(0, 0, 0.72), (0.8, 0.22, 0.1), rough=0.2)
    canvas.fill(disc(0, 0, 0.69), (0.98, 0.83, 0.42), rough=0.25)
    for x, y in canvas.spots(8, 0, 0, 0.56, 0.56, 0.3):
        canvas.fill(disc(x, y, 0.13), (0.74, 0.16, 0.1), rough=0.2, bulge=0.04, light=0.1)
        sprinkle(canvas, 3, (x, y, 0.08, 0.08), 0.02, (0.95, 0.55, 0.4))
    for x, y in canvas.spots(6, 0, 0, 0.6, 0.6, 0.3):
        leaf(canvas, x, y, 0.1, canvas.between(0, 1), (0.22, 0.55, 0.15))
    sprinkle(canvas, 8, (0, 0, 0.6, 0.6), 0.04, (0.15, 0.13, 0.14))
    start = canvas.between(0, 1)
    for index in range(4):
        x, y = direction(start + index / 8)
        canvas.fill(line([(-x * 0.85, -y * 0.85), (x * 0.85, y * 0.85)], 0.012), (0.55, 0.3, 0.12), alpha=0.8)


def salad(canvas: Canvas) -> None:
    bowl(canvas, canvas.tint(0.1, 0.4, 0.75, 0.1), (0.25, 0.42, 0.15))
    for x, y in canvas.spots(26, 0, 0.02, 0.6, 0.6, 0.15):
        leaf(canvas, x, y, canvas.between(0.16, 0.26), canvas.between(0, 1), canvas.tint(0.27, 0.65, 0.68, 0.08))
    for x, y in canvas.spots(4, 0, 0.02, 0.52, 0.52, 0.4):
        tomato(canvas, x, y, 0.14)
    for x, y in canvas.spots(5, 0, 0.02, 0.5, 0.5, 0.3):
        canvas.fill(disc(x, y, 0.13), (0.35, 0.6, 0.25), rough=0.05)
        canvas.fill(disc(x, y, 0.11), (0.84, 0.93, 0.66), rough=0.08)
    for x, y in canvas.spots(2, 0, 0.02, 0.42, 0.42, 0.5):
        half_egg(canvas, x, y, 0.19, canvas.between(0, 1))


def burger(canvas: Canvas) -> None:
    base = box(0, 0.56, 0.7, 0.2, 0.14)
    canvas.shadow(base, 0.5, 0.1)
    canvas.fill(base, DOUGH, rough=0.08, bulge=0.12)
    for index in range(7):
        canvas.fill(
            disc(-0.66 + index * 0.22, 0.32 + 0.03 * (index % 2), 0.13), canvas.tint(0.27, 0.7, 0.68), bulge=0.06
        )
    canvas.fill(box(0, 0.2, 0.72, 0.14, 0.12), MEAT, rough=0.4, bulge=0.1)
    canvas.fill(
        polygon([(-0.72, 0.06), (0.72, 0.06), (0.4, 0.3), (0.1, 0.1), (-0.3, 0.34)]), (0.99, 0.77, 0.2), rough=0.02
    )
    canvas.fill(box(0, 0.05, 0.72, 0.05, 0.02), (0.99, 0.77, 0.2), rough=0.02)
    canvas.fill(box(0, -0.04, 0.68, 0.07, 0.06), TOMATO, bulge=0.05)
    top = ellipse(0, -0.08, 0.74, 0.66) & box(0, -0.5, 0.9, 0.42, 0.0)
    canvas.fill(top, canvas.tint(0.085, 0.66, 0.83), rough=0.06, bulge=0.2, light=0.3)
    for x, y in canvas.spots(16, 0, -0.4, 0.5, 0.24, 0.1):
        canvas.fill(ellipse(x, y, 0.035, 0.022, canvas.between(0, 1)), (0.98, 0.92, 0.75))


def fried_egg(canvas: Canvas) -> None:
    pan = disc(-0.04, 0.04, 0.84)
    handle = line([(0.5, -0.5), (0.95, -0.95)], 0.09)
    canvas.shadow(pan | handle, 0.5)
    canvas.fill(handle, (0.16, 0.15, 0.15), light=0.2)
    canvas.fill(pan, (0.2, 0.2, 0.22), light=0.3)
    canvas.fill(pan.grown(-0.08), (0.12, 0.12, 0.13), rough=0.1)
    eggs = [(-0.06, 0.04)] if canvas.between(0, 1) < 0.5 else [(-0.32, -0.14), (0.22, 0.24)]
    size = 0.3 if len(eggs) == 1 else 0.2
    white = disc(*eggs[0], size * 1.6)
    for x, y in eggs:
        for index in range(7):
            right, down = direction(index / 7 + canvas.between(0, 0.1))
            reach = size * canvas.between(0.8, 1.25)
            white = white | disc(x + right * reach, y + down * reach, size * canvas.between(0.7, 1.0))
    canvas.fill(white, (0.78, 0.62, 0.4), rough=0.2)
    canvas.fill(white.grown(-0.025), (0.98, 0.97, 0.94), rough=0.03, bulge=0.08)
    for x, y in eggs:
        canvas.fill(disc(x, y, size), EGG_YELLOW, rough=0.02, bulge=size * 0.6, light=0.1)
        canvas.shine(x - size * 0.35, y - size * 0.4, size * 0.24, 0.9)
    sprinkle(canvas, 10, (-0.05, 0.05, 0.5, 0.5), 0.014, (0.15, 0.12, 0.1))


def spaghetti(canvas: Canvas) -> None:
    plate(canvas)
    canvas.shadow(disc(0, 0, 0.56), 0.35)
    canvas.fill(disc(0, 0, 0.56), (0.85, 0.66, 0.3), rough=0.1, bulge=0.2)
    for _ in range(24):
        radius = canvas.between(0.12, 0.52)
        x, y = canvas.between(-0.1, 0.1), canvas.between(-0.1, 0.1)
        first, length = canvas.between(0, 1), canvas.between(0.3, 0.6)
        arc = [(x + radius * a, y + radius * b) for a, b in (direction(first + length * step / 7) for step in range(8))]
        canvas.fill(line(arc, 0.026), canvas.tint(0.125, 0.55, 0.96, 0.03), bulge=0.03)
    for x, y in canvas.spots(16, 0, 0, 0.24, 0.22, 0.05):
        canvas.fill(disc(x, y, 0.1), canvas.tint(0.02, 0.88, 0.72, 0.03), rough=0.3, bulge=0.08)
    for x, y in canvas.spots(3, 0, 0, 0.22, 0.2, 0.2):
        canvas.fill(disc(x, y, 0.11), MEAT, rough=0.3, bulge=0.09, light=0.3)
    for turn in (0.1, 0.4):
        leaf(canvas, 0.05 * turn, -0.06, 0.13, turn, (0.2, 0.55, 0.15))


def steak(canvas: Canvas) -> None:
    plate(canvas, color=(0.24, 0.24, 0.26))
    meat = ellipse(-0.12, -0.1, 0.56, 0.42, 0.08) | ellipse(0.12, 0.1, 0.4, 0.34, 0.05)
    canvas.shadow(meat, 0.5)
    canvas.fill(meat, (0.85, 0.68, 0.5), rough=0.1, bulge=0.05)
    canvas.fill(meat.grown(-0.045), canvas.tint(0.03, 0.62, 0.4, 0.03), rough=0.35, bulge=0.12)
    for index in range(5):
        shift = -0.4 + index * 0.2
        mark = line([(shift - 0.3, 0.5), (shift + 0.3, -0.55)], 0.025)
        canvas.fill(mark & meat.grown(-0.08), (0.12, 0.06, 0.04), alpha=0.85)
    canvas.fill(box(-0.1, -0.12, 0.12, 0.1, 0.03, 0.05), (0.99, 0.9, 0.5), bulge=0.05, light=0.2)
    for x, y in ((0.32, 0.5), (0.5, 0.36), (0.14, 0.58)):
        canvas.fill(box(x, y, 0.2, 0.05, 0.02, canvas.between(-0.1, 0.1)), (0.95, 0.76, 0.32), light=0.2)
    for x, y in canvas.spots(9, -0.42, 0.44, 0.2, 0.14, 0.06):
        canvas.fill(disc(x, y, 0.07), canvas.tint(0.3, 0.65, 0.5, 0.06), bulge=0.06, light=0.3)


def hot_dog(canvas: Canvas) -> None:
    turn = canvas.between(-0.06, 0.06)
    c, s = direction(turn)

    def bar(length: float, width: float, away: float) -> Shape:
        x, y = -s * away, c * away
        return line([(x - c * length, y - s * length), (x + c * length, y + s * length)], width)

    for away in (0.24, -0.24):
        bun = bar(0.58, 0.27, away)
        canvas.shadow(bun, 0.5)
        canvas.fill(bun, canvas.tint(0.09, 0.6, 0.85), rough=0.06, bulge=0.18, light=0.2)
    for index in range(8):
        x = -0.64 + index * 0.18
        canvas.fill(disc(c * x + s * 0.16, s * x - c * 0.16, 0.1), canvas.tint(0.27, 0.65, 0.66), bulge=0.05)
    sausage = bar(0.68, 0.16, 0.0)
    canvas.shadow(sausage, 0.4, 0.04)
    canvas.fill(sausage, (0.7, 0.28, 0.16), rough=0.05, bulge=0.13, light=0.2)
    wave = [
        (c * x - s * y, s * x + c * y)
        for x, y in ((-0.66 + 0.11 * step, 0.09 - 0.18 * (step % 2)) for step in range(13))
    ]
    canvas.fill(line(wave, 0.034), (0.99, 0.8, 0.12), rough=0.02)


def fries(canvas: Canvas) -> None:
    for _ in range(22):
        x = canvas.between(-0.46, 0.46)
        top = -0.82 + 0.5 * x * x + canvas.between(0.0, 0.34)
        stick = line([(x * 0.8, 0.3), (x * 1.15, top)], 0.055)
        canvas.shadow(stick, 0.3, 0.03)
        canvas.fill(stick, canvas.tint(0.125, 0.65, 0.95, 0.03), rough=0.08, bulge=0.045, light=0.1)
    packet = polygon([(-0.56, -0.02), (0.56, -0.02), (0.42, 0.9), (-0.42, 0.9)])
    canvas.shadow(packet, 0.5, 0.07)
    canvas.fill(packet - ellipse(0, -0.12, 0.42, 0.24), canvas.tint(0.0, 0.85, 0.78, 0.08), rough=0.03, light=0.15)
    canvas.fill(disc(0, 0.5, 0.18), (0.99, 0.84, 0.25), rough=0.02)


def taco(canvas: Canvas) -> None:
    back = disc(0, 0.24, 0.8) & box(0, -0.26, 1.0, 0.56, 0.0)
    canvas.shadow(back, 0.5, 0.08)
    canvas.fill(back, (0.8, 0.56, 0.22), rough=0.15)
    for index in range(11):
        x = -0.65 + index * 0.13
        y = 0.2 - math.sqrt(max(0.56 - x * x, 0.0)) * 0.98
        canvas.fill(disc(x, y, 0.14), canvas.tint(0.27, 0.7, 0.66, 0.05), rough=0.2, bulge=0.06)
        if index % 3 == 1:
            tomato(canvas, x, y + 0.05, 0.1)
    for index in range(9):
        x = -0.56 + index * 0.14
        y = 0.26 - math.sqrt(max(0.52 - x * x, 0.0)) * 0.9
        canvas.fill(disc(x, y, 0.11), MEAT, rough=0.4, bulge=0.08)
        canvas.fill(line([(x - 0.06, y - 0.06), (x + 0.05, y + 0.02)], 0.02), EGG_YELLOW)
    front = disc(0, 0.46, 0.82) & box(0, -0.04, 1.0, 0.5, 0.0)
    canvas.fill(front, canvas.tint(0.11, 0.66, 0.9), rough=0.15, bulge=0.1, light=0.15)
    sprinkle(canvas, 10, (0, 0.1, 0.6, 0.26), 0.035, (0.75, 0.48, 0.18))


def soup(canvas: Canvas) -> None:
    broth = canvas.tint(0.04, 0.85, 0.85, 0.05)
    bowl(canvas, canvas.tint(0.55, 0.3, 0.8, 0.2), broth)
    swirl = [(r * x, 0.02 + r * y) for r, (x, y) in ((0.06 + 0.045 * k, direction(k / 7)) for k in range(11))]
    canvas.fill(line(swirl, 0.03), (0.99, 0.93, 0.82), alpha=0.95, rough=0.02, soft=0.01)
    for x, y in canvas.spots(6, 0, 0.02, 0.58, 0.58, 0.3):
        crouton = box(x, y, 0.09, 0.09, 0.03, canvas.between(0, 1))
        canvas.shadow(crouton, 0.35, 0.03)
        canvas.fill(crouton, (0.85, 0.6, 0.27), rough=0.3, bulge=0.04, light=0.2)
    for turn in (0.08, 0.3):
        leaf(canvas, 0.06, -0.02, 0.15, turn, (0.22, 0.56, 0.18))


def sandwich(canvas: Canvas) -> None:
    board(canvas)
    for x, y in ((-0.3, -0.12), (0.3, 0.22)):
        layers = (
            ((0.95, 0.85, 0.62), 0.42),
            (GREEN, 0.3),
            (TOMATO, 0.22),
            (EGG_YELLOW, 0.12),
            ((0.93, 0.62, 0.6), 0.03),
        )
        crust = polygon([(x - 0.56, y + 0.36), (x, y - 0.5), (x + 0.56, y + 0.36)]).grown(0.02)
        canvas.shadow(crust, 0.5, 0.07)
        canvas.fill(crust, (0.72, 0.45, 0.2))
        canvas.fill(crust.grown(-0.05), (0.97, 0.92, 0.78), rough=0.12)
        for index, (color, _) in enumerate(layers):
            stripe = box(x, y + 0.4 + index * 0.065, 0.58, 0.045, 0.03)
            canvas.fill(stripe, color, rough=0.12, bulge=0.03)
