"""Agent with uniformly random actions."""

from __future__ import annotations

import torch
from torch import Tensor

from pamiq_exp.agents.learning_agent import AgentInput, LearningAgent
from pamiq_exp.interaction import Array, RandomActions
from pamiq_exp.rewards import Reward, RewardStreams
from pamiq_exp.spaces import ActionSpec


class RandomAgent(LearningAgent):
    """Draws every action uniformly from those that are allowed: a baseline.

    Like any other agent it computes rewards and collects transitions, so models can learn from its data.

    Args:
        action: The action space.
        num_envs: Actions in one turn.
        seed: Of its own generator.
        stickiness: Probability of repeating the last action.
        reward: The reward; None for that of the environment.
        encoder: Name of the encoder, if any.
        streams: See `LearningAgent`.
    """

    def __init__(
        self,
        action: ActionSpec,
        num_envs: int,
        seed: int,
        stickiness: float = 0.0,
        reward: Reward | None = None,
        encoder: str | None = None,
        streams: RewardStreams | None = None,
    ) -> None:
        super().__init__(reward, encoder, streams)
        self.actions = RandomActions(action, num_envs, seed, stickiness)

    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        """See the base class."""
        return torch.from_numpy(self.actions.draw(agent_input.mask)).to(self._models_device()), {}
