"""Fixed features: encoders that cannot collapse and need no learning."""

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
    """A frozen network, its outputs whitened.

    The first `warmup` frames given to `training_step` set the mean and the standard deviation of each
    feature; then these are frozen as well, and `ready` becomes true. Since every feature then has
    variance 1, a prediction error of 1 is that of knowing nothing.

    Args:
        observation: What one environment shows: `${spaces.observation}`.
        features: Numbers in one latent vector.
        network: From the batch to `(..., features)`.
        warmup: Frames that set the statistics.
    """

    frozen: Tensor

    def __init__(self, observation: Mapping[str, object], features: int, network: nn.Module, warmup: int) -> None:
        super().__init__(observation, features)
        if warmup < 2:
            raise ValueError(f"warmup must be at least 2 frames, not {warmup}")
        self.warmup = int(warmup)
        self.network = network.requires_grad_(False)
        self.moments = RunningMoments(features)
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))
        self.automatic_optimization = False

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`; clipped to 5 standard deviations."""
        return self.moments.whiten(self.network(batch)).clamp(-5, 5)

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Take in a batch of frames, until there are enough of them; further ones change nothing."""
        if self.ready:
            return
        self.moments.update(self.network(batch).flatten(0, -2))
        if self.moments.count >= self.warmup:
            self.frozen.fill_(True)
        std = self.moments.std
        self.log("frames", self.moments.count)
        self.log("feature_std", std.mean())
        self.log("dead_features", (std < 1e-6 * math.sqrt(self.features)).float().sum())

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Nothing is learned, so nothing is lost: 0, for trainers that measure whatever encoder they have."""
        return self.moments.mean.new_zeros(())

    def configure_optimizers(self) -> None:
        """Nothing here is learned by gradients."""

    @property
    def trainable(self) -> bool:
        """Until the statistics are complete."""
        return not self.ready

    @property
    def ready(self) -> bool:
        """Whether the statistics are complete."""
        return bool(self.frozen)

    @property
    def settled(self) -> bool:
        """Once ready, nothing changes any more."""
        return self.ready


class RandomFeatures(FixedFeatures):
    """A frozen network with orthogonal random weights, its outputs whitened by the first frames.

    Source: Burda et al. 2018, Large-scale study of curiosity-driven learning, section 2.2 (random features).

    Args:
        observation: What one environment shows: `${spaces.observation}`.
        features: Numbers in one latent vector.
        channels: Widths of the convolutional layers.
        map_side: Side of the map to which their output is averaged. What is averaged changes smoothly with
            the point of view: a small map makes features that can be foreseen, a large one sharp ones.
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
    """The numbers of the observation themselves, whitened by the first frames, for worlds that show a few of them.

    What lies far outside of the first frames is drawn in as `symlog` does it, and stays distinct.

    Args:
        observation: What one environment shows: `${spaces.observation}`.
        features: How many numbers that is, for others to read; None counts them.
        warmup: Frames that set the statistics.

    Raises:
        ValueError: If the observation has another number of numbers.
    """

    def __init__(self, observation: Mapping[str, object], features: int | None = None, warmup: int = 500) -> None:
        body = FieldsNetwork(observation_fields(observation), (), (), "relu")
        if features is not None and features != body.width:
            raise ValueError(f"the observation has {body.width} numbers, not {features}: set features to that")
        super().__init__(observation, body.width, body, warmup)

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`."""
        return symlog(self.moments.whiten(self.network(batch)))
