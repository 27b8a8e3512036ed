"""A wrapper that does each action several times."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.environments.wrappers.wrapper import EnvironmentWrapper
from pamiq_exp.interaction.environment import Array, Environment, Observation


def repeated(environment: Environment, times: int) -> Environment:
    """Return an environment in which each action is done `times` times in a row.

    The reward of a turn is the sum over its steps, and an episode that ends ends the turn.

    Raises:
        ValueError: For less than one step, or an environment that goes on by itself.
    """
    if times < 1:
        raise ValueError(f"action_repeat must be at least 1, not {times}")
    if environment.live or environment.own_interval is not None or environment.free_running:
        raise ValueError("action_repeat: this environment goes on by itself; let turns be longer instead")
    return environment if times == 1 or environment.repeat_actions(times) else ActionRepeat(environment, times)


class ActionRepeat(EnvironmentWrapper):
    """Does each action several times in a row, in environments that cannot do so by themselves.

    All environments are stepped together, so a turn ends early in all of them where an episode ends in one: its last
    observation, and the first of the next episode, must be seen.

    Args:
        environment: Where actions are done.
        times: Steps in a turn.
    """

    def __init__(self, environment: Environment, times: int) -> None:
        super().__init__(environment)
        self._times = times
        self._reward = np.zeros(self.num_envs, dtype=np.float32)

    def observe(self) -> Observation:
        """See `Environment`."""
        seen = super().observe()
        return Observation(seen.values, self._reward + seen.reward, seen.terminated, seen.truncated)

    def affect(self, action: Array) -> None:
        """See `Environment`."""
        begins = self.environment.observe().ended.any()
        self._reward = np.zeros(self.num_envs, dtype=np.float32)
        super().affect(action)
        for _ in range(0 if begins else self._times - 1):
            between = self.environment.observe()
            if between.ended.any():
                break
            self._reward = self._reward + between.reward
            super().affect(action)

    def state(self) -> State:
        """Rewards of this turn so far."""
        return {"reward": self._reward}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._reward = np.array(state["reward"], dtype=np.float32)
