"""Base classes of forward dynamics networks."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from pamiq_exp.models.dynamics.predictions import FixedNormal, FixedNormalHead, HeadFactory, Prediction
from pamiq_exp.models.nn.action_distributions import ActionEmbedding, ActionEncoding
from pamiq_exp.models.nn.token_mixing import LerpStackedFeatures
from pamiq_exp.spaces import ActionSpec


class DynamicsNetwork(nn.Module, ABC):
    """Base class of networks that predict the next latent vector from this one, the action and a memory.

    A subclass needs only `forward`.

    Attributes:
        features: Size of a latent vector.
        state_width: Size of the memory; 0 for a network without memory.
    """

    def __init__(self, features: int, state_width: int = 0) -> None:
        super().__init__()
        self.features = int(features)
        self.state_width = int(state_width)

    @abstractmethod
    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Predict one step.

        Args:
            latent: z_t, `(batch, features)`.
            action: a_t, canonical, `(batch, branches)`.
            state: Memory of the steps before t, `(batch, state_width)`.

        Returns:
            The prediction of z_{t+1}, `(batch, features)`, and the memory before t + 1.
        """

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> Tensor:
        """The memory at the start of an episode: zeros."""
        return torch.zeros(batch_size, self.state_width, device=device)

    def predict(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Prediction, Tensor]:
        """As `forward`, but the distribution of the next latent vector."""
        mean, state = self(latent, action, state)
        return FixedNormal(mean), state

    def predict_sequence(
        self, latent: Tensor, action: Tensor, ended: Tensor, state: Tensor | None = None
    ) -> tuple[Prediction, Tensor]:
        """Predict each next step of sequences, with the memory of the steps before.

        Args:
            latent: z_0 ... z_{T-1}, `(batch, T, features)`.
            action: `(batch, T, branches)`.
            ended: Whether an observation is the last of its episode, `(batch, T)` bool. The memory is cleared after
                it.
            state: The memory before the sequences, `(batch, state_width)`; None for none.

        Returns:
            The distributions of z_1 ... z_T, `(batch, T, features)`, and the memory after each step,
            `(batch, T, state_width)`.
        """
        if state is None:
            state = self.initial_state(len(latent), latent.device)
        if not self.state_width:
            return self._predict_at_once(latent, action, state)
        means, states = [], []
        for step in range(latent.shape[1]):
            mean, state = self(latent[:, step], action[:, step], state)
            means.append(mean)
            states.append(state)
            state = state * ~ended[:, step, None]
        return FixedNormal(torch.stack(means, 1)), torch.stack(states, 1)

    def _predict_at_once(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Prediction, Tensor]:
        """As `predict_sequence` for a network without memory: all steps in one call."""
        rows = latent.shape[:2]
        mean, _ = self(latent.flatten(0, 1), action.flatten(0, 1), state.new_empty(rows.numel(), 0))
        return FixedNormal(mean.unflatten(0, rows)), state.new_empty(*rows, 0)


class HeadedDynamics(DynamicsNetwork):
    """Base class of dynamics networks with hidden layers and a head for the predicted distribution.

    Args:
        features: Size of a latent vector.
        action: The action space.
        width: Size of the hidden vector that the head reads.
        state_width: Size of the memory.
        head: The kind of distribution; None for `FixedNormalHead`.
        predict_change: Add the mean to the latent vector instead of replacing it.
        action_width: Embedding size for each branch of a discrete action; None for one-hot.
        tokens: Number of tokens of equal size in a latent vector (of an image, for example). Several are mixed into
            one vector first.
        token_width: Size of that vector; None for the size of a token.
    """

    def __init__(
        self,
        features: int,
        action: ActionSpec,
        width: int,
        state_width: int = 0,
        head: HeadFactory | None = None,
        predict_change: bool = False,
        action_width: int | None = None,
        tokens: int = 1,
        token_width: int | None = None,
    ) -> None:
        super().__init__(features, state_width)
        if features % tokens:
            raise ValueError(f"{features} features are not {tokens} tokens of equal size; set both as the encoder does")
        self.predict_change = bool(predict_change)
        self.action = ActionEncoding(action) if action_width is None else ActionEmbedding(action, action_width)
        size = features // tokens
        self.mixing = LerpStackedFeatures(tokens, size, token_width or size) if tokens > 1 else None
        self.input_width = (features if tokens == 1 else token_width or size) + self.action.width
        self.norm = nn.LayerNorm(width)
        self.head = (head or FixedNormalHead)(width, features)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        prediction, state = self.predict(latent, action, state)
        return prediction.mean, state

    def predict(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Prediction, Tensor]:
        """See the base class."""
        parameters, state = self.parameters_of_step(latent, action, state)
        return self.distribution(parameters, latent), state

    def predict_sequence(
        self, latent: Tensor, action: Tensor, ended: Tensor, state: Tensor | None = None
    ) -> tuple[Prediction, Tensor]:
        """See the base class."""
        if state is None:
            state = self.initial_state(len(latent), latent.device)
        parameters, states = self.parameters_of_sequence(latent, action, ended, state)
        return self.distribution(parameters, latent), states

    def distribution(self, parameters: Tensor, latent: Tensor) -> Prediction:
        """Make the distribution of the latent vector after `latent` from its parameters."""
        return self.head.distribution(parameters, latent if self.predict_change else None)

    def parameters_of_step(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As `predict`, but the parameters of the distribution, `(batch, size)`."""
        hidden, state = self.step(latent, action, state)
        return self._parameters_of(hidden), state

    def parameters_of_sequence(
        self, latent: Tensor, action: Tensor, ended: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `predict_sequence`, but the parameters of the distributions, `(batch, T, size)`."""
        hidden, states = self.scan(latent, action, ended, state)
        return self._parameters_of(hidden), states

    @abstractmethod
    def step(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden vector of a step, `(batch, width)`, and the memory after it."""

    @abstractmethod
    def scan(self, latent: Tensor, action: Tensor, ended: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden vectors of sequences, `(batch, T, width)`, and the memory after each step."""

    def read(self, latent: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input of the network, `(..., input_width)`, and the encoded action, `(..., action.width)`."""
        dtype = self.norm.weight.dtype
        latent = latent.to(dtype)
        if self.mixing is not None:
            latent = self.mixing(latent.reshape(*latent.shape[:-1], self.mixing.slots, -1))
        encoded = self.action(action).to(dtype)
        return torch.cat([latent, encoded], -1), encoded

    def _parameters_of(self, hidden: Tensor) -> Tensor:
        parameters: Tensor = self.head(self.norm(hidden))
        return parameters
