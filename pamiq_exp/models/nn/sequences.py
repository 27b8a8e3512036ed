"""Sequences of transitions in a batch: which are valid, and means over them."""

from __future__ import annotations

import torch
from torch import Tensor


def require_sequences(latent: Tensor, min_length: int, model: str) -> None:
    """Raise ValueError unless `latent` is `(batch, length, features)` with at least `min_length` steps."""
    if latent.ndim != 3 or latent.shape[1] < min_length:
        raise ValueError(
            f"{model} trains on sequences of at least {min_length} steps, latents (batch, length, features), not on "
            f"{tuple(latent.shape)}: set sequence_length of its trainer"
        )


def valid_transitions(ended: Tensor) -> Tensor:
    """Return which transitions o_t -> o_{t+1} are within an episode: `(batch, length)` -> `(batch, length - 1)` bool.

    `ended` is true at the last observation of an episode; the transition out of it is not one of the environment.
    """
    return ~ended[:, :-1]


def episode_starts(ended: Tensor) -> Tensor:
    """Return which steps are the first of an episode, `(batch, length)` bool; false for the first of the sequence."""
    return torch.nn.functional.pad(ended[:, :-1], (1, 0))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask`, of a shape that broadcasts to theirs, is 1; 0 where it is 0 everywhere."""
    mask = mask.to(values.dtype).expand_as(values)
    return (values * mask).sum() / mask.sum().clamp(min=1)
