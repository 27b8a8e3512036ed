"""Transitions at poses that stay the same for the whole run, to measure models on."""

from __future__ import annotations

import math

import numpy as np

from pamiq_exp.component import set_up, tear_down
from pamiq_exp.interaction.environment import Array, Environment
from pamiq_exp.interaction.random_actions import RandomActions
from pamiq_exp.seeding import numpy_generator
from pamiq_exp.spaces import describe_action

TRUTH = {"noise_mask": "noise_mask", "clean_image": "clean_observation.image", "room": "room"}
"""What is kept of the truth at the first moment, and under which name."""


def record_at_poses(
    environment: Environment, poses: int, seed: int, cell: float = 0.25, others: int = 0
) -> dict[str, Array]:
    """Record one random step from each of several random poses.

    Places are drawn evenly from the reachable cells, headings from all directions.

    Args:
        environment: An instance that no agent uses; it is set up and torn down here.
        poses: How many.
        seed: Of poses and actions.
        cell: Side of the cells of the truth's `reachable`, in meters.
        others: How many other environments also show where each step has led, with their own noise; at most
            `num_envs - 1` do.

    Returns:
        `observation.*`, `action`, `next_observation.*`, `pose` (x, y, heading) and, where the world provides it
        them, `noise_mask`, `next_noise_mask`, `clean_observation.image` (the same view without noise) and
        `room`, each `(poses, *shape)`; with `others` also `placed_observation.*`, `(poses, 1 + others, *shape)`: the
        views of an agent at rest where the step has led, at the same time in its own environment and in others. An
        empty mapping if this world cannot place agents.
    """
    if poses < 1 or others < 0:
        raise ValueError(f"there must be at least 1 pose and 0 others, not {poses} and {others}")
    generator = numpy_generator(seed, "poses")
    actions = RandomActions(describe_action(environment.action_space), environment.num_envs, seed)
    set_up(environment)
    try:
        reachable = environment.ground_truth().get("reachable")
        if reachable is None:
            return {}
        cells = np.argwhere(reachable)
        places = (cells[generator.integers(0, len(cells), poses)][:, ::-1] + 0.5) * cell
        wanted = np.column_stack([places, generator.uniform(0.0, 2.0 * math.pi, poses)])
        return _record(environment, wanted, actions, min(others, environment.num_envs - 1))
    finally:
        tear_down(environment)


def _record(environment: Environment, poses: Array, actions: RandomActions, others: int) -> dict[str, Array]:
    columns: dict[str, list[Array]] = {"pose": []}
    for first in range(0, len(poses), environment.num_envs):
        some = poses[first : first + environment.num_envs]
        padded = np.concatenate([some, np.repeat(some[-1:], environment.num_envs - len(some), axis=0)])
        if not environment.place(padded):
            return {}
        row = _transition(environment, actions.draw()) | {"pose": padded}
        reached = environment.ground_truth().get("pose")
        if others and reached is not None:
            row |= _placed(environment, reached, others)
        for name, value in row.items():
            columns.setdefault(name, []).append(value[: len(some)])
    return {name: np.concatenate(column) for name, column in columns.items()}


def _transition(environment: Environment, action: Array) -> dict[str, Array]:
    row = {f"observation.{name}": value for name, value in environment.observe().values.items()}
    truth = environment.ground_truth()
    row |= {kept: truth[name].copy() for name, kept in TRUTH.items() if name in truth}
    environment.affect(action)
    row |= {f"next_observation.{name}": value for name, value in environment.observe().values.items()}
    truth = environment.ground_truth()
    if "noise_mask" in truth:
        row["next_noise_mask"] = truth["noise_mask"].copy()
    return row | {"action": action}


def _placed(environment: Environment, poses: Array, others: int) -> dict[str, Array]:
    """Return the view at each pose in its own environment and in the next ones, `(num_envs, 1 + others, *shape)`."""
    columns: dict[str, list[Array]] = {}
    for shift in range(1 + others):
        environment.place(np.roll(poses, shift, axis=0))
        for name, value in environment.observe().values.items():
            columns.setdefault(f"placed_observation.{name}", []).append(np.roll(value, -shift, axis=0))
    return {name: np.stack(column, axis=1) for name, column in columns.items()}
