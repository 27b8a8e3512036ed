"""What an evaluation plays: whole episodes, or a number of steps where there are no episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.interaction.interaction import Interaction
from pamiq_exp.interaction.observer import StepObserver, Turn

MOST_TURNS = 100_000
"""Turns within which an episode has to end."""


class EndlessEpisodeError(RuntimeError):
    """Episodes do not end; the message says what an evaluation needs."""


@dataclass(frozen=True)
class PlayedEpisodes:
    """Episodes that have ended, those of environment 0 first.

    Attributes:
        returns: Undiscounted sum of the environment's rewards, `(episodes,)`.
        lengths: Number of actions, `(episodes,)`.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class PlayedSteps:
    """Steps of environments that have no episodes.

    Attributes:
        steps: Environment steps, all environments together.
        reward: Mean of the environment's reward over them.
        metrics: What the observers of the interaction have measured, by the names of `summary.json`.
    """

    steps: int
    reward: float
    metrics: Mapping[str, float]


def play_steps(interaction: Interaction, steps: int) -> PlayedSteps:
    """Take whole turns until there are at least `steps` environment steps. Raises ValueError for less than one."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    rewards = _RewardSum()
    interaction.observers["rewards of this evaluation"] = rewards
    turns = -(-steps // interaction.num_envs)
    for _ in range(turns):
        interaction.step()
    rewards.add(interaction.environment.observe().reward)  # what the last action is paid
    metrics = {name: value for each in interaction.observers.values() for name, value in each.summary().items()}
    return PlayedSteps(turns * interaction.num_envs, rewards.total / (turns * interaction.num_envs), metrics)


class _RewardSum(StepObserver):
    """Sum of all rewards but those of the first observation, which answer no action."""

    def __init__(self) -> None:
        self.total = 0.0
        self._begun = False

    def on_step(self, turn: Turn) -> None:
        if self._begun:
            self.add(turn.observation.reward)
        self._begun = True

    def add(self, reward: NDArray[np.floating]) -> None:
        """Add the rewards of all environments."""
        self.total += float(reward.sum())


class EpisodePlayer(Component):
    """Plays whole episodes of an interaction.

    Args:
        interaction: What is played; its observers see all turns.
        most_turns: How many turns may pass without an end of an episode.
    """

    def __init__(self, interaction: Interaction, most_turns: int = MOST_TURNS) -> None:
        self.interaction = interaction
        self._counter = EpisodeCounter(interaction.num_envs)
        interaction.observers["episodes of this evaluation"] = self._counter
        self._most_turns = most_turns

    def play(self, episodes: int) -> PlayedEpisodes:
        """Play until so many episodes have begun and ended, and return them.

        Each environment plays its share: the first ones to end, of all environments together, would be the short ones.
        Episodes that are under way from an earlier call are played to their end and not counted.

        Raises:
            ValueError: For less than one episode.
            EndlessEpisodeError: For episodes that do not end.
        """
        if episodes < 1:
            raise ValueError(f"episodes must be at least 1, not {episodes}")
        counter = self._counter
        counter.begin(episodes)
        while not counter.done:
            self.interaction.step()
            if counter.turns_without_end > self._most_turns:
                raise EndlessEpisodeError(
                    f"no episode has ended within {self._most_turns:,} turns: an evaluation needs an environment whose "
                    "episodes end, such as one with a time limit"
                )
        return counter.played()


class EpisodeCounter(StepObserver):
    """Notes return and length of the share of episodes that each environment plays."""

    def __init__(self, num_envs: int) -> None:
        self._shares = [0] * num_envs
        self._played: list[list[tuple[float, int]]] = []
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._begins = np.ones(num_envs, dtype=np.bool_)
        """Whether the next observation is the first of an episode."""
        self._counts = np.zeros(num_envs, dtype=np.bool_)
        """Whether the episode under way counts."""
        self.turns_without_end = 0

    def begin(self, episodes: int) -> None:
        """Count so many episodes from now on, of those that begin."""
        num_envs = len(self._shares)
        self._shares = [(episodes + env) // num_envs for env in reversed(range(num_envs))]
        self._played = [[] for _ in range(num_envs)]
        self._counts[:] = False
        self.turns_without_end = 0

    @property
    def done(self) -> bool:
        """Whether each environment has played its share."""
        return all(len(found) == share for found, share in zip(self._played, self._shares, strict=True))

    def played(self) -> PlayedEpisodes:
        """Return what was counted."""
        found = [each for episodes in self._played for each in episodes]
        return PlayedEpisodes(np.array([each[0] for each in found]), np.array([each[1] for each in found]))

    def on_step(self, turn: Turn) -> None:
        observation = turn.observation
        self._returns = np.where(self._begins, 0.0, self._returns + observation.reward)
        self._lengths = np.where(self._begins, 0, self._lengths + 1)
        self._counts |= self._begins
        self._begins = observation.ended.copy()
        self.turns_without_end = 0 if self._begins.any() else self.turns_without_end + 1
        for env in np.flatnonzero(self._begins & self._counts):
            if len(self._played[env]) < self._shares[env]:
                self._played[env].append((float(self._returns[env]), int(self._lengths[env])))

    def state(self) -> State:
        """Where episodes begin: what a later evaluation has to know."""
        return {"begins": self._begins}

    def load_state(self, state: State) -> None:
        self._begins = np.array(state["begins"], dtype=np.bool_)
