"""Where bodies start, and what makes their lives differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world import moving
from pamiq_exp.environments.noise_world.maps import WorldMap
from pamiq_exp.environments.noise_world.options import one_of
from pamiq_exp.seeding import derive_seed, numpy_generator


def starting_bodies(
    start: str | Sequence[float],
    world_map: WorldMap,
    reachable: NDArray[np.bool_],
    cell: float,
    num_envs: int,
    seed: int,
    episode: int,
) -> NDArray[np.float64]:
    """Return bodies at rest, `(num_envs, BODY_SIZE)`.

    Args:
        start: `map` (as drawn), `random` (anywhere reachable, another place in each episode), or x, y and
            heading in degrees.
        world_map, reachable, cell: The map, and which cells of that side can be reached.
        num_envs, seed, episode: How many bodies, and what a random start depends on.

    Raises ValueError for a place in a wall or outside of the map.
    """
    bodies = np.zeros((num_envs, moving.BODY_SIZE))
    if isinstance(start, str):
        one_of(start, ("map", "random"), "environment.start")
        bodies[:, :3] = world_map.start
        if start == "random":
            generator = numpy_generator(seed, f"start/{episode}" if episode else "start")
            cells = np.argwhere(reachable)[generator.integers(0, reachable.sum(), num_envs)]
            bodies[:, [moving.Y, moving.X]] = (cells + 0.5) * cell
            bodies[:, moving.HEADING] = generator.integers(0, 24, num_envs) * 15.0
        return bodies
    if len(start) != 3:
        raise ValueError(f"environment.start must be 'map', 'random' or [x, y, heading], not {start!r}")
    x, y, heading = (float(value) for value in start)
    rows, columns = world_map.solid.shape
    if not (0 <= x < columns and 0 <= y < rows) or world_map.solid[int(y), int(x)]:
        raise ValueError(f"environment.start: ({x:g}, {y:g}) is in a wall or outside of the map")
    bodies[:, :3] = x, y, heading % 360.0
    return bodies


def env_keys(seed: int, name: str, num_envs: int) -> NDArray[np.uint32]:
    """Return 64 bits for each environment from which it draws what is random in it, `(num_envs, 2)`."""
    seeds = [derive_seed(seed, f"{name}/{env}") for env in range(num_envs)]
    return np.array([(value & 0xFFFFFFFF, value >> 32) for value in seeds], dtype=np.uint32)
