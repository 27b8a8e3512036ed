"""An agent that does what was done before."""

from __future__ import annotations

import torch
from torch import Tensor

from pamiq_exp.agents.learning_agent import AgentInput, LearningAgent
from pamiq_exp.interaction import Array
from pamiq_exp.recording import RecordedActions
from pamiq_exp.rewards import Reward


class PlaybackAgent(LearningAgent):
    """Repeats the actions of a recorded run, turn by turn: in the environment `RecordedRun`, those that led on then.

    It records and judges what it sees like any other agent, so that models can learn from the recording.

    Args:
        path: The run folder, as the environment has it.
        name: What the recording is called.
        reward: What is measured as its reward; None for the environment's own.
        encoder: Name of the model that encodes observations, if any.
    """

    def __init__(
        self, path: str, name: str = "recording", reward: Reward | None = None, encoder: str | None = None
    ) -> None:
        super().__init__(reward, encoder)
        self.actions = RecordedActions(path, name)

    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        """See the base class."""
        return torch.from_numpy(self.actions.draw()).to(self._models_device()), {}
