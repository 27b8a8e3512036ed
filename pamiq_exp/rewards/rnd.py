"""Random network distillation (Burda et al. 2018)."""

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
    """r = mean over the features of (g(o_{t+1}) - h(o_{t+1}))^2, where a network g learns the output of a fixed one, h.

    No transition is predicted, so unpredictable dynamics alone have no effect; but each noisy frame is a new one.

    Source: Burda et al. 2018, Exploration by random network distillation, section 2.2.

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
        if not network.warmed_up:
            return None
        novelty: NDArray[np.float32] = network(transition.observation).float().cpu().numpy()
        return novelty


MAX_INPUT = 5.0
"""Whitened inputs are clipped to this many standard deviations."""


class RandomNetwork(nn.Module):
    """A fixed random target network, the predictor that learns its output, and the whitening of their inputs.

    Args:
        fields: The `observation.*` fields to read.
        features: Size of the compared vectors.
        channels: Widths of the convolutional layers.
        hidden: Widths of the further layers of the predictor.
        warmup: Frames whose mean and variance whiten the inputs, number by number.
        patch: See `ConvolutionalStack`.
    """

    warmup_done: Tensor

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
        # Whitened inputs have no bounds.
        inputs = {name: ArraySpec(shape=spec["shape"], dtype="float32") for name, spec in fields.items()}
        target = FieldsNetwork(inputs, channels, (), "leaky_relu", patch=patch)
        predictor = FieldsNetwork(inputs, channels, hidden, "leaky_relu", patch=patch)
        self.target = nn.Sequential(target, orthogonal(nn.Linear(target.width, features))).requires_grad_(False)
        self.predictor = nn.Sequential(predictor, orthogonal(nn.Linear(predictor.width, features)))
        self.register_buffer("warmup_done", torch.zeros((), dtype=torch.bool))

    @property
    def warmed_up(self) -> bool:
        """Whether the whitening is complete; there is no reward before."""
        return bool(self.warmup_done)

    def forward(self, batch: Batch) -> Tensor:
        """Mean squared error of the predictor, `(...)`, for fields with any common leading axes."""
        error: Tensor = self._difference(batch).square().mean(-1)
        return error

    def error_norm(self, batch: Batch) -> Tensor:
        """Euclidean norm of the predictor's error, `(...)`."""
        norm: Tensor = torch.linalg.vector_norm(self._difference(batch), dim=-1)
        return norm

    def _difference(self, batch: Batch) -> Tensor:
        whitened = self.whitened(batch)
        with torch.no_grad():
            target = self.target(whitened)
        difference: Tensor = self.predictor(whitened) - target
        return difference

    def whitened(self, batch: Batch) -> dict[str, Tensor]:
        """The inputs, each number with mean 0 and variance 1 over the warm-up, clipped."""
        return {
            name: self._moments(name).whiten(scale(batch[name], spec), epsilon=1e-4).clamp(-MAX_INPUT, MAX_INPUT)
            for name, spec in self.fields.items()
        }

    @torch.no_grad()
    def warm_up(self, batch: Batch) -> None:
        """Update the whitening with frames of any leading axes; complete after `warmup` of them."""
        for name, spec in self.fields.items():
            self._moments(name).update(scale(batch[name], spec).reshape(-1, *spec["shape"]))
        if self._moments(next(iter(self.fields))).count >= self.warmup:
            self.warmup_done.fill_(True)

    def _moments(self, name: str) -> RunningMoments:
        moments = self.moments[name.replace(".", "_")]
        assert isinstance(moments, RunningMoments)
        return moments


class RndModel(LightningModule):
    """Trains the predictor of a `RandomNetwork`; the first frames set the whitening.

    Source: Burda et al. 2018, Exploration by random network distillation, sections 2.2 and 2.4.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        features: Size of the compared vectors.
        channels: Widths of the convolutional layers, for images.
        hidden: Widths of the further layers of the predictor.
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
        """Mean error of the predictor on `(..., *shape)` frames; None while the whitening is not complete."""
        if not self.network.warmed_up:
            self.network.warm_up(batch)
            return None
        loss: Tensor = self.network(batch).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the predictor."""
        return torch.optim.Adam(self.network.predictor.parameters(), lr=self.learning_rate, fused=True)
