"""Fixed features: random ones (Burda et al. 2018) and the observation itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import Batch, observation_fields
from pamiq_exp.models.nn.layers import FieldsNetwork, orthogonal
from pamiq_exp.models.nn.running_moments import RunningMoments
from pamiq_exp.models.nn.two_hot import symlog


class FixedFeatures(Encoder):
    """Base class of fixed encoders with whitened outputs.

    The first `warmup` frames given to `training_step` set the mean and the standard deviation of each feature; then
    these are frozen as well, and `warmed_up` becomes true. Every feature then has variance 1, so a prediction error
    of 1 means that nothing is predicted.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        features: Size of a latent vector.
        network: From the batch to `(..., features)`.
        warmup: Frames that set the statistics.
    """

    warmup_done: Tensor

    def __init__(self, observation: Mapping[str, object], features: int, network: nn.Module, warmup: int) -> None:
        super().__init__(observation, features)
        if warmup < 2:
            raise ValueError(f"warmup must be at least 2 frames, not {warmup}")
        self.warmup = int(warmup)
        self.network = network.requires_grad_(False)
        self.moments = RunningMoments(features)
        self.register_buffer("warmup_done", torch.zeros((), dtype=torch.bool))
        self.automatic_optimization = False

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`; clipped to 5 standard deviations."""
        return self.moments.whiten(self.network(batch)).clamp(-5, 5)

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Update the statistics with a batch of frames; without effect after `warmup` of them."""
        if self.warmed_up:
            return
        self.moments.update(self.network(batch).flatten(0, -2))
        if self.moments.count >= self.warmup:
            self.warmup_done.fill_(True)
        std = self.moments.std
        self.log("frames", self.moments.count)
        self.log("feature_std", std.mean())
        self.log("dead_features", (std < 1e-6 * math.sqrt(self.features)).float().sum())

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """0: there is no loss. Lets a trainer with held-out data have any encoder."""
        return self.moments.mean.new_zeros(())

    def configure_optimizers(self) -> None:
        """No optimizer."""

    @property
    def trainable(self) -> bool:
        """Until the statistics are complete."""
        return not self.warmed_up

    @property
    def warmed_up(self) -> bool:
        """Whether the statistics are complete."""
        return bool(self.warmup_done)

    @property
    def frozen(self) -> bool:
        """True once warmed up."""
        return self.warmed_up


class RandomFeatures(FixedFeatures):
    """A frozen network with orthogonal random weights, whose outputs are whitened.

    Source: Burda et al. 2018, Large-scale study of curiosity-driven learning, section 2.2 (random features).

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        features: Size of a latent vector.
        channels: Widths of the convolutional layers.
        map_side: Side of the map to which their output is averaged. Averages change smoothly with the point of view:
            features of a small map are easier to predict, those of a large one keep more detail.
        hidden: Widths of the linear layers before the features.
        warmup: Frames that set the statistics.
        patch: See `ConvolutionalStack`.
    """

    def __init__(
        self,
        observation: Mapping[str, object],
        features: int = 128,
        channels: Sequence[int] = (16, 32, 64),
        map_side: int = 2,
        hidden: Sequence[int] = (256,),
        warmup: int = 2000,
        patch: int = 1,
    ) -> None:
        body = FieldsNetwork(observation_fields(observation), channels, hidden, "leaky_relu", map_side, patch)
        network = nn.Sequential(body, orthogonal(nn.Linear(body.width, features)))
        super().__init__(observation, features, network, warmup)


class PlainFeatures(FixedFeatures):
    """The numbers of the observation, whitened, for observations of a few numbers.

    `symlog` compresses numbers far outside of the range of the first frames.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        features: Size of the observation, for interpolations of the config; None counts.
        warmup: Frames that set the statistics.

    Raises:
        ValueError: If the observation has another size.
    """

    def __init__(self, observation: Mapping[str, object], features: int | None = None, warmup: int = 500) -> None:
        body = FieldsNetwork(observation_fields(observation), (), (), "relu")
        if features is not None and features != body.width:
            raise ValueError(f"the observation has {body.width} numbers, not {features}: set features to that")
        super().__init__(observation, body.width, body, warmup)

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`."""
        return symlog(self.moments.whiten(self.network(batch)))
