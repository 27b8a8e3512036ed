"""Generalized advantage estimation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from pamiq_exp.scan import linear_scan


class Advantages(NamedTuple):
    """What a policy learns from a rollout; each `(time, num_envs)`.

    Attributes:
        advantage: How much better the action was than the policy's average.
        target: The return that the value should have predicted: advantage + value.
        weight: 1 for a real transition, 0 for one that only led from a final observation to the next
            episode's first. There the advantage is 0 and the target is the value itself.
    """

    advantage: Tensor
    target: Tensor
    weight: Tensor


def generalized_advantages(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    ended: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Advantages:
    """Estimate advantages from a rollout of T steps.

    Record t holds the observation o_t, the action a_t chosen for it, V(o_t), and the outcome of the
    transition t -> t+1. With

        delta_t = r_t + gamma (1 - terminated_t) V_{t+1} - V_t
        A_t = delta_t + gamma lambda (1 - terminated_t or truncated_t) A_{t+1},    A_T = 0,

    a termination is worth nothing beyond itself, while a truncation bootstraps from the value of the
    final observation: with next-step autoreset this is o_{t+1}, whose record follows like any other. The
    transition out of a final observation (`ended_t`) is void: its action was ignored and its reward means
    nothing, so it gets weight 0 and passes nothing on.

    Args:
        reward: `(T, num_envs)`, of the transition out of each observation.
        value: `(T + 1, num_envs)`, with the value of the observation after the last transition.
        terminated: `(T, num_envs)`, bool: o_{t+1} is final because the task is over.
        truncated: `(T, num_envs)`, bool: o_{t+1} is final for another reason.
        ended: `(T, num_envs)`, bool: o_t itself is a final observation.
        gamma: Discount of each step, in [0, 1].
        gae_lambda: 0 trusts the value after one step, 1 trusts only rewards.

    Raises:
        ValueError: If shapes do not fit each other; nothing is broadcast.

    Source: Schulman et al. 2016, High-dimensional continuous control using generalized advantage
    estimation, equations 11 to 16.
    """
    ends = {"terminated": terminated, "truncated": truncated, "ended": ended}
    _require_shapes(reward, value, ends)
    number = reward.dtype
    real = (~ended).to(number)
    delta = (reward + gamma * (~terminated).to(number) * value[1:] - value[:-1]) * real
    decay = gamma * gae_lambda * (~(terminated | truncated | ended)).to(number)
    advantage = linear_scan(decay, delta, reverse=True)
    return Advantages(advantage, advantage + value[:-1], real)


def _require_shapes(reward: Tensor, value: Tensor, ends: Mapping[str, Tensor]) -> None:
    steps, num_envs = reward.shape
    expected = {"value": (value, steps + 1)} | {name: (tensor, steps) for name, tensor in ends.items()}
    for name, (tensor, length) in expected.items():
        if tensor.shape != (length, num_envs):
            raise ValueError(
                f"{name} must be {length, num_envs} for rewards {steps, num_envs}, not {tuple(tensor.shape)}"
            )


def standardized(advantage: Tensor, weight: Tensor, center: bool = True) -> Tensor:
    """Shift and scale advantages to mean 0 and variance 1 over the entries with weight; the others become 0.

    Without `center` they are only scaled, and keep their mean.
    """
    total = weight.sum().clamp(min=1)
    centered = (advantage - (advantage * weight).sum() / total) * weight
    deviation = (centered.square().sum() / total).sqrt()
    return (centered if center else advantage * weight) / (deviation + 1e-8)
