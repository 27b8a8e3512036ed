"""Things in the rooms: a box that can be pushed, a lamp that is switched by bumping into it, a rolling ball."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import compiled
from pamiq_exp.environments.noise_world import materials
from pamiq_exp.environments.noise_world.maps import WorldMap
from pamiq_exp.environments.noise_world.moving import X, Y, clear_of_walls

Floats = NDArray[np.float64]

BOX, LAMP, BALL = 0, 1, 2
KINDS = {"box": BOX, "lamp": LAMP, "ball": BALL}
RADIUS = {"box": 0.35, "lamp": 0.2, "ball": 0.3}
HEIGHT = {"box": 0.7, "lamp": 1.6, "ball": 0.6}
BALL_SPEED = 1.0
"""Meters per second."""

AT_X, AT_Y, IS_ON, TOUCHED, THING_SIZE = 0, 1, 2, 3, 4
"""Columns of a thing's state."""


class Things(NamedTuple):
    """Constants of the things, each `(things,)`: kind, half width and height in meters."""

    kind: NDArray[np.int32]
    radius: Floats
    height: Floats


def make_things(world_map: WorldMap) -> Things:
    """Return the things of a map."""
    names = [name for name, _, _ in world_map.objects]
    return Things(
        np.array([KINDS[name] for name in names], dtype=np.int32),
        np.array([RADIUS[name] for name in names]),
        np.array([HEIGHT[name] for name in names]),
    )


def starting_places(world_map: WorldMap, num_envs: int) -> Floats:
    """Return the initial state of all things, `(num_envs, things, THING_SIZE)`."""
    state = np.zeros((num_envs, len(world_map.objects), THING_SIZE))
    for index, (_, x, y) in enumerate(world_map.objects):
        state[:, index, :2] = x, y
    return state


def ball_tracks(world_map: WorldMap) -> Floats:
    """Return the western end and the length of each ball's track, `(things, 2)`; zeros for other things."""
    tracks = np.zeros((len(world_map.objects), 2))
    for index, (name, x, y) in enumerate(world_map.objects):
        if name == "ball":
            row = world_map.solid[int(y)]
            west, east = int(x), int(x)
            while not row[west - 1]:
                west -= 1
            while not row[east + 1]:
                east += 1
            tracks[index] = west + RADIUS["ball"], east + 1 - west - 2 * RADIUS["ball"]
    return tracks


def roll(state: Floats, tracks: Floats, seconds: float) -> None:
    """Move the balls to their positions after `seconds`: to and fro along their tracks, a function of time alone."""
    for index, (west, length) in enumerate(tracks):
        if length > 0.0:
            away = (BALL_SPEED * seconds) % (2.0 * length)
            state[:, index, AT_X] = west + min(away, 2.0 * length - away)


def looks(size: int) -> NDArray[np.uint8]:
    """Return pictures of a box, a lamp that is off, one that is on, and a ball, `(4, size, size, 3)` uint8."""
    place = (np.arange(size) + 0.5) / size
    x, y = place[None, :] + np.zeros((size, 1)), place[:, None] + np.zeros((1, size))
    edge = np.minimum(np.minimum(x, 1.0 - x), np.minimum(y, 1.0 - y))
    cross = np.minimum(np.abs(x - y), np.abs(1.0 - x - y))
    box = np.where(((edge < 0.1) | (cross < 0.07))[..., None], (0.5, 0.3, 0.12), (0.78, 0.55, 0.28))
    lamps = []
    for shade in ((0.32, 0.33, 0.4), (1.0, 0.93, 0.5)):
        post = np.where(((x > 0.4) & (x < 0.6))[..., None], (0.25, 0.25, 0.28), (0.4, 0.4, 0.44))
        lamps.append(np.where((y < 0.4)[..., None], shade, post))
    stripe = ((x * 4.0 + y * 2.0) % 2.0 < 1.0)[..., None]
    ball = np.where(stripe, materials.hsv(0.97, 0.85, 0.9), (0.97, 0.97, 0.95))
    pictures: NDArray[np.uint8] = np.floor(np.stack([box, *lamps, ball]) * 255.0 + 0.5).astype(np.uint8)
    return pictures


@compiled
def meet(solid: NDArray[np.bool_], agents: Floats, state: Floats, things: Things, agent_radius: float) -> None:
    """Let agents push boxes and switch lamps. An agent cannot enter a thing that cannot move away."""
    for env in range(agents.shape[0]):
        for index in range(things.kind.size):
            kind = things.kind[index]
            if kind == BALL:
                continue
            thing = state[env, index]
            away_x, away_y = agents[env, X] - thing[AT_X], agents[env, Y] - thing[AT_Y]
            distance = np.sqrt(away_x * away_x + away_y * away_y)
            apart = agent_radius + things.radius[index]
            if distance >= apart or distance == 0.0:
                thing[TOUCHED] = 0.0
                continue
            if thing[TOUCHED] == 0.0 and kind == LAMP:
                thing[IS_ON] = 1.0 - thing[IS_ON]
            thing[TOUCHED] = 1.0
            if kind == BOX:
                push = apart / distance - 1.0
                x, y = thing[AT_X] - away_x * push, thing[AT_Y] - away_y * push
                if not solid[np.int64(y), np.int64(x)]:
                    thing[AT_X], thing[AT_Y] = clear_of_walls(solid, x, y, things.radius[index])
                away_x, away_y = agents[env, X] - thing[AT_X], agents[env, Y] - thing[AT_Y]
                distance = np.sqrt(away_x * away_x + away_y * away_y)
            if 0.0 < distance < apart:
                back = apart / distance - 1.0
                x, y = agents[env, X] + away_x * back, agents[env, Y] + away_y * back
                if not solid[np.int64(y), np.int64(x)]:
                    agents[env, X], agents[env, Y] = clear_of_walls(solid, x, y, agent_radius)


@compiled
def show(state: Floats, things: Things, plain: NDArray[np.int32], stride: int, bases: NDArray[np.int32]) -> None:
    """Write the picture of each thing; that of a lamp that is on comes after that of a lamp that is off.

    Args:
        plain: What each tile shows at the beginning, `(tiles,)`: the last tiles are those of the things.
        stride: Size of one picture.
        bases: What each tile shows now, `(num_envs, tiles)`, changed in place.
    """
    first = plain.size - things.kind.size
    for env in range(state.shape[0]):
        for index in range(things.kind.size):
            lit = things.kind[index] == LAMP and state[env, index, IS_ON] > 0.0
            bases[env, first + index] = plain[first + index] + (stride if lit else 0)
