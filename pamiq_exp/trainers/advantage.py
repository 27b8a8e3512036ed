"""Generalized advantage estimation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
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
    episodic: bool = True,
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

    A return that is not `episodic` (an intrinsic one, say) goes on at the end of an episode: the transition into a
    final observation is followed by the first of the next episode, whose value and advantage are used in place of
    those of the final observation. (If the rollout ends there, the value of the final observation is all there is.)

    Args:
        reward: `(T, num_envs)`, of the transition out of each observation.
        value: `(T + 1, num_envs)`, with the value of the observation after the last transition.
        terminated: `(T, num_envs)`, bool: o_{t+1} is final because the task is over.
        truncated: `(T, num_envs)`, bool: o_{t+1} is final for another reason.
        ended: `(T, num_envs)`, bool: o_t itself is a final observation.
        gamma: Discount of each step, in [0, 1].
        gae_lambda: 0 trusts the value after one step, 1 trusts only rewards.
        episodic: Whether the return ends with the episode.

    Raises:
        ValueError: If shapes do not fit each other; nothing is broadcast.

    Source: Schulman et al. 2016, High-dimensional continuous control using generalized advantage
    estimation, equations 11 to 16; for returns across episodes, Burda et al. 2018, Exploration by random network
    distillation, section 2.3.
    """
    ends = {"terminated": terminated, "truncated": truncated, "ended": ended}
    _require_shapes(reward, value, ends)
    number = reward.dtype
    real = (~ended).to(number)
    if episodic:
        next_value = (~terminated).to(number) * value[1:]
        decay = gamma * gae_lambda * (~(terminated | truncated | ended)).to(number)
    else:
        # The value after each transition, that of a final observation replaced by the one after it.
        known = linear_scan(1 - real, value[:-1].masked_fill(ended, 0), value[-1], reverse=True)
        next_value = torch.cat([known[1:], value[-1:]])
        decay = gamma * gae_lambda * real + (1 - real)
    delta = (reward + gamma * next_value - value[:-1]) * real
    advantage = linear_scan(decay, delta, reverse=True) * real
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
