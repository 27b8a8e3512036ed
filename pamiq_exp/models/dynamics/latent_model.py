"""What models that read the latent vectors of an encoder share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import Batch

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Pairs(NamedTuple):
    """Transitions in one list, those that mean nothing left in with weight 0.

    Attributes:
        latent: z_t, `(count, features)`.
        action: a_t, `(count, branches)`.
        target: z_{t+1}, `(count, features)`.
        weight: 0 where o_t was the last of its episode, `(count,)`.
    """

    latent: Tensor
    action: Tensor
    target: Tensor
    weight: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Mean of `(count,)` values over the transitions that count."""
        return (values * self.weight).sum() / self.weight.sum().clamp(min=1)


class LatentModel(LightningModule):
    """Base class of models that learn from latent vectors which an encoder of the run makes.

    Observations of a batch are encoded with the encoder's current parameters, without gradients; a batch that
    holds the field `latent` is taken as it is.

    Args:
        encoder: Name of the encoder.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
    """

    def __init__(self, encoder: str = "encoder", learning_rate: float = 1e-3, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.learning_rate = float(learning_rate)
        self.weight_decay = float(weight_decay)
        self._encoder_name = encoder
        # In a tuple, or the encoder would become a submodule: trained, published and saved twice.
        self._attached: tuple[Encoder, ...] = ()

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Take the encoder from the models of the run."""
        encoder = models.get(self._encoder_name)
        if not isinstance(encoder, Encoder):
            known = ", ".join(name for name, model in models.items() if isinstance(model, Encoder)) or "none"
            raise ValueError(
                f"{type(self).__name__} needs the encoder '{self._encoder_name}'; the encoders here are: {known}"
            )
        self._attached = (encoder,)

    @property
    def trainable(self) -> bool:
        """Whether the latents mean something yet."""
        return all(encoder.ready for encoder in self._attached)

    def latents(self, batch: Batch) -> Tensor:
        """Return the latent vectors of a batch, `(..., features)`."""
        if "latent" in batch:
            return batch["latent"]
        if not self._attached:
            raise RuntimeError(
                f"{type(self).__name__} has no encoder yet: call attach_models, or train it on batches that hold "
                "'latent'"
            )
        with torch.no_grad():
            return self._attached[0].encode(batch)

    def pairs(self, batch: Batch) -> Pairs:
        """Return all transitions of a batch of sequences, `(batch, length, ...)`. Raises ValueError without any."""
        latent = self.latents(batch)
        if latent.ndim != 3 or latent.shape[1] < 2:
            raise ValueError(
                f"{type(self).__name__} trains on sequences of at least 2 steps, (batch, length, features), not on "
                f"{tuple(latent.shape)}; set sequence_length of its trainer"
            )
        weight = (~batch["ended"][:, :-1]).flatten().to(latent.dtype)
        action = batch["action"][:, :-1].flatten(0, 1)
        return Pairs(latent[:, :-1].flatten(0, 1), action, latent[:, 1:].flatten(0, 1), weight)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on everything that learns."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(learning, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)


class NetworkModel(LatentModel, Generic[NetworkT]):
    """Base class of those that train one network, which is all that inference needs.

    Args:
        network: The network.
        encoder, learning_rate, weight_decay: See `LatentModel`.
    """

    def __init__(
        self,
        network: NetworkT,
        encoder: str = "encoder",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(encoder, learning_rate, weight_decay)
        self.network = network

    def inference_module(self) -> NetworkT:
        """Inference needs the network alone."""
        return self.network
