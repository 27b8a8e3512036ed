"""Agent that repeats the actions of a recorded run."""

from __future__ import annotations

import torch
from torch import Tensor

from pamiq_exp.agents.learning_agent import AgentInput, LearningAgent
from pamiq_exp.interaction import Array
from pamiq_exp.recording import RecordedActions
from pamiq_exp.rewards import Reward


class PlaybackAgent(LearningAgent):
    """Repeats the actions of a recorded run, turn by turn, in the environment `RecordedRun`.

    Like any other agent it computes rewards and collects transitions, so models can learn from the recording.

    Args:
        path: The run folder, the same as that of the environment.
        name: Name of the recording.
        reward: The reward; None for that of the environment.
        encoder: Name of the encoder, if any.
    """

    def __init__(
        self, path: str, name: str = "recording", reward: Reward | None = None, encoder: str | None = None
    ) -> None:
        super().__init__(reward, encoder)
        self.actions = RecordedActions(path, name)

    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        """See the base class."""
        return torch.from_numpy(self.actions.draw()).to(self._models_device()), {}
