"""What a reward is given to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

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


ModuleT = TypeVar("ModuleT", bound=nn.Module)


class NeededModel(Generic[ModuleT]):
    """A published model that a reward needs, by name and kind.

    Args:
        name: Its name among the models of the run.
        kind: What it must be at inference.
        asked_by: The reward, for messages.
    """

    def __init__(self, name: str, kind: type[ModuleT], asked_by: object) -> None:
        self._name = name
        self._kind = kind
        self._asked_by = type(asked_by).__name__
        self._port: PublishedModel | None = None

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """Find it. Raises KeyError with the names that exist."""
        if self._name not in models:
            known = ", ".join(sorted(models)) or "none"
            raise KeyError(f"{self._asked_by} needs the model '{self._name}', but the models of this run are: {known}")
        self._port = models[self._name]

    @property
    def module(self) -> ModuleT:
        """The replica of the current step. Raises TypeError for one of another kind."""
        if self._port is None:
            raise RuntimeError(f"{self._asked_by} has no model yet: attach() comes before the first step")
        module = self._port.module
        if not isinstance(module, self._kind):
            raise TypeError(
                f"the model '{self._name}' is a {type(module).__name__} at inference; {self._asked_by} needs a "
                f"{self._kind.__name__} (see pamiq_exp.models)"
            )
        return module


@dataclass(frozen=True, slots=True)
class Transition:
    """One turn of all num_envs: from o_t through a_t to o_{t+1}, everything seen with one publication.

    Attributes:
        observation: The values of o_{t+1}, `observation.*` fields, each `(num_envs, *shape)`.
        latent: z_t, `(num_envs, features)`; None without an encoder, or while its latents mean nothing yet.
        action: a_t, canonical, `(num_envs, branches)`.
        next_latent: z_{t+1}, `(num_envs, features)`; None together with `latent`.
        environment_reward: What the world itself paid, `(num_envs,)`.
        valid: False in environments where o_t was the last observation of an episode: the transition to the first
            of the next one means nothing, `(num_envs,)`.
        previous_observation: The values of o_t, like `observation`.
        latents_moved: The encoder may have changed since the transition before this one: predictions made
            then belong to another latent space and cannot be scored.
    """

    observation: Mapping[str, Tensor]
    latent: Tensor | None
    action: Tensor
    next_latent: Tensor | None
    environment_reward: NDArray[np.float32]
    valid: NDArray[np.bool_]
    previous_observation: Mapping[str, Tensor] = field(default_factory=dict)
    latents_moved: bool = False
