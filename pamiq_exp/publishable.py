"""Models of other frameworks than torch: what the launcher needs to count, publish and save them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.spaces import ArraySpec

if TYPE_CHECKING:
    from lightning import LightningModule

Model: TypeAlias = "LightningModule | Publishable"
"""What a run trains and publishes: a LightningModule, or a model that brings its own."""


class Publishable(ABC):
    """Base class of models that are written in another framework than torch.

    The agent's side gets what `inference_model` returned at the last publication, and never anything that training
    changes later: a reference if arrays are immutable, as in JAX, or else a copy. Neither side waits for the other.
    All methods but `specs` are called on the training thread, between batches, or before there are threads.
    """

    @abstractmethod
    def specs(self) -> Mapping[str, ArraySpec]:
        """Describe all arrays by name. Models are counted by this before they are made, so it makes none."""

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all trained arrays by name, for a checkpoint."""

    @abstractmethod
    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from these arrays, whose names and shapes are those of `specs`."""

    @abstractmethod
    def inference_model(self) -> Any:
        """Return what agents call and take methods from until the next publication; training must not change it."""

    @property
    def parameter_count(self) -> int:
        """Numbers in all arrays."""
        return sum(math.prod(spec["shape"]) for spec in self.specs().values())

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(math.prod(spec["shape"]) * np.dtype(spec["dtype"]).itemsize for spec in self.specs().values())
