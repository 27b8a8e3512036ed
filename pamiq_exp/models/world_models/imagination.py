"""Imagined trajectories of a policy in a learned world model, and their lambda-returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pamiq_exp.models.dynamics import DynamicsNetwork
from pamiq_exp.models.nn.action_distributions import ActionDistribution
from pamiq_exp.scan import linear_scan


class Imagined(NamedTuple):
    """Trajectories of H steps from N starts.

    Attributes:
        latent: z_0 ... z_H, `(H + 1, N, features)`.
        action: a_0 ... a_{H-1}, `(H, N, branches)`.
        reward: Of the transitions out of z_0 ... z_{H-1}, `(H, N)`.
        continuation: Probability that the episode continues after them, `(H, N)`.
    """

    latent: Tensor
    action: Tensor
    reward: Tensor
    continuation: Tensor


class Heads(Protocol):
    """Reward and continue heads; see `RewardHeadsNetwork`."""

    def __call__(self, latent: Tensor, action: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Return reward and probability of continuing, both `(batch,)`, from z_t, a_t and the prediction of z_{t+1}."""


@torch.no_grad()
def imagine(
    act: Callable[[Tensor], ActionDistribution],
    dynamics: DynamicsNetwork,
    heads: Heads,
    latent: Tensor,
    state: Tensor,
    horizon: int,
    generator: torch.Generator,
) -> Imagined:
    """Let a policy act for `horizon` steps in a world model, without gradients.

    Args:
        act: From latents, `(N, features)`, to the distribution over actions.
        dynamics: Predicts the next latent vector; the mean is used, so imagined trajectories have no noise.
        heads: Reward and continuation.
        latent: z_0, `(N, features)`.
        state: The memory of the dynamics before z_0, `(N, state_width)`.
        horizon: H, at least 1.
        generator: For drawing actions.
    """
    latents = [latent]
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(horizon):
        action = act(latent).sample(generator)
        prediction, state = dynamics(latent, action, state)
        reward, continuation = heads(latent, action, prediction)
        latents.append(latent := prediction)
        steps.append((action, reward, continuation))
    return Imagined(torch.stack(latents), *(torch.stack(series) for series in zip(*steps, strict=True)))


def lambda_returns(
    reward: Tensor, continuation: Tensor, value: Tensor, gamma: float, return_lambda: float | Tensor
) -> Tensor:
    """Lambda-returns: weighted means of the 1, 2, ... H-step returns.

        R_t = r_t + gamma c_t ((1 - lambda) V_{t+1} + lambda R_{t+1}),    R_H = V_H

    Args:
        reward: r, `(H, N)`.
        continuation: c, the probability that the episode continues after the transition, `(H, N)`.
        value: V_0 ... V_H, `(H + 1, N)`.
        gamma: Discount factor, in [0, 1].
        return_lambda: 0 for one-step returns, 1 for rewards up to V_H; or one number for each transition, `(H, N)`.

    Returns:
        R_0 ... R_{H-1}, `(H, N)`.

    Raises:
        ValueError: If shapes do not fit each other; nothing is broadcast.

    Source: Hafner et al. 2023, Mastering diverse domains through world models, equation 6.
    """
    steps, count = reward.shape
    if continuation.shape != reward.shape or value.shape != (steps + 1, count):
        raise ValueError(
            f"for rewards {(steps, count)} the continuation must have the same shape and the value "
            f"{(steps + 1, count)}, not {tuple(continuation.shape)} and {tuple(value.shape)}"
        )
    discount = gamma * continuation
    step = reward + (1 - return_lambda) * discount * value[1:]
    return linear_scan(return_lambda * discount, step, value[-1], reverse=True)
