"""A network that learns to imitate a fixed random one: where it fails, it has not been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.inputs import Batch, observation_fields, scale
from pamiq_exp.models.layers import FieldsNetwork, orthogonal
from pamiq_exp.models.moments import RunningMoments
from pamiq_exp.spaces import ArraySpec

LIMIT = 5.0
"""Whitened inputs are clipped to this many standard deviations."""


class RandomNetwork(nn.Module):
    """A fixed random network, one that imitates it, and the whitening of what both read.

    Args:
        fields: The `observation.*` fields to read.
        features: Numbers that are compared.
        channels: Widths of the convolutional layers.
        hidden: Widths of the further layers of the one that learns.
        warmup: Frames that set the whitening, number by number; after them it stays.
        patch: See `ConvolutionalStack`.
    """

    frozen: Tensor

    def __init__(
        self,
        fields: Mapping[str, ArraySpec],
        features: int,
        channels: Sequence[int],
        hidden: Sequence[int],
        warmup: int,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.fields = dict(fields)
        self.warmup = int(warmup)
        self.moments = nn.ModuleDict(
            {name.replace(".", "_"): RunningMoments(*spec["shape"]) for name, spec in fields.items()}
        )
        # What they read is whitened, and has no bounds any more.
        read = {name: ArraySpec(shape=spec["shape"], dtype="float32") for name, spec in fields.items()}
        fixed = FieldsNetwork(read, channels, (), "leaky_relu", patch=patch)
        learner = FieldsNetwork(read, channels, hidden, "leaky_relu", patch=patch)
        self.target = nn.Sequential(fixed, orthogonal(nn.Linear(fixed.width, features))).requires_grad_(False)
        self.predictor = nn.Sequential(learner, orthogonal(nn.Linear(learner.width, features)))
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))

    @property
    def ready(self) -> bool:
        """Whether the whitening is complete; before that errors mean nothing."""
        return bool(self.frozen)

    def forward(self, batch: Batch) -> Tensor:
        """Mean squared error of the imitation, `(...)`, for fields with any common leading axes."""
        whitened = self.whitened(batch)
        with torch.no_grad():
            target = self.target(whitened)
        error: Tensor = (self.predictor(whitened) - target).square().mean(-1)
        return error

    def whitened(self, batch: Batch) -> dict[str, Tensor]:
        """Each number with mean 0 and variance 1 over the frames of the warm-up, clipped."""
        return {
            name: self._moments(name).whiten(scale(batch[name], spec), epsilon=1e-4).clamp(-LIMIT, LIMIT)
            for name, spec in self.fields.items()
        }

    @torch.no_grad()
    def warm_up(self, batch: Batch) -> None:
        """Take in frames with any leading axes, until there are enough of them."""
        for name, spec in self.fields.items():
            self._moments(name).update(scale(batch[name], spec).reshape(-1, *spec["shape"]))
        if self._moments(next(iter(self.fields))).count >= self.warmup:
            self.frozen.fill_(True)

    def _moments(self, name: str) -> RunningMoments:
        moments = self.moments[name.replace(".", "_")]
        assert isinstance(moments, RunningMoments)
        return moments


class RandomNetworkDistillation(LightningModule):
    """Trains a network to imitate a random one on the frames it gets; the first ones set the whitening.

    Source: Burda et al. 2019, Exploration by random network distillation, sections 2.2 and 2.4.

    Args:
        observation: What one lane shows: `${spaces.observation}`.
        features: Numbers that are compared.
        channels: Widths of the convolutional layers, where an image is among the observations.
        hidden: Widths of the further layers of the network that learns.
        warmup: Frames that set the whitening.
        learning_rate: Of Adam.
        patch: See `ConvolutionalStack`.
    """

    def __init__(
        self,
        observation: Mapping[str, object],
        features: int = 128,
        channels: Sequence[int] = (16, 32, 32),
        hidden: Sequence[int] = (256, 256),
        warmup: int = 2000,
        learning_rate: float = 1e-4,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.network = RandomNetwork(observation_fields(observation), features, channels, hidden, warmup, patch)
        self.learning_rate = float(learning_rate)

    def inference_module(self) -> RandomNetwork:
        """Inference needs the networks alone."""
        return self.network

    def forward(self, batch: Batch) -> Tensor:
        """See `RandomNetwork.forward`."""
        error: Tensor = self.network(batch)
        return error

    def training_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        """Mean error of the imitation on `(..., *shape)` frames; None while the whitening is not complete."""
        if not self.network.ready:
            self.network.warm_up(batch)
            return None
        loss: Tensor = self.network(batch).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the network that learns."""
        return torch.optim.Adam(self.network.predictor.parameters(), lr=self.learning_rate, fused=True)
