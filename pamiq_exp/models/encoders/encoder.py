"""What every observation encoder promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from lightning import LightningModule
from torch import Tensor

from pamiq_exp.models.nn.inputs import Batch, observation_fields


class Encoder(LightningModule, ABC):
    """Turns observations into a vector of features.

    Args:
        observation: What one environment shows: `${spaces.observation}`.
        features: Numbers in one latent vector.
    """

    def __init__(self, observation: Mapping[str, object], features: int) -> None:
        super().__init__()
        self.fields = observation_fields(observation)
        self.features = int(features)

    @abstractmethod
    def encode(self, batch: Batch) -> Tensor:
        """Return `(..., features)` for `observation.*` fields with any common leading axes.

        Other fields of the batch are ignored.
        """

    def forward(self, batch: Batch) -> Tensor:
        """See `encode`."""
        return self.encode(batch)

    @property
    def ready(self) -> bool:
        """Whether latents mean something yet. Nothing is rewarded or learned from them before."""
        return True

    @property
    def settled(self) -> bool:
        """Whether latents will never change again, so that those of an earlier publication stay valid."""
        return False
