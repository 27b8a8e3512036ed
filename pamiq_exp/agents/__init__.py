"""Agents: models, a reward and collected transitions."""

from pamiq_exp.agents.exploration import Exploration
from pamiq_exp.agents.learning_agent import AgentInput, LearningAgent
from pamiq_exp.agents.playback_agent import PlaybackAgent
from pamiq_exp.agents.policy_agent import PolicyAgent
from pamiq_exp.agents.random_agent import RandomAgent

__all__ = [
    "AgentInput",
    "Exploration",
    "LearningAgent",
    "PlaybackAgent",
    "PolicyAgent",
    "RandomAgent",
]
