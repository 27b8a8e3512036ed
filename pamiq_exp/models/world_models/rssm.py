"""Recurrent state-space model (Hafner et al. 2019, with the categorical states of 2021 and 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.action_distributions import ActionDistribution, ActionEncoding
from pamiq_exp.models.nn.layers import mlp
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.spaces import ActionSpec


class Observed(NamedTuple):
    """States of observed sequences.

    Attributes:
        state: `(batch, time, width)`: h_t and the sampled z_t.
        prior: Log-probabilities of z_t given h_t, `(batch, time, variables, classes)`.
        posterior: Log-probabilities of z_t given h_t and the observation, in the same shape.
    """

    state: Tensor
    prior: Tensor
    posterior: Tensor


class NormalizedGru(nn.Module):
    """GRU cell with layer normalization of its gates, whose memory is kept at first (update bias -1).

    Source: Hafner et al. 2021, Mastering Atari with discrete world models, appendix.

    Args:
        inputs: Size of the input.
        width: Size of the memory.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Linear(inputs + width, 3 * width, bias=False)
        self.norm = nn.LayerNorm(3 * width)

    def forward(self, value: Tensor, memory: Tensor) -> Tensor:
        """`(..., inputs)`, `(..., width)` -> the next memory, `(..., width)`."""
        reset, candidate, update = self.norm(self.gates(torch.cat([value, memory], -1))).chunk(3, -1)
        candidate = torch.tanh(reset.sigmoid() * candidate)
        return torch.lerp(memory, candidate, (update - 1).sigmoid())


class Rssm(nn.Module):
    """A deterministic memory h_t and categorical variables z_t that together are the state of the world model.

        h_t = GRU(h_{t-1}, [z_{t-1}, a_{t-1}]),    prior p(z_t | h_t),    posterior q(z_t | h_t, e_t)

    e_t is the embedded observation. A state is one vector, h_t and the one-hot z_t side by side. Sampling passes
    gradients straight through. Each distribution is mixed with a uniform one.

    Source: Hafner et al. 2023, Mastering diverse domains through world models, equations 3 and 4.

    Args:
        embedded: Size of e_t.
        action: The action space.
        memory: Size of h_t.
        variables: Categorical variables in z_t.
        classes: Of each.
        hidden: Width of the layer before the GRU and before each distribution.
        uniform: Weight of the uniform distribution.

    Attributes:
        width: Size of a state.
    """

    def __init__(
        self,
        embedded: int,
        action: ActionSpec,
        memory: int = 512,
        variables: int = 32,
        classes: int = 32,
        hidden: int = 512,
        uniform: float = 0.01,
    ) -> None:
        super().__init__()
        self.action = ActionEncoding(action)
        self.memory = int(memory)
        self.variables = int(variables)
        self.classes = int(classes)
        self.uniform = float(uniform)
        numbers = self.variables * self.classes
        self.width = self.memory + numbers
        self.inlet = mlp(numbers + self.action.width, [hidden], "silu", layer_norm=True)
        self.cell = NormalizedGru(hidden, self.memory)
        self.prior_layers = nn.Sequential(
            *mlp(self.memory, [hidden], "silu", layer_norm=True), nn.Linear(hidden, numbers)
        )
        self.posterior_layers = nn.Sequential(
            *mlp(self.memory + embedded, [hidden], "silu", layer_norm=True), nn.Linear(hidden, numbers)
        )

    def advance(self, state: Tensor, action: Tensor) -> Tensor:
        """h_t from the state before, `(..., width)`, and the encoded action in it: `(..., memory)`."""
        memory, sampled = state[..., : self.memory], state[..., self.memory :]
        after: Tensor = self.cell(self.inlet(torch.cat([sampled, action], -1)), memory)
        return after

    def prior(self, memory: Tensor) -> Tensor:
        """Log-probabilities of z_t given h_t: `(..., memory)` -> `(..., variables, classes)`."""
        return self._log_probs(self.prior_layers(memory))

    def posterior(self, memory: Tensor, embedded: Tensor) -> Tensor:
        """Log-probabilities of z_t given h_t and e_t, in the same shape."""
        return self._log_probs(self.posterior_layers(torch.cat([memory, embedded], -1)))

    def sample(self, memory: Tensor, log_probs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z_t; return the state, `(..., width)`, with straight-through gradients to `log_probs`."""
        probs = log_probs.exp()
        # The largest of probabilities over exponential numbers; where they are NaN, the loss is, and the batch is lost.
        drawn = (probs.detach() / torch.empty_like(probs).exponential_(generator=generator)).argmax(-1, keepdim=True)
        one_hot = torch.zeros_like(probs).scatter_(-1, drawn, 1.0)
        sampled = (one_hot + probs - probs.detach()).flatten(-2)
        return torch.cat([memory, sampled.to(memory.dtype)], -1)

    def observe(self, embedded: Tensor, action: Tensor, first: Tensor, generator: torch.Generator) -> Observed:
        """Run along observed sequences, from an empty state.

        Args:
            embedded: e_t, `(batch, time, embedded)`.
            action: a_t, canonical, `(batch, time, branches)`.
            first: Whether o_t is the first of its episode, `(batch, time)`; state and action before it do not count.
            generator: For drawing z_t.
        """
        encoded = self.action(action)
        keep = (~first).to(embedded.dtype).unsqueeze(-1)
        state = embedded.new_zeros(len(embedded), self.width)
        previous = torch.zeros_like(encoded[:, 0])
        states, posteriors = [], []
        for step in range(embedded.shape[1]):
            memory = self.advance(state * keep[:, step], previous * keep[:, step])
            log_probs = self.posterior(memory, embedded[:, step])
            state = self.sample(memory, log_probs, generator)
            previous = encoded[:, step]
            states.append(state)
            posteriors.append(log_probs)
        stacked = torch.stack(states, 1)
        return Observed(stacked, self.prior(stacked[..., : self.memory]), torch.stack(posteriors, 1))

    @torch.no_grad()
    def imagine(
        self,
        state: Tensor,
        act: Callable[[Tensor], ActionDistribution],
        horizon: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Let a policy act in the model for `horizon` steps, without gradients.

        Args:
            state: The first states, `(N, width)`.
            act: From states `(N, width)` to the distribution over actions.
            horizon: H, at least 1.
            generator: For drawing actions and z_t.

        Returns:
            The states, `(H + 1, N, width)`, and the actions, `(H, N, branches)`.
        """
        states, actions = [state], []
        for _ in range(horizon):
            action = act(state).sample(generator)
            memory = self.advance(state, self.action(action))
            state = self.sample(memory, self.prior(memory), generator)
            states.append(state)
            actions.append(action)
        return torch.stack(states), torch.stack(actions)

    def _log_probs(self, logits: Tensor) -> Tensor:
        probs = to_float32(logits).view(*logits.shape[:-1], self.variables, self.classes).softmax(-1)
        return ((1 - self.uniform) * probs + self.uniform / self.classes).log()


def balanced_kl(observed: Observed, free_nats: float) -> tuple[Tensor, Tensor]:
    """KL divergences of posterior and prior, each `(batch, time)` in nats and at least `free_nats`.

    The first trains the prior alone (L_dyn), the second the posterior alone (L_rep).

    Source: Hafner et al. 2023, equation 5.
    """
    dynamics = _kl(observed.posterior.detach(), observed.prior)
    representation = _kl(observed.posterior, observed.prior.detach())
    return dynamics.clamp(min=free_nats), representation.clamp(min=free_nats)


def _kl(of: Tensor, to: Tensor) -> Tensor:
    return (of.exp() * (of - to)).sum((-2, -1))
