"""Agents put together from models and rewards."""

from pamiq_exp.agents.policy_agent import PolicyAgent
from pamiq_exp.agents.random_agent import RandomAgent
from pamiq_exp.agents.recorded_agent import RecordedAgent
from pamiq_exp.agents.recording_agent import Percept, RecordingAgent

__all__ = ["Percept", "PolicyAgent", "RandomAgent", "RecordedAgent", "RecordingAgent"]
