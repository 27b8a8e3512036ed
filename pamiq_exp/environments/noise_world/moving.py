"""Motion of agents, in plain arithmetic that gives the same bits on every machine."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import compiled, inlined

Floats = NDArray[np.float64]

_JUMP_SPEED, _GRAVITY, _RUN_FACTOR = 2.5, 9.81, 2.0


class Motion(NamedTuple):
    """Constants of motion, in meters, degrees and seconds.

    `lag` is the share of the old speed that is left after one step (0: speeds follow commands at once).
    """

    time_step: float
    speed: float
    turn_speed: float
    run_factor: float
    jump_speed: float
    gravity: float
    lag: float
    radius: float


def motion_of(time_step: float, speed: float, turn_speed: float, time_constant: float, radius: float) -> Motion:
    """Return constants of motion; speeds follow commands with a time constant in seconds, 0 at once."""
    lag = round(math.exp(-time_step / time_constant), 12) if time_constant > 0 else 0.0
    speeds = float(speed), float(turn_speed), _RUN_FACTOR, _JUMP_SPEED
    return Motion(float(time_step), *speeds, _GRAVITY, lag, float(radius))


X, Y, HEADING, HEIGHT, RISE, FORWARD, STRAFE, TURN, AGENT_SIZE = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Columns of an agent's state: position (meters), heading (degrees), height above the floor, and four speeds."""


@inlined
def sine(degrees: float) -> float:
    """Return the sine of an angle, from additions and multiplications only (error below 1e-15)."""
    quarter = np.floor(degrees / 90.0 + 0.5)
    angle = (degrees - 90.0 * quarter) * (np.pi / 180.0)
    square = angle * angle
    turns = np.int64(quarter) % 4
    total, term = 0.0, 1.0
    first = 1 if turns % 2 == 0 else 0
    if first == 1:
        term = angle
    for index in range(10):
        total += term
        power = 2 * index + first
        term *= -square / ((power + 1) * (power + 2))
    return total if turns < 2 else -total


@inlined
def clear_of_walls(solid: NDArray[np.bool_], x: float, y: float, radius: float) -> tuple[float, float]:
    """Push a disc, whose center is not in a wall and whose radius is at most 0.5, out of the walls around it."""
    column, row = np.int64(x), np.int64(y)
    if solid[row, column - 1]:
        x = max(x, column + radius)
    if solid[row, column + 1]:
        x = min(x, column + 1 - radius)
    if solid[row - 1, column]:
        y = max(y, row + radius)
    if solid[row + 1, column]:
        y = min(y, row + 1 - radius)
    for down in range(2):
        for right in range(2):
            if solid[row + 2 * down - 1, column + 2 * right - 1]:
                away_x, away_y = x - (column + right), y - (row + down)
                distance = np.sqrt(away_x * away_x + away_y * away_y)
                if 0.0 < distance < radius:
                    x += away_x * (radius / distance - 1.0)
                    y += away_y * (radius / distance - 1.0)
    return x, y


@compiled
def slide(solid: NDArray[np.bool_], x: float, y: float, dx: float, dy: float, radius: float) -> tuple[float, float]:
    """Move a disc by `(dx, dy)` and let it slide along the walls that it meets."""
    steps = 1 + np.int64(np.sqrt(dx * dx + dy * dy) / 0.1)
    for _ in range(steps):
        x, y = clear_of_walls(solid, x + dx / steps, y + dy / steps, radius)
    return x, y


@compiled
def move(solid: NDArray[np.bool_], agents: Floats, commands: NDArray[np.int64], motion: Motion) -> None:
    """Move every agent by one time step.

    Args:
        agents: `(num_envs, AGENT_SIZE)`, changed in place.
        commands: `(num_envs, 5)`: forward, right and clockwise as -1, 0 or 1; jump and run as 0 or 1.
    """
    step = motion.time_step
    for env in range(agents.shape[0]):
        agent, command = agents[env], commands[env]
        pace = motion.speed * (motion.run_factor if command[4] != 0 else 1.0)
        for index, wanted in ((FORWARD, command[0] * pace), (STRAFE, command[1] * pace)):
            agent[index] = wanted + (agent[index] - wanted) * motion.lag
        wanted = command[2] * motion.turn_speed
        agent[TURN] = wanted + (agent[TURN] - wanted) * motion.lag
        heading = agent[HEADING] + agent[TURN] * step
        agent[HEADING] = heading - 360.0 * np.floor(heading / 360.0)
        east, south = sine(agent[HEADING] + 90.0), sine(agent[HEADING])
        dx = (east * agent[FORWARD] - south * agent[STRAFE]) * step
        dy = (south * agent[FORWARD] + east * agent[STRAFE]) * step
        agent[X], agent[Y] = slide(solid, agent[X], agent[Y], dx, dy, motion.radius)
        if command[3] != 0 and agent[HEIGHT] == 0.0:
            agent[RISE] = motion.jump_speed
        agent[HEIGHT] = max(agent[HEIGHT] + agent[RISE] * step - 0.5 * motion.gravity * step * step, 0.0)
        agent[RISE] = agent[RISE] - motion.gravity * step if agent[HEIGHT] > 0.0 else 0.0


@compiled
def poses_of(agents: Floats, eye_height: float) -> Floats:
    """Return x, y (meters), heading (radians) and eye height of each agent, `(num_envs, 4)`."""
    poses = np.empty((agents.shape[0], 4))
    for env in range(agents.shape[0]):
        poses[env, 0], poses[env, 1] = agents[env, X], agents[env, Y]
        poses[env, 2] = agents[env, HEADING] * (np.pi / 180.0)
        poses[env, 3] = eye_height + agents[env, HEIGHT]
    return poses


@compiled
def rooms_of(agents: Floats, rooms: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the number of each agent's room, `(num_envs,)`, from the room numbers of all cells, `(rows, columns)`."""
    numbers = np.empty(agents.shape[0], np.int32)
    for env in range(agents.shape[0]):
        numbers[env] = rooms[np.int64(agents[env, Y]), np.int64(agents[env, X])]
    return numbers


@compiled
def look(agents: Floats, eye_height: float, poses: Floats) -> None:
    """Write the camera pose of each agent into `poses`, `(num_envs, 5)`, see `cast_all`."""
    for env in range(agents.shape[0]):
        poses[env, 0], poses[env, 1] = agents[env, X], agents[env, Y]
        poses[env, 2], poses[env, 3] = sine(agents[env, HEADING] + 90.0), sine(agents[env, HEADING])
        poses[env, 4] = eye_height + agents[env, HEIGHT]
