"""Base class of observation encoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from lightning import LightningModule
from torch import Tensor

from pamiq_exp.models.nn.inputs import Batch, observation_fields


class Encoder(LightningModule, ABC):
    """Base class of encoders: observations to latent vectors.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        features: Size of a latent vector.
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
    def warmed_up(self) -> bool:
        """Whether latent vectors may be used. Before, nothing is rewarded or learned from them."""
        return True

    @property
    def frozen(self) -> bool:
        """Whether the encoder will not change any more, so that latent vectors of earlier publications stay valid."""
        return False
