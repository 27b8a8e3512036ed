"""Forward dynamics without memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pamiq_exp.models.dynamics.network import HeadedDynamics
from pamiq_exp.models.dynamics.predictions import HeadFactory
from pamiq_exp.spaces import ActionSpec


class _ActionBlock(nn.Module):
    """A residual block with the action as a further input."""

    def __init__(self, width: int, action_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width + action_width, width)
        self.outer = nn.Linear(width + action_width, width)

    def forward(self, hidden: Tensor, action: Tensor) -> Tensor:
        inner = nn.functional.gelu(self.inner(torch.cat([self.norm(hidden), action], -1)))
        update: Tensor = self.outer(torch.cat([inner, action], -1))
        return hidden + update


class ResidualDynamics(HeadedDynamics):
    """A residual MLP with the action at every layer, without memory.

    Source: the forward model of Burda et al. 2018, Large-scale study of curiosity-driven learning, appendix A.

    Args:
        features: Size of a latent vector.
        action: The action space.
        width: Width of the hidden layers.
        depth: Number of residual blocks.
        head: The kind of predicted distribution; None for `FixedNormalHead`.
        predict_change: Add the output to the latent vector instead of replacing it.
        action_width: Embedding size for each branch of a discrete action; None for one-hot.
        tokens, token_width: See `HeadedDynamics`.
    """

    def __init__(
        self,
        features: int,
        action: ActionSpec,
        width: int = 256,
        depth: int = 2,
        head: HeadFactory | None = None,
        predict_change: bool = False,
        action_width: int | None = None,
        tokens: int = 1,
        token_width: int | None = None,
    ) -> None:
        super().__init__(features, action, width, 0, head, predict_change, action_width, tokens, token_width)
        self.input = nn.Linear(self.input_width, width)
        self.blocks = nn.ModuleList(_ActionBlock(width, self.action.width) for _ in range(depth))

    def step(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        joined, encoded = self.read(latent, action)
        hidden: Tensor = self.input(joined)
        for block in self.blocks:
            hidden = block(hidden, encoded)
        return hidden, state

    def scan(self, latent: Tensor, action: Tensor, ended: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        hidden, _ = self.step(latent, action, state)
        return hidden, state.unsqueeze(1).expand(*latent.shape[:2], 0)
