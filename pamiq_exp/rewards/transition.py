"""What a reward is given to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


class PublishedModel(Protocol):
    """A model as inference sees it: the replica that belongs to the current step."""

    @property
    def module(self) -> nn.Module:
        """The replica, in evaluation mode. Do not keep it for the next step."""

    def __call__(self, *args: Any) -> Any:
        """Run its `forward`, without gradients."""


def published(models: Mapping[str, PublishedModel], name: str, asked_by: object) -> PublishedModel:
    """Return the model `name`. Raises KeyError with the names that exist."""
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise KeyError(f"{type(asked_by).__name__} needs the model '{name}', but the models of this run are: {known}")
    return models[name]


@dataclass(frozen=True, slots=True)
class Transition:
    """One turn of all lanes: from o_t through a_t to o_{t+1}, everything seen with one publication.

    Attributes:
        observation: The values of o_{t+1}, `observation.*` fields, each `(lanes, *shape)`.
        latent: z_t, `(lanes, features)`; None without an encoder, or while its latents mean nothing yet.
        action: a_t, canonical, `(lanes, branches)`.
        next_latent: z_{t+1}, `(lanes, features)`; None together with `latent`.
        environment_reward: What the world itself paid, `(lanes,)`.
        valid: False in lanes where o_t was the last observation of an episode: the transition to the first
            of the next one means nothing, `(lanes,)`.
    """

    observation: Mapping[str, Tensor]
    latent: Tensor | None
    action: Tensor
    next_latent: Tensor | None
    environment_reward: NDArray[np.float32]
    valid: NDArray[np.bool_]
