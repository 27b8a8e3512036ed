"""Agents: models, a reward and collected transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
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

__getattr__ = lazy_names(
    __name__,
    {
        "AgentInput": "learning_agent",
        "Exploration": "exploration",
        "LearningAgent": "learning_agent",
        "PlaybackAgent": "playback_agent",
        "PolicyAgent": "policy_agent",
        "RandomAgent": "random_agent",
    },
)
