"""Agent, environment, and the turns they take."""

from pamiq_exp.interaction.agent import Agent
from pamiq_exp.interaction.environment import Age, Array, Environment, Observation, continual
from pamiq_exp.interaction.episodes import (
    EndlessEpisodeError,
    EpisodePlayer,
    PlayedEpisodes,
    PlayedSteps,
    play_steps,
)
from pamiq_exp.interaction.interaction import (
    FixedIntervalInteraction,
    ForbiddenActionsError,
    Interaction,
    NonFiniteActionError,
    NonFiniteRewardError,
)
from pamiq_exp.interaction.observer import StepObserver, Turn
from pamiq_exp.interaction.protocols import CollectorPort, InferencePort
from pamiq_exp.interaction.random_actions import RandomActions

__all__ = [
    "Age",
    "Agent",
    "Array",
    "CollectorPort",
    "EndlessEpisodeError",
    "Environment",
    "EpisodePlayer",
    "FixedIntervalInteraction",
    "ForbiddenActionsError",
    "InferencePort",
    "Interaction",
    "NonFiniteActionError",
    "NonFiniteRewardError",
    "Observation",
    "PlayedEpisodes",
    "PlayedSteps",
    "RandomActions",
    "StepObserver",
    "Turn",
    "continual",
    "play_steps",
]
