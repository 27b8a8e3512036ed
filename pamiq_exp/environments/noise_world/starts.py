"""Where agents start, and the random keys of each environment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world import moving
from pamiq_exp.environments.noise_world.maps import WorldMap
from pamiq_exp.environments.noise_world.options import one_of
from pamiq_exp.seeding import derive_seed, numpy_generator


def starting_agents(
    start: str | Sequence[float],
    world_map: WorldMap,
    reachable: NDArray[np.bool_],
    cell: float,
    num_envs: int,
    seed: int,
    episode: int,
) -> NDArray[np.float64]:
    """Return agents at rest, `(num_envs, AGENT_SIZE)`.

    Args:
        start: `map` (as drawn), `random` (anywhere reachable, another position in each episode), or x, y and
            heading in degrees.
        world_map, reachable, cell: The map, and which cells of that side can be reached.
        num_envs: How many.
        seed, episode: What a random start depends on.

    Raises ValueError for a position in a wall or outside of the map.
    """
    agents = np.zeros((num_envs, moving.AGENT_SIZE))
    if isinstance(start, str):
        one_of(start, ("map", "random"), "environment.start")
        agents[:, :3] = world_map.start
        if start == "random":
            generator = numpy_generator(seed, f"start/{episode}" if episode else "start")
            cells = np.argwhere(reachable)[generator.integers(0, reachable.sum(), num_envs)]
            agents[:, [moving.Y, moving.X]] = (cells + 0.5) * cell
            agents[:, moving.HEADING] = generator.integers(0, 24, num_envs) * 15.0
        return agents
    if len(start) != 3:
        raise ValueError(f"environment.start must be 'map', 'random' or [x, y, heading], not {start!r}")
    x, y, heading = (float(value) for value in start)
    rows, columns = world_map.solid.shape
    if not (0 <= x < columns and 0 <= y < rows) or world_map.solid[int(y), int(x)]:
        raise ValueError(f"environment.start: ({x:g}, {y:g}) is in a wall or outside of the map")
    agents[:, :3] = x, y, heading % 360.0
    return agents


def env_keys(seed: int, name: str, num_envs: int) -> NDArray[np.uint32]:
    """Return the 64-bit random key of each environment, `(num_envs, 2)`."""
    seeds = [derive_seed(seed, f"{name}/{env}") for env in range(num_envs)]
    return np.array([(value & 0xFFFFFFFF, value >> 32) for value in seeds], dtype=np.uint32)
