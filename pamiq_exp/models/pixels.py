"""The picture itself in place of features, and a network that foresees the next one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pamiq_exp.models.distributions import ActionEncoding
from pamiq_exp.models.dynamics import DynamicsNetwork
from pamiq_exp.models.encoder import Encoder
from pamiq_exp.models.inputs import Batch, leading_shape, scale
from pamiq_exp.spaces import ActionSpec


class Pixels(Encoder):
    """No encoder at all: the "latent vector" is the observation, bytes scaled from 0 to 1, in one long row.

    Args:
        observation: What one lane shows: `${spaces.observation}`.
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
        rows = [scale(batch[name]).reshape(*leading, -1) for name in self.fields]
        return rows[0] if len(rows) == 1 else torch.cat(rows, -1)

    def configure_optimizers(self) -> None:
        """Nothing is learned."""

    @property
    def settled(self) -> bool:
        """Pixels never change their meaning."""
        return True


class PixelDynamics(DynamicsNetwork):
    """A small convolutional network that foresees the next picture from this one and the action.

    Three convolutions halve the map, the action is added to every place of the smallest one, and three more bring
    it back to full size, each with a shortcut from the map of the same size. What it adds up to is the change.

    Args:
        features: Numbers in a picture.
        action: The action space.
        shape: `(height, width, channels)` of the picture.
        channels: Widths of the three maps, from large to small.
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
        predict_change: bool = True,
    ) -> None:
        super().__init__(features)
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        if math.prod(self.shape) != features or len(channels) != 3:
            raise ValueError(
                f"pictures of {self.shape} have {math.prod(self.shape)} numbers, not {features}, and there are three "
                f"maps, not {len(channels)}: choose the encoder `pixels`"
            )
        self.predict_change = bool(predict_change)
        self.action = ActionEncoding(action)
        large, middle, small = channels
        depth = self.shape[2]
        self.down = nn.ModuleList(
            nn.Conv2d(ins, outs, 3, 2, 1) for ins, outs in ((depth, large), (large, middle), (middle, small))
        )
        self.told = nn.Linear(self.action.width, small)
        self.mixed = nn.Conv2d(small, small, 3, 1, 1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(ins, outs, 2, 2) for ins, outs in ((small, middle), (middle, large), (large, depth))
        )
        nn.init.zeros_(self.up[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.up[-1].bias)  # type: ignore[arg-type]

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        picture = latent.view(-1, *self.shape).movedim(-1, 1)
        maps = [picture]
        for layer in self.down:
            maps.append(torch.relu(layer(maps[-1])))
        hidden = torch.relu(self.mixed(maps.pop() + self.told(self.action(action))[:, :, None, None]))
        for index, layer in enumerate(self.up):
            shortcut = maps.pop()
            hidden = layer(hidden)[:, :, : shortcut.shape[2], : shortcut.shape[3]]
            if index < len(self.up) - 1:
                hidden = torch.relu(hidden + shortcut)
        output = hidden.movedim(1, -1).reshape(latent.shape)
        return (latent + output if self.predict_change else output), state
