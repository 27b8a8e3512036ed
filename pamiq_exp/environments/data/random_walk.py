"""Sequences of random walks, as held-out data."""

from __future__ import annotations

import logging

import numpy as np

from pamiq_exp.component import set_up, tear_down
from pamiq_exp.interaction.environment import Array, Environment
from pamiq_exp.interaction.random_actions import RandomActions
from pamiq_exp.seeding import numpy_generator
from pamiq_exp.spaces import ACTION_MASK, describe_action

logger = logging.getLogger(__name__)


def record_random_transitions(
    environment: Environment, turns: int, sequence_length: int, seed: int, stickiness: float = 0.75
) -> dict[str, Array]:
    """Let a random walk record sequences in an environment of its own, to measure models on.

    Args:
        environment: An instance that no agent uses; it is set up and torn down here.
        turns: Turns to record in all environments; what does not fill a last sequence is left out.
        sequence_length: Turns in one sequence.
        seed: Of the random walk.
        stickiness: Probability of repeating an action, so that the walk gets somewhere.

    Returns:
        `observation.*`, `action`, `reward`, `terminated`, `truncated` and `ended`, each
        `(num_envs * turns // sequence_length, sequence_length, *shape)`, the sequences in random order. As in
        all records, reward, terminated and truncated belong to the transition out of an observation; `ended`
        says that the observation itself was the last of its episode. Nothing of a world that is live or free-running.

    Raises:
        ValueError: Not even one sequence would be recorded.
    """
    if environment.live or environment.free_running:
        kind = "a live world" if environment.live else "a world that goes on by itself"
        logger.info("nothing is held out: only its agent acts in %s (%s)", kind, type(environment).__name__)
        tear_down(environment)
        return {}
    if turns < sequence_length or sequence_length < 1:
        raise ValueError(f"{turns} turns do not hold a sequence of {sequence_length}")
    columns = _record(environment, turns - turns % sequence_length, seed, stickiness)
    sequences = {name: _cut(np.stack(column, axis=1), sequence_length) for name, column in columns.items()}
    order = numpy_generator(seed, "order").permutation(len(sequences["action"]))
    return {name: column[order] for name, column in sequences.items()}


def _record(environment: Environment, turns: int, seed: int, stickiness: float) -> dict[str, list[Array]]:
    actions = RandomActions(describe_action(environment.action_space), environment.num_envs, seed, stickiness)
    columns: dict[str, list[Array]] = {}
    set_up(environment)
    try:
        observation = environment.observe()
        for _ in range(turns):
            action = actions.draw(observation.values.get(ACTION_MASK))
            environment.affect(action)
            following = environment.observe()
            record = {f"observation.{name}": value for name, value in observation.values.items()} | {
                "action": action,
                "reward": following.reward,
                "terminated": following.terminated,
                "truncated": following.truncated,
                "ended": observation.ended,
            }
            for name, value in record.items():
                columns.setdefault(name, []).append(value)
            observation = following
    finally:
        tear_down(environment)
    return columns


def _cut(column: Array, sequence_length: int) -> Array:
    """`(num_envs, turns, *shape)` -> `(sequences, sequence_length, *shape)`."""
    return column.reshape(-1, sequence_length, *column.shape[2:])
