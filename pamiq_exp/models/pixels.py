"""The picture itself in place of features, and a network that foresees the next one."""

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
    """No encoder at all: the "latent vector" is the observation, bytes scaled from 0 to 1, in one long row.

    Args:
        observation: What one environment shows: `${spaces.observation}`.
        features: Numbers in an observation, all fields together: `${product:${spaces.observation.image.shape}}`.

    Raises:
        ValueError: For another number of features.
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
        """Nothing is learned."""

    @property
    def settled(self) -> bool:
        """Pixels never change their meaning."""
        return True


class PixelDynamics(DynamicsNetwork):
    """A small network of squares that foresees the next picture from this one and the action.

    Squares of the picture are read each by itself, then four neighbors at a time, until the map is small. There the
    action is added to every place, a convolution lets neighbors speak, and as many layers bring the map back to full
    size, each with a shortcut from the map of the same size. What it adds up to is the change. Squares that do not
    overlap are products of matrices: on a processor half the time of convolutions.

    Args:
        features: Numbers in a picture.
        action: The action space.
        shape: `(height, width, channels)` of the picture.
        channels: Widths of the maps, from large to small; each has half the side of the one before.
        patch: Pixels a side of a square.
        predict_change: Add the output to the picture instead of replacing it.

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
                f"pictures of {self.shape} have {math.prod(self.shape)} numbers, not {features}: choose the encoder "
                "`pixels`"
            )
        self.predict_change = bool(predict_change)
        self.patch = int(patch)
        height, width, depth = self.shape
        whole = self.patch * 2 ** (len(channels) - 1)
        self.margin = (-width % whole, -height % whole)
        """Empty columns and rows that make the picture consist of whole squares at every size."""
        self.action = ActionEncoding(action)
        pairs = list(pairwise(channels))
        self.read = nn.Linear(self.patch**2 * depth, channels[0])
        self.down = nn.ModuleList(nn.Linear(4 * ins, outs) for ins, outs in pairs)
        self.told = nn.Linear(self.action.width, channels[-1])
        self.mixed = nn.Conv2d(channels[-1], channels[-1], 3, 1, 1)
        self.up = nn.ModuleList(nn.Linear(outs, 4 * ins) for ins, outs in reversed(pairs))
        self.write = nn.Linear(channels[0], self.patch**2 * depth)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        height, width, _ = self.shape
        right, below = self.margin
        picture = latent.reshape(-1, *self.shape)
        if right or below:
            picture = nn.functional.pad(picture, (0, 0, 0, right, 0, below))
        maps = [torch.relu(self.read(split_patches(picture, self.patch)))]
        for layer in self.down:
            maps.append(torch.relu(layer(split_patches(maps[-1], 2))))
        hidden = maps.pop() + self.told(self.action(action))[:, None, None]
        hidden = torch.relu(hidden + self.mixed(hidden.movedim(-1, 1)).movedim(1, -1))
        for layer in self.up:
            hidden = torch.relu(maps.pop() + join_patches(layer(hidden), 2))
        output = join_patches(self.write(hidden), self.patch)[:, :height, :width].reshape(latent.shape)
        return (latent + output if self.predict_change else output), state
