"""The transition that a reward is computed from, and the models that it may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


class PublishedModel(Protocol):
    """A published model: the inference copy of the current step."""

    @property
    def module(self) -> nn.Module:
        """The inference copy, in evaluation mode. Do not keep it for the next step."""

    def __call__(self, *args: Any) -> Any:
        """Run its `forward`, without gradients."""


ModuleT = TypeVar("ModuleT", bound=nn.Module)


class NeededModel(Generic[ModuleT]):
    """A published model that a reward needs, by name and kind.

    Args:
        name: Its name among the models of the run.
        kind: The class of its inference copy.
        reward: The reward, for messages.
    """

    def __init__(self, name: str, kind: type[ModuleT], reward: object) -> None:
        self._name = name
        self._kind = kind
        self._reward = type(reward).__name__
        self._model: PublishedModel | None = None

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """Find it. Raises KeyError with the names that exist."""
        if self._name not in models:
            known = ", ".join(sorted(models)) or "none"
            raise KeyError(f"{self._reward} needs the model '{self._name}', but the models of this run are: {known}")
        self._model = models[self._name]

    @property
    def module(self) -> ModuleT:
        """The inference copy of the current step. Raises TypeError for one of another kind."""
        if self._model is None:
            raise RuntimeError(f"{self._reward} has no model yet: call attach() before the first step")
        module = self._model.module
        if not isinstance(module, self._kind):
            raise TypeError(
                f"the model '{self._name}' is a {type(module).__name__} at inference; {self._reward} needs a "
                f"{self._kind.__name__} (see pamiq_exp.models)"
            )
        return module


@dataclass(frozen=True, slots=True)
class Transition:
    """One turn of all environments, from o_t through a_t to o_{t+1}; all latents come from one publication.

    Attributes:
        observation: The values of o_{t+1}, `observation.*` fields, each `(num_envs, *shape)`.
        latent: z_t, `(num_envs, features)`; None without an encoder, or before it is warmed up.
        action: a_t, canonical, `(num_envs, branches)`.
        next_latent: z_{t+1}, `(num_envs, features)`; None together with `latent`.
        environment_reward: The reward of the environment, `(num_envs,)`.
        valid: False in environments where o_t was the last observation of an episode, so that o_{t+1} is the first
            of the next one, or where either is not finite, `(num_envs,)`.
        previous_observation: The values of o_t, like `observation`.
        encoder_changed: The encoder may have changed since the previous transition: predictions made then belong to
            another latent space and cannot be scored.
    """

    observation: Mapping[str, Tensor]
    latent: Tensor | None
    action: Tensor
    next_latent: Tensor | None
    environment_reward: NDArray[np.float32]
    valid: NDArray[np.bool_]
    previous_observation: Mapping[str, Tensor] = field(default_factory=dict)
    encoder_changed: bool = False
