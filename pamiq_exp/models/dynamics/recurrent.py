"""Forward dynamics with a recurrent core."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pamiq_exp.models.cores import RecurrentCore
from pamiq_exp.models.dynamics.network import HeadedDynamics
from pamiq_exp.models.dynamics.predictions import HeadFactory
from pamiq_exp.models.nn.sequences import episode_starts
from pamiq_exp.spaces import ActionSpec


class RecurrentDynamics(HeadedDynamics):
    """A recurrent core over latents and actions.

    Args:
        features: Size of a latent vector.
        action: The action space.
        core: The recurrent core.
        head: The kind of predicted distribution; None for `FixedNormalHead`.
        predict_change: Add the output to the latent vector instead of replacing it.
        action_width: Embedding size for each branch of a discrete action; None for one-hot.
        tokens, token_width: See `HeadedDynamics`.
    """

    def __init__(
        self,
        features: int,
        action: ActionSpec,
        core: RecurrentCore,
        head: HeadFactory | None = None,
        predict_change: bool = False,
        action_width: int | None = None,
        tokens: int = 1,
        token_width: int | None = None,
    ) -> None:
        state_width = core.depth * core.state_width
        super().__init__(
            features, action, core.width, state_width, head, predict_change, action_width, tokens, token_width
        )
        self.input = nn.Linear(self.input_width, core.width)
        self.core = core

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> Tensor:
        """See the base class."""
        return self.core.initial_state((batch_size,), device).flatten(-2)

    def step(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        output, after = self.core.step(self.input(self.read(latent, action)[0]), self._by_block(state))
        return output, after.flatten(-2)

    def scan(self, latent: Tensor, action: Tensor, ended: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        inputs = self.input(self.read(latent, action)[0])
        output, states = self.core.scan(inputs, self._by_block(state), episode_starts(ended))
        return output, states.flatten(-2)

    def _by_block(self, state: Tensor) -> Tensor:
        return state.reshape(*state.shape[:-1], self.core.depth, self.core.state_width)
