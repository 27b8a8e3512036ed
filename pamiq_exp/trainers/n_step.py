"""n-step transitions for learning from replayed data."""

from __future__ import annotations

import torch
from torch import Tensor

from pamiq_exp.buffers import Batch

NEXT = "next."
"""Prefix of the fields of the observation from which an n-step return goes on."""

_OUTCOME = ("reward", "terminated", "truncated", "ended", "model_version")
"""Fields of a turn that are used up here."""


def n_step_transitions(sequences: Batch, gamma: float) -> Batch:
    """Turn sequences of n + 1 turns into transitions of up to n steps.

    With o_t the first observation of a sequence and m <= n the number of steps up to the end of the episode, if that
    comes first, a transition holds

    - `action` and all other fields of o_t, and those of o_{t+m} under `next.<name>`
    - `reward`: the sum of gamma^k r_{t+k} over k < m
    - `bootstrap`: the factor of the value of o_{t+m}: gamma^m, or 0 where o_{t+m} is final because the task is over. A
      truncation bootstraps.
    - `weight`: 0 where o_t itself is a final observation, whose action was ignored, else 1

    Args:
        sequences: Fields `(batch, n + 1, *shape)`. Without `terminated`, `truncated` and `ended` no episode ends.
        gamma: Discount of each step.

    Source: Sutton 1988, Learning to predict by the methods of temporal differences; Hessel et al. 2018, Rainbow,
    section "Multi-step learning".
    """
    reward = sequences["reward"]
    never = torch.zeros_like(reward, dtype=torch.bool)
    terminated, truncated, ended = (sequences.get(name, never) for name in ("terminated", "truncated", "ended"))
    if reward.shape[1] == 2:
        total, factor, following = reward[:, 0], gamma * (~terminated[:, 0]).to(reward.dtype), None
    else:
        total, factor, following = _n_step_return(reward, terminated, truncated, gamma)
    row = torch.arange(len(reward), device=reward.device)
    transitions = {"reward": total, "bootstrap": factor, "weight": (~ended[:, 0]).to(reward.dtype)}
    for name, value in sequences.items():
        if name in _OUTCOME:
            continue
        transitions[name] = value[:, 0]
        if name != "action":
            transitions[NEXT + name] = value[:, 1] if following is None else value[row, following]
    return transitions


def _n_step_return(
    reward: Tensor, terminated: Tensor, truncated: Tensor, gamma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the discounted sum of rewards, the factor of the value after it, and the turn of that value.

    Arguments are `(batch, n + 1)`, of which the last turn gives the value alone; results are `(batch,)`.
    """
    steps = reward.shape[1] - 1
    ends = (terminated | truncated)[:, :-1]
    counts = ends.cumsum(1) - ends.to(torch.int64) == 0
    discount = gamma ** torch.arange(steps, dtype=reward.dtype, device=reward.device)
    total = torch.where(counts, reward[:, :-1] * discount, 0.0).sum(1)
    following = counts.sum(1)
    stops = terminated.gather(1, following.unsqueeze(1) - 1).squeeze(1)
    return total, torch.where(stops, 0.0, gamma ** following.to(reward.dtype)), following
