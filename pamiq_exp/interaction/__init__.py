"""Agent, environment, and the turns they take."""

from pamiq_exp.interaction.agent import Agent
from pamiq_exp.interaction.delay import DelayedActions, delayed
from pamiq_exp.interaction.environment import Age, Array, Environment, Observation, continual
from pamiq_exp.interaction.fixed_poses import record_at_poses
from pamiq_exp.interaction.free_running import FreeRunning
from pamiq_exp.interaction.held_out import record_random_transitions
from pamiq_exp.interaction.interaction import (
    FixedIntervalInteraction,
    Interaction,
    NonFiniteActionError,
    NonFiniteRewardError,
)
from pamiq_exp.interaction.live_view import LiveView
from pamiq_exp.interaction.observer import StepObserver, Turn
from pamiq_exp.interaction.play import NoDisplayError, Play
from pamiq_exp.interaction.ports import CollectorPort, InferencePort
from pamiq_exp.interaction.random_actions import RandomActions
from pamiq_exp.interaction.recorders import VideoRecorder
from pamiq_exp.interaction.recordings import RecordedActions
from pamiq_exp.interaction.run_recorder import RunRecorder

__all__ = [
    "Age",
    "Agent",
    "Array",
    "CollectorPort",
    "DelayedActions",
    "Environment",
    "FixedIntervalInteraction",
    "FreeRunning",
    "InferencePort",
    "Interaction",
    "LiveView",
    "NoDisplayError",
    "NonFiniteActionError",
    "NonFiniteRewardError",
    "Observation",
    "Play",
    "RandomActions",
    "RecordedActions",
    "RunRecorder",
    "StepObserver",
    "Turn",
    "VideoRecorder",
    "continual",
    "delayed",
    "record_at_poses",
    "record_random_transitions",
]
