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
    steps = reward.shape[1] - 1
    never = torch.zeros_like(reward, dtype=torch.bool)
    terminated, truncated, ended = (sequences.get(name, never) for name in ("terminated", "truncated", "ended"))
    last, total = _last_step_and_return(reward[:, :-1], (terminated | truncated)[:, :-1], gamma)
    row = torch.arange(len(reward), device=reward.device)
    factor = gamma ** (last + 1).to(reward.dtype)
    transitions = {
        "reward": total,
        "bootstrap": torch.where(terminated[row, last], 0.0, factor),
        "weight": (~ended[:, 0]).to(reward.dtype),
    }
    for name, value in sequences.items():
        if name in _OUTCOME:
            continue
        transitions[name] = value[:, 0]
        if name != "action":
            transitions[NEXT + name] = value[:, 1] if steps == 1 else value[row, last + 1]
    return transitions


def _last_step_and_return(reward: Tensor, ends: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """The last step that belongs to each return, and the return, both `(batch,)`; arguments are `(batch, steps)`."""
    steps = reward.shape[1]
    if steps == 1:
        return torch.zeros_like(reward[:, 0], dtype=torch.int64), reward[:, 0]
    counts = ends.cumsum(1) - ends.to(torch.int64) == 0
    discount = gamma ** torch.arange(steps, dtype=reward.dtype, device=reward.device)
    return counts.sum(1) - 1, torch.where(counts, reward * discount, 0.0).sum(1)
