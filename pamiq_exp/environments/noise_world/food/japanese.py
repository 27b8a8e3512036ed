"""Pictures of Japanese dishes."""

from __future__ import annotations

from pamiq_exp.environments.noise_world.food.painting import Canvas, box, disc, ellipse, line, polygon, ring
from pamiq_exp.environments.noise_world.food.tableware import (
    EGG_YELLOW,
    GREEN,
    NORI,
    RICE,
    TOMATO,
    board,
    bowl,
    chopsticks,
    half_egg,
    leaf,
    plate,
    sprinkle,
)


def ramen(canvas: Canvas) -> None:
    broth = canvas.tint(0.085, 0.75, 0.72, 0.05)
    surface = bowl(canvas, canvas.tint(0.0, 0.8, 0.6, 0.1), broth)
    for index in range(9):
        y = -0.42 + index * 0.1
        wave = [(x * 0.14 - 0.62, y + 0.05 * ((x + index) % 2)) for x in range(10)]
        canvas.fill(line(wave, 0.028) & surface.grown(-0.08), (0.97, 0.84, 0.5), bulge=0.03)
    nori = box(0.38, -0.52, 0.26, 0.3, 0.02, 0.03)
    canvas.shadow(nori)
    canvas.fill(nori, NORI, rough=0.3)
    for x, y in ((-0.34, -0.34), (-0.06, -0.42)):
        canvas.shadow(disc(x, y, 0.25))
        canvas.fill(disc(x, y, 0.25), (0.72, 0.47, 0.32), rough=0.15, bulge=0.06)
        canvas.fill(ring(disc(x, y, 0.14), 0.03), (0.93, 0.77, 0.62), alpha=0.8)
    half_egg(canvas, -0.34, 0.28, 0.25, canvas.between(0, 1))
    naruto = disc(0.3, 0.3, 0.2)
    canvas.shadow(naruto)
    canvas.fill(naruto, (0.98, 0.97, 0.96), rough=0.02, bulge=0.05)
    canvas.fill(ring(disc(0.3, 0.3, 0.1), 0.025), (0.94, 0.4, 0.55))
    canvas.fill(disc(0.3, 0.3, 0.035), (0.94, 0.4, 0.55))
    sprinkle(canvas, 14, (0.0, 0.02, 0.3, 0.2), 0.045, GREEN)


def sushi(canvas: Canvas) -> None:
    board(canvas)
    toppings = [
        (0.97, 0.5, 0.28),
        (0.83, 0.16, 0.2),
        EGG_YELLOW,
        (0.95, 0.72, 0.66),
        (0.98, 0.45, 0.25),
        (0.9, 0.86, 0.82),
    ]
    shift = canvas.count(0, 5)
    for index in range(6):
        x, y = -0.56 + 0.56 * (index % 3), -0.36 + 0.72 * (index // 3)
        color = toppings[(index + shift) % 6]
        rice = ellipse(x, y + 0.06, 0.23, 0.29)
        canvas.shadow(rice)
        canvas.fill(rice, RICE, rough=0.12, bulge=0.08)
        fish = box(x, y - 0.03, 0.21, 0.27, 0.13, 0.01)
        canvas.fill(fish, color, rough=0.05, bulge=0.1, light=0.2)
        if color == EGG_YELLOW:
            canvas.fill(box(x, y - 0.02, 0.22, 0.05, 0.01), NORI)
        else:
            for step in (-0.14, -0.02, 0.1):
                stripe = line([(x - 0.18, y + step - 0.06), (x + 0.16, y + step + 0.05)], 0.012)
                canvas.fill(stripe & fish, (1.0, 0.9, 0.85), alpha=0.75)
        canvas.shine(x - 0.07, y - 0.16, 0.05, 0.5)


def maki(canvas: Canvas) -> None:
    board(canvas)
    hearts = [(0.95, 0.42, 0.25), (0.5, 0.75, 0.3), EGG_YELLOW, (0.8, 0.15, 0.2)]
    for x, y in ((-0.55, -0.36), (0.0, -0.42), (0.55, -0.36), (-0.3, 0.3), (0.3, 0.34)):
        x, y = x + canvas.between(-0.03, 0.03), y + canvas.between(-0.03, 0.03)
        canvas.shadow(disc(x, y, 0.27))
        canvas.fill(disc(x, y, 0.27), NORI, rough=0.2)
        canvas.fill(disc(x, y, 0.225), RICE, rough=0.18)
        first = canvas.count(0, 3)
        for index, (right, down) in enumerate(((-0.05, -0.04), (0.06, -0.02), (0.0, 0.07))):
            canvas.fill(disc(x + right, y + down, 0.065), hearts[(first + index) % 4], bulge=0.03)
    canvas.fill(ellipse(0.78, 0.6, 0.12, 0.1), (0.6, 0.8, 0.35), rough=0.2, bulge=0.06)
    chopsticks(canvas)


def curry_rice(canvas: Canvas) -> None:
    plate(canvas)
    dish = disc(0, 0, 0.68)
    canvas.fill(dish, canvas.tint(0.075, 0.85, 0.5, 0.04), rough=0.2, bulge=0.08)
    rice = ellipse(-0.36, -0.05, 0.42, 0.56, 0.03) & dish.grown(0.02)
    canvas.shadow(rice, 0.3)
    canvas.fill(rice, RICE, rough=0.3, bulge=0.1)
    for x, y in canvas.spots(4, 0.3, 0.05, 0.26, 0.45, 0.24):
        chunk = box(x, y, 0.11, 0.09, 0.04, canvas.between(0, 1))
        canvas.shadow(chunk, 0.3, 0.03)
        canvas.fill(chunk, (0.93, 0.5, 0.12), bulge=0.05, light=0.2)
    for x, y in canvas.spots(4, 0.26, 0.05, 0.28, 0.48, 0.26):
        chunk = box(x, y, 0.12, 0.1, 0.05, canvas.between(0, 1))
        canvas.fill(chunk, (0.88, 0.74, 0.4), bulge=0.06, light=0.2)
    sprinkle(canvas, 12, (0.25, 0.0, 0.3, 0.5), 0.03, GREEN)
    sprinkle(canvas, 7, (-0.52, 0.3, 0.13, 0.1), 0.045, (0.8, 0.1, 0.12))


def onigiri(canvas: Canvas) -> None:
    leaf_plate = box(0, 0.3, 0.94, 0.6, 0.2)
    canvas.shadow(leaf_plate)
    canvas.fill(leaf_plate, canvas.tint(0.3, 0.35, 0.4, 0.08), rough=0.1, light=0.15)
    places = ((0.46, -0.2, 0.56), (-0.3, 0.18, 0.72)) if canvas.between(0, 1) < 0.5 else ((0.0, 0.02, 0.92),)
    for x, y, size in places:
        body = polygon(
            [
                (x - size * 0.16, y - size * 0.82),
                (x + size * 0.16, y - size * 0.82),
                (x + size * 0.84, y + size * 0.42),
                (x + size * 0.66, y + size * 0.7),
                (x - size * 0.66, y + size * 0.7),
                (x - size * 0.84, y + size * 0.42),
            ]
        )
        canvas.shadow(body, 0.45, 0.07)
        canvas.fill(body, RICE, rough=0.25, bulge=0.14)
        wrap = box(x, y + size * 0.42, size * 0.36, size * 0.34, 0.02) & body.grown(0.02)
        canvas.fill(wrap, NORI, rough=0.3)
        canvas.fill(disc(x, y - size * 0.24, size * 0.13), (0.85, 0.2, 0.3), bulge=0.08)
        sprinkle(canvas, 9, (x, y - size * 0.24, size * 0.32, size * 0.28), 0.022, (0.2, 0.16, 0.12))


def tempura(canvas: Canvas) -> None:
    tray = box(0, 0, 0.9, 0.82, 0.06)
    canvas.shadow(tray)
    canvas.fill(tray, (0.94, 0.93, 0.9), rough=0.03)
    leaf(canvas, 0.62, -0.5, 0.3, 0.1, (0.3, 0.6, 0.22))
    for index in range(3):
        x = -0.52 + index * 0.42
        lean = canvas.between(-0.06, 0.06)
        body = line([(x, 0.62), (x + lean, 0.0), (x + lean + 0.06, -0.4)], 0.15)
        canvas.shadow(body, 0.4)
        for fx, fy in canvas.spots(26, x + lean * 0.7, 0.12, 0.2, 0.62, 0.07):
            canvas.fill(disc(fx, fy, 0.06), canvas.tint(0.115, 0.6, 0.9, 0.04), bulge=0.05, light=0.3)
        canvas.fill(body.grown(-0.05), (0.93, 0.72, 0.36), rough=0.4, bulge=0.1, alpha=0.75)
        for side in (-0.1, 0.1):
            tail = ellipse(x + lean + 0.08 + side, -0.62, 0.07, 0.16, side * 0.7)
            canvas.fill(tail, (0.88, 0.25, 0.12), bulge=0.05)
    dip = disc(0.62, 0.42, 0.24)
    canvas.shadow(dip)
    canvas.fill(dip, (0.25, 0.35, 0.55), light=0.2)
    canvas.fill(dip.grown(-0.06), (0.35, 0.18, 0.08), bulge=0.05)


def gyoza(canvas: Canvas) -> None:
    plate(canvas)
    for index in range(5):
        x = -0.56 + index * 0.28
        body = ellipse(x, 0.02, 0.17, 0.46, 0.03)
        canvas.shadow(body, 0.4, 0.04)
        canvas.fill(body, (0.95, 0.87, 0.7), rough=0.05, bulge=0.1, light=0.2)
        canvas.fill(
            ellipse(x + 0.02, 0.16, 0.13, 0.26, 0.03), canvas.tint(0.075, 0.75, 0.62, 0.04), rough=0.4, soft=0.05
        )
        for fold in range(5):
            y = -0.34 + fold * 0.09
            canvas.fill(line([(x - 0.13, y), (x - 0.01, y + 0.05)], 0.012), (0.72, 0.58, 0.4), alpha=0.8)
    canvas.fill(disc(0.6, 0.62, 0.17), (0.9, 0.9, 0.92), light=0.2)
    canvas.fill(disc(0.6, 0.62, 0.13), (0.28, 0.13, 0.06))


def takoyaki(canvas: Canvas) -> None:
    boat = box(0, 0.02, 0.9, 0.6, 0.12)
    canvas.shadow(boat)
    canvas.fill(boat, (0.85, 0.7, 0.42), rough=0.15, light=0.15)
    canvas.fill(boat.grown(-0.07), (0.7, 0.53, 0.28), rough=0.15)
    for index in range(6):
        x, y = -0.54 + 0.54 * (index % 3), -0.24 + 0.5 * (index // 3)
        ball = disc(x, y, 0.26)
        canvas.shadow(ball, 0.4)
        canvas.fill(ball, canvas.tint(0.085, 0.68, 0.75, 0.03), rough=0.2, bulge=0.2, light=0.2)
        canvas.fill(ellipse(x, y - 0.03, 0.2, 0.17, canvas.between(0, 1)), (0.28, 0.1, 0.04), rough=0.1, bulge=0.06)
        zigzag = [(x - 0.17 + 0.068 * step, y - 0.1 + 0.12 * (step % 2)) for step in range(6)]
        canvas.fill(line(zigzag, 0.017), (0.99, 0.95, 0.78))
        sprinkle(canvas, 5, (x, y - 0.05, 0.15, 0.12), 0.028, (0.25, 0.5, 0.18))
        canvas.shine(x - 0.1, y - 0.13, 0.04, 0.6)


def omurice(canvas: Canvas) -> None:
    plate(canvas)
    body = ellipse(0.0, 0.02, 0.66, 0.4, canvas.between(-0.04, 0.04))
    canvas.shadow(body, 0.4, 0.06)
    canvas.fill(body, canvas.tint(0.13, 0.8, 0.97), rough=0.08, bulge=0.24, light=0.15)
    wave = [(-0.48 + 0.12 * step, -0.06 + 0.16 * (step % 2)) for step in range(9)]
    canvas.fill(line(wave, 0.05), TOMATO, bulge=0.05, light=0.15)
    canvas.shine(-0.34, -0.2, 0.08, 0.5)
    for x in (-0.3, 0.02, 0.3):
        leaf(canvas, x + 0.35, 0.56 - abs(x) * 0.2, 0.17, canvas.between(-0.1, 0.1))
    canvas.fill(disc(-0.5, 0.48, 0.1), TOMATO, bulge=0.07, light=0.3)


def dango(canvas: Canvas) -> None:
    dish = box(0, 0, 0.88, 0.7, 0.25)
    canvas.shadow(dish)
    canvas.fill(dish, canvas.tint(0.58, 0.45, 0.45, 0.06), light=0.2)
    colors = [(0.96, 0.66, 0.72), (0.97, 0.95, 0.88), (0.62, 0.78, 0.45)]
    for y in (-0.38, 0.02, 0.42):
        stick = line([(-0.8, y + 0.03), (0.8, y - 0.03)], 0.022)
        canvas.shadow(stick, 0.3, 0.03)
        canvas.fill(stick, (0.85, 0.7, 0.45))
        for index, color in enumerate(colors):
            x = -0.28 + index * 0.37
            canvas.shadow(disc(x, y, 0.185), 0.3, 0.03)
            canvas.fill(disc(x, y, 0.185), color, rough=0.03, bulge=0.14, light=0.25)
            canvas.shine(x - 0.06, y - 0.08, 0.045, 0.6)


def sashimi(canvas: Canvas) -> None:
    dish = box(0, 0, 0.9, 0.72, 0.1)
    canvas.shadow(dish)
    canvas.fill(dish, (0.16, 0.17, 0.2), rough=0.1, light=0.1)
    for x, y in canvas.spots(26, 0.0, -0.4, 0.7, 0.16, 0.07):
        canvas.fill(line([(x - 0.14, y), (x + 0.14, y + canvas.between(-0.08, 0.08))], 0.016), (0.95, 0.96, 0.94))
    for row, color in enumerate(((0.97, 0.52, 0.3), (0.78, 0.13, 0.18))):
        for index in range(5):
            x, y = -0.56 + index * 0.25, -0.16 + row * 0.5
            slice_ = box(x, y, 0.11, 0.22, 0.06, 0.06)
            canvas.shadow(slice_, 0.4, 0.03)
            canvas.fill(slice_, color, bulge=0.06, light=0.2, rough=0.04)
            for step in (-0.1, 0.0, 0.1):
                canvas.fill(
                    line([(x - 0.1, y + step), (x + 0.08, y + step + 0.05)], 0.01) & slice_, (1, 0.85, 0.8), alpha=0.7
                )
    leaf(canvas, 0.66, -0.1, 0.22, 0.2, (0.25, 0.5, 0.2))
    canvas.fill(ellipse(0.66, 0.38, 0.13, 0.11), (0.62, 0.8, 0.35), rough=0.25, bulge=0.08)
