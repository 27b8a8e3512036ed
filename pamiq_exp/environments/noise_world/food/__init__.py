"""Pictures of food, computed by arithmetic: nothing is downloaded, and they are in the public domain (CC0)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world.food import japanese, sweet, western
from pamiq_exp.environments.noise_world.food.painting import Canvas
from pamiq_exp.environments.noise_world.materials import hsv
from pamiq_exp.seeding import numpy_generator

DISHES: dict[str, Callable[[Canvas], None]] = {
    "ramen": japanese.ramen,
    "pizza": western.pizza,
    "sushi": japanese.sushi,
    "salad": western.salad,
    "strawberry cake": sweet.cake,
    "curry rice": japanese.curry_rice,
    "burger": western.burger,
    "onigiri": japanese.onigiri,
    "fried egg": western.fried_egg,
    "donut": sweet.donut,
    "tempura": japanese.tempura,
    "spaghetti": western.spaghetti,
    "maki": japanese.maki,
    "watermelon": sweet.watermelon,
    "steak": western.steak,
    "takoyaki": japanese.takoyaki,
    "pancakes": sweet.pancakes,
    "omurice": japanese.omurice,
    "hot dog": western.hot_dog,
    "ice cream": sweet.ice_cream,
    "gyoza": japanese.gyoza,
    "fries": western.fries,
    "dango": japanese.dango,
    "taco": western.taco,
    "cookies": sweet.cookies,
    "sashimi": japanese.sashimi,
    "soup": western.soup,
    "croissant": sweet.croissant,
    "sandwich": western.sandwich,
    "parfait": sweet.fruit_parfait,
}
"""The function that paints each dish, by name."""

__all__ = ["DISHES", "food_pictures", "paint_dish"]


def paint_dish(name: str, size: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return one picture of a dish, `(size, size, 3)` uint8; each draw of the generator gives another one."""
    hue, saturation, value = TABLES[int(generator.integers(len(TABLES)))]
    canvas = Canvas(2 * size, hsv(hue, saturation, value), generator)
    DISHES[name](canvas)
    return canvas.picture(size)


TABLES = (
    (0.07, 0.55, 0.4),
    (0.08, 0.4, 0.62),
    (0.6, 0.35, 0.5),
    (0.0, 0.5, 0.5),
    (0.33, 0.25, 0.45),
    (0.1, 0.15, 0.75),
)
"""Hue, saturation and value of table tops."""


def food_pictures(count: int, size: int, seed: int) -> NDArray[np.uint8]:
    """Return `count` pictures of dishes, `(count, size, size, 3)` uint8: all dishes in turn.

    Equal arguments give equal bytes on every platform; picture `i` does not depend on `count`.
    """
    return _painted(count, size, seed).copy()


@lru_cache(maxsize=2)
def _painted(count: int, size: int, seed: int) -> NDArray[np.uint8]:
    """Cached: it takes half a second, and a process often builds the same world twice, to check it and to run it."""
    names = list(DISHES)
    return np.stack(
        [paint_dish(names[index % len(names)], size, numpy_generator(seed, f"dish/{index}")) for index in range(count)]
    )
