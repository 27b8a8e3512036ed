"""Images as latent vectors, and a forward dynamics network in pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from pamiq_exp.models.dynamics import DynamicsNetwork
from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.action_distributions import ActionEncoding
from pamiq_exp.models.nn.inputs import Batch, leading_shape, scale
from pamiq_exp.models.nn.layers import join_patches, split_patches
from pamiq_exp.spaces import ActionSpec


class Pixels(Encoder):
    """Identity encoder: the latent vector is the flattened observation, with bytes scaled to 0 to 1.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        features: Size of the observation, all fields together: `${product:${spaces.observation.image.shape}}`.

    Raises:
        ValueError: If features is not that.
    """

    def __init__(self, observation: Mapping[str, object], features: int) -> None:
        super().__init__(observation, features)
        numbers = sum(math.prod(spec["shape"]) for spec in self.fields.values())
        if numbers != features:
            raise ValueError(f"the observation has {numbers} numbers, so features must be {numbers}, not {features}")
        self.automatic_optimization = False

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`."""
        leading = leading_shape(batch, self.fields)
        rows = [scale(batch[name], spec).reshape(*leading, -1) for name, spec in self.fields.items()]
        return rows[0] if len(rows) == 1 else torch.cat(rows, -1)

    def configure_optimizers(self) -> None:
        """No optimizer."""

    @property
    def frozen(self) -> bool:
        """True: there are no parameters."""
        return True


class PixelDynamics(DynamicsNetwork):
    """A small U-Net that predicts the next image from this one and the action.

    Convolutions with stride equal to their kernel (`patch`, then 2) reduce the map; at the smallest size the encoded
    action is added at every position, followed by one 3x3 convolution; as many layers enlarge the map again, each with
    a skip connection from the map of its size. Without overlap they are matrix products, which on a CPU take half the
    time of convolutions.

    Args:
        features: Size of an image.
        action: The action space.
        shape: `(height, width, channels)` of the image.
        channels: Widths of the maps, from large to small; each has half the side of the one before.
        patch: Kernel and stride of the first layer, in pixels.
        predict_change: Add the output to the image instead of replacing it.

    Raises:
        ValueError: If shape and features do not fit each other.
    """

    def __init__(
        self,
        features: int,
        action: ActionSpec,
        shape: Sequence[int],
        channels: Sequence[int] = (16, 32, 32),
        patch: int = 2,
        predict_change: bool = True,
    ) -> None:
        super().__init__(features)
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        if math.prod(self.shape) != features:
            raise ValueError(
                f"images of {self.shape} have {math.prod(self.shape)} numbers, not {features}: choose encoder=pixels"
            )
        self.predict_change = bool(predict_change)
        self.patch = int(patch)
        height, width, depth = self.shape
        whole = self.patch * 2 ** (len(channels) - 1)
        self.margin = (-width % whole, -height % whole)
        """Padding, `(columns, rows)`, so that every map has sides of whole patches."""
        self.action = ActionEncoding(action)
        pairs = list(pairwise(channels))
        self.read = nn.Linear(self.patch**2 * depth, channels[0])
        self.down = nn.ModuleList(nn.Linear(4 * ins, outs) for ins, outs in pairs)
        self.embed_action = nn.Linear(self.action.width, channels[-1])
        self.mix = nn.Conv2d(channels[-1], channels[-1], 3, 1, 1)
        self.up = nn.ModuleList(nn.Linear(outs, 4 * ins) for ins, outs in reversed(pairs))
        self.write = nn.Linear(channels[0], self.patch**2 * depth)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        height, width, _ = self.shape
        right, below = self.margin
        image = latent.reshape(-1, *self.shape)
        if right or below:
            image = nn.functional.pad(image, (0, 0, 0, right, 0, below))
        maps = [torch.relu(self.read(split_patches(image, self.patch)))]
        for layer in self.down:
            maps.append(torch.relu(layer(split_patches(maps[-1], 2))))
        hidden = maps.pop() + self.embed_action(self.action(action))[:, None, None]
        hidden = torch.relu(hidden + self.mix(hidden.movedim(-1, 1)).movedim(1, -1))
        for layer in self.up:
            hidden = torch.relu(maps.pop() + join_patches(layer(hidden), 2))
        output = join_patches(self.write(hidden), self.patch)[:, :height, :width].reshape(latent.shape)
        return (latent + output if self.predict_change else output), state
