"""Paint the pictures of docs/guides/environments.md: `python -m docs.world_pictures`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image

from pamiq_exp.config import Source, compose_config
from pamiq_exp.config.hydra_loader import Loader
from pamiq_exp.environments import NoiseWorld
from pamiq_exp.environments.noise_world.food import food_pictures

FOLDER = Path(__file__).parent / "images" / "worlds"
GAP, SCALE = 4, 3

VIEWS: dict[str, list[tuple[float, float, float]]] = {
    "room": [(15.5, 15.5, 270), (15.5, 15.5, 270), (8.5, 20, 90), (8.5, 20, 90), (5, 8, 40), (26.5, 26, 30)],
    "rooms9": [(12.5, 12.5, 0), (12.5, 12.5, 0), (12.5, 9.8, 270), (9.8, 14.6, 325), (4.5, 4.5, 45), (20.5, 12.5, 200)],
    "rooms12": [(21.5, 12.5, 0), (21.5, 12.5, 0), (18, 5.5, 340), (28.5, 12.5, 250), (28.5, 4.5, 90), (12.5, 12.5, 0)],
    "playroom": [(12.3, 4.6, 155), (12.3, 4.6, 155), (8, 12.5, 215), (2, 4.5, 315), (13, 4.5, 320), (5.5, 12.8, 205)],
    "noisy2023": [(5.1, 22, 90), (5.1, 22, 90), (15.5, 13, 270), (15.5, 13, 270), (9, 14, 135), (24, 9, 235)],
    "simple": [(15.5, 15.5, 270), (15.5, 15.5, 270), (8.5, 20, 90), (5, 8, 40), (24, 9, 235), (26.5, 26, 30)],
    "tvroom": [(12.5, 9.8, 270), (12.5, 9.8, 270), (12.5, 5.5, 230), (12.5, 4, 90), (12.5, 12.5, 300), (4.5, 4.5, 45)],
    "remote_room": [
        (12.5, 9.8, 270),
        (12.5, 9.8, 270),
        (12.5, 5.5, 230),
        (12.5, 4, 90),
        (12.5, 12.5, 300),
        (4.5, 4.5, 45),
    ],
}
"""x, y and heading from where each world, or else each map is shown; between two equal views one step passes."""


def build(name: str) -> NoiseWorld:
    """Return a named world as its config describes it."""
    config = compose_config(["experiment=pamiq2024", f"world={name}"])
    config.environment.seed, config.environment.num_envs = 0, 1
    node: Any = OmegaConf.to_container(config.environment, resolve=True)
    node.pop("_target_")
    if name == "shift":
        node["gates_open_at"] = node["dt"]
    return NoiseWorld(**node)


def views(world: NoiseWorld, places: list[tuple[float, float, float]]) -> list[NDArray[np.uint8]]:
    """Return what is seen from each place, one step of the world after the other."""
    still = np.zeros((1, world.actions.choices.size), dtype=np.int64)
    still[0, 5:] = 1
    seen = []
    for x, y, heading in places:
        seen.append(world.render_at(np.array([[x, y, math.radians(heading)]]))[0])
        world.affect(still)
    return seen


def row(pictures: list[NDArray[np.uint8]], scale: int) -> NDArray[np.uint8]:
    """Put pictures side by side, enlarged."""
    height = pictures[0].shape[0] * scale
    gap = np.full((height, GAP, 3), 255, np.uint8)
    parts = [part for shown in pictures for part in (shown.repeat(scale, axis=0).repeat(scale, axis=1), gap)]
    return np.concatenate(parts[:-1], axis=1)


def save(pixels: NDArray[np.uint8], name: str) -> None:
    """Write a picture with a small palette: it stays small and looks the same."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).quantize(256).save(FOLDER / f"{name}.png", optimize=True)


def main() -> None:
    for name in Loader(Source()).get_group_options("world"):
        config = compose_config(["experiment=pamiq2024", f"world={name}"])
        world = build(name)
        save(row(views(world, VIEWS.get(name) or VIEWS[config.environment.map]), SCALE), name)
    dishes = list(food_pictures(30, 64, seed=1))
    rows = [row(dishes[first : first + 10], 1) for first in (0, 10, 20)]
    save(
        np.concatenate([np.pad(part, ((0, GAP), (0, 0), (0, 0)), constant_values=255) for part in rows])[:-GAP]
        .repeat(2, 0)
        .repeat(2, 1),
        "dishes",
    )


if __name__ == "__main__":
    main()
