"""Protocols of the models and collectors that agents use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from pamiq_exp.spaces import ArraySpec


class InferencePort(Protocol):
    """A published model: call it, or reach its module for other methods than `forward`."""

    @property
    def module(self) -> Any:
        """The inference copy that belongs to the current step: a module of torch, or what a model of another framework
        gives. Do not keep it for the next step."""

    @property
    def version(self) -> int:
        """The publication that the current step uses; grows by one with each publication."""

    def __call__(self, *args: Any) -> Any:
        """Run it: of a module, its `forward`."""


class CollectorPort(Protocol):
    """The inference end of a buffer."""

    @property
    def fields(self) -> Mapping[str, ArraySpec]:
        """What one record must hold: exactly these names, each `(num_envs, *shape)`."""

    def collect(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Copy one record (one turn of all num_envs) for training. Never waits."""
