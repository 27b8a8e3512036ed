"""Base classes of models that learn from the latent vectors of an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.sequences import masked_mean, require_sequences, valid_transitions

NetworkT = TypeVar("NetworkT", bound=nn.Module)
ModuleT = TypeVar("ModuleT", bound=LightningModule)


def find_model(models: Mapping[str, LightningModule], name: str, kind: type[ModuleT], needed_by: str) -> ModuleT:
    """Return the model `name`. Raises ValueError, with the names of models of this class, if there is none."""
    model = models.get(name)
    if not isinstance(model, kind):
        known = ", ".join(other for other, each in models.items() if isinstance(each, kind)) or "none"
        raise ValueError(f"{needed_by} needs the {kind.__name__} '{name}'; those of this run are: {known}")
    return model


class Pairs(NamedTuple):
    """All transitions of a batch of sequences; `valid` is false at the end of episodes.

    Attributes:
        latent: z_t, `(count, features)`.
        action: a_t, `(count, branches)`.
        target: z_{t+1}, `(count, features)`.
        valid: False where o_t was the last of its episode, `(count,)` bool.
    """

    latent: Tensor
    action: Tensor
    target: Tensor
    valid: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Mean of `(count,)` values over the valid transitions."""
        return masked_mean(values, self.valid)


class LatentModel(LightningModule):
    """Base class of models that learn from the latent vectors of an encoder.

    Observations of a batch are encoded with the encoder's current parameters, without gradients; if the batch holds
    the field `latent`, that is used instead.

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
        """Find the encoder among the models of the run. Raises ValueError without one."""
        self._attached = (find_model(models, self._encoder_name, Encoder, type(self).__name__),)  # type: ignore[type-abstract]

    @property
    def trainable(self) -> bool:
        """Whether the encoder is warmed up."""
        return all(encoder.warmed_up for encoder in self._attached)

    def latents(self, batch: Batch) -> Tensor:
        """Return the latent vectors of a batch, `(..., features)`."""
        if "latent" in batch:
            return batch["latent"]
        if not self._attached:
            raise RuntimeError(
                f"{type(self).__name__} has no encoder yet: call attach_models, or train it on batches with the field "
                "'latent'"
            )
        with torch.no_grad():
            return self._attached[0].encode(batch)

    def pairs(self, batch: Batch) -> Pairs:
        """Return all transitions of sequences, `(batch, length, ...)`. Raises ValueError for single steps."""
        latent = self.latents(batch)
        require_sequences(latent, 2, type(self).__name__)
        action, valid = batch["action"][:, :-1].flatten(0, 1), valid_transitions(batch["ended"]).flatten()
        return Pairs(latent[:, :-1].flatten(0, 1), action, latent[:, 1:].flatten(0, 1), valid)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on all parameters with gradients."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(learning, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)


class NetworkModel(LatentModel, Generic[NetworkT]):
    """Base class of latent models that train one network, which is also the inference module.

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
        """Inference needs only the network."""
        return self.network
