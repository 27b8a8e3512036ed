"""Decoder from features back to the fields that a network reads: images and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from pamiq_exp.models.nn.inputs import is_image
from pamiq_exp.models.nn.layers import ActivationName, activation, mlp
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.spaces import ArraySpec

_MAP_SIDE = 8
"""A map of this side or less is where the transposed convolutions begin."""


class ImageDecoder(nn.Module):
    """Features to images of any size, by transposed convolutions that double a small map.

    Args:
        width: Size of the features.
        shape: `(height, width, channels)` of the image.
        channels: Widths of the maps, from the image's side inward; the last one is repeated where more are needed.
        activation_name: Between layers.
    """

    def __init__(
        self, width: int, shape: Sequence[int], channels: Sequence[int], activation_name: ActivationName
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        sides = [(shape[0], shape[1])]
        while min(sides[-1]) > _MAP_SIDE:
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        wanted = [channels[min(index, len(channels) - 1)] for index in range(len(sides))]
        self._small = (wanted[-1], *sides[-1])
        self.inlet = nn.Linear(width, math.prod(self._small))
        layers: list[nn.Module] = []
        for index in reversed(range(1, len(sides))):
            layers += [
                activation(activation_name),
                nn.ConvTranspose2d(wanted[index], wanted[index - 1], 4, 2, padding=1),
            ]
        layers += [activation(activation_name), nn.Conv2d(wanted[0], shape[2], 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, width)` -> `(batch, height, width, channels)`, about 0 to 1."""
        image: Tensor = self.layers(self.inlet(features).view(-1, *self._small))
        return image[..., : self.shape[0], : self.shape[1]].movedim(1, -1) + 0.5


class FieldDecoder(nn.Module):
    """Features to the fields that a `FieldsNetwork` reads, as its layers read them; see `FieldsNetwork.scaled`.

    Args:
        width: Size of the features.
        fields: What to decode.
        channels: See `ImageDecoder`.
        hidden: Widths of linear layers in front.
        activation_name: After each layer.
        layer_norm: See `mlp`.
    """

    def __init__(
        self,
        width: int,
        fields: Mapping[str, ArraySpec],
        channels: Sequence[int],
        hidden: Sequence[int],
        activation_name: ActivationName,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.fields = dict(fields)
        self.body = mlp(width, hidden, activation_name, layer_norm)
        inner = hidden[-1] if hidden else width
        self.heads = nn.ModuleList(
            ImageDecoder(inner, spec["shape"], channels, activation_name)
            if is_image(spec)
            else nn.Linear(inner, math.prod(spec["shape"]))
            for spec in self.fields.values()
        )

    def decode(self, features: Tensor) -> dict[str, Tensor]:
        """`(batch, width)` -> the decoded fields, each `(batch, *shape)`."""
        inner = self.body(features)
        pairs = zip(self.fields.items(), self.heads, strict=True)
        return {name: head(inner).view(-1, *spec["shape"]) for (name, spec), head in pairs}

    def loss(self, features: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
        """Squared error summed over the numbers of all fields, `(batch,)`.

        Args:
            features: `(batch, width)`.
            fields: What is to be decoded, each `(batch, *shape)`.

        Source: Hafner et al. 2023, Mastering diverse domains through world models, section "World model learning".
        """
        total = to_float32(features.new_zeros(len(features)))
        for name, decoded in self.decode(features).items():
            total = total + (to_float32(decoded) - to_float32(fields[name])).square().unsqueeze(-1).flatten(1).sum(1)
        return total
