"""Curiosity about views that were not seen before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.models.nn.inputs import Batch, observation_fields, scale
from pamiq_exp.models.nn.layers import FieldsNetwork, orthogonal
from pamiq_exp.models.nn.running_moments import RunningMoments
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.spaces import ArraySpec


class RandomNetworkDistillation(Reward):
    """r = mean over the features of (g(o_{t+1}) - h(o_{t+1}))^2: a network g learns to imitate a fixed random one, h.

    No transition is modeled, so that what cannot be foreseen does not matter by itself; but each noisy frame
    is a new one.

    Source: Burda et al. 2019, Exploration by random network distillation, section 2.2.

    Args:
        normalizer: How the raw reward is scaled.
        model: Name of the `RndModel`.
    """

    name = "rnd"

    def __init__(self, normalizer: Normalizer | None = None, model: str = "rnd") -> None:
        super().__init__(normalizer)
        self._model = NeededModel(model, RandomNetwork, self)

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        network = self._model.module
        if not network.ready:
            return None
        novelty: NDArray[np.float32] = network(transition.observation).float().cpu().numpy()
        return novelty


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


class RndModel(LightningModule):
    """Trains a network to imitate a random one on the frames it gets; the first ones set the whitening.

    Source: Burda et al. 2019, Exploration by random network distillation, sections 2.2 and 2.4.

    Args:
        observation: What one environment shows: `${spaces.observation}`.
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
