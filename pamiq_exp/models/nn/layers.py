"""Layers for several models: MLPs, convolutional stacks, networks for any set of fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.input_normalizer import InputNormalizer
from pamiq_exp.models.nn.inputs import Batch, is_image, leading_shape, scale
from pamiq_exp.spaces import ArraySpec

ActivationName: TypeAlias = Literal["relu", "leaky_relu", "tanh", "gelu", "silu"]

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

_IMAGE_SIDE = 64
"""Smallest side of a large image after the first average pooling."""

_MAP_SIDE = 8
"""A map of this side is not halved."""


def activation(name: ActivationName) -> nn.Module:
    """Return the activation `name`. Raises ValueError with the names that exist."""
    try:
        return _ACTIVATIONS[name]()
    except KeyError:
        raise ValueError(f"unknown activation '{name}'; choose one of {', '.join(_ACTIVATIONS)}") from None


def orthogonal(module: nn.Module, gain: float = math.sqrt(2)) -> nn.Module:
    """Give every linear and convolutional layer of `module` orthogonal weights and zero biases."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.orthogonal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def mlp(width: int, hidden: Sequence[int], activation_name: ActivationName, layer_norm: bool = False) -> nn.Sequential:
    """Linear layers of the widths `hidden`, each followed by the activation; empty for no hidden layers.

    With `layer_norm`, the output of each layer is normalized before the activation, and its bias is that of the norm.
    """
    layers: list[nn.Module] = []
    for size in hidden:
        layers.append(nn.Linear(width, size, bias=not layer_norm))
        if layer_norm:
            layers.append(nn.LayerNorm(size))
        layers.append(activation(activation_name))
        width = size
    return nn.Sequential(*layers)


def split_patches(maps: Tensor, side: int) -> Tensor:
    """Cut maps into squares, `(batch, height, width, channels)` -> `(batch, height / side, width / side, numbers)`."""
    batch, height, width, channels = maps.shape
    squares = maps.reshape(batch, height // side, side, width // side, side, channels).transpose(2, 3)
    return squares.reshape(batch, height // side, width // side, side * side * channels)


def join_patches(squares: Tensor, side: int) -> Tensor:
    """Inverse of `split_patches`."""
    batch, height, width, numbers = squares.shape
    maps = squares.reshape(batch, height, width, side, side, numbers // side**2).transpose(2, 3)
    return maps.reshape(batch, height * side, width * side, numbers // side**2)


class ConvolutionalStack(nn.Module):
    """3x3 convolutions that turn an image of any size into a short vector.

    A layer halves the map as long as its smaller side exceeds 8, so a 7x7 grid of a grid world keeps its
    cells. Images of 128 pixels and more are first averaged down to between 64 and 127 on the smaller side,
    and a map that is larger than `map_side` in the end is averaged down to it.

    Args:
        shape: `(height, width, channels)` of the image.
        channels: Width of each layer.
        activation_name: What follows each layer.
        map_side: Largest side of the output map. A small one loses exact positions.
        patch: Kernel and stride of the first layer, in pixels; 1 for a 3x3 convolution like the others.

    Raises:
        ValueError: If the sides of the image are no multiples of `patch`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        activation_name: ActivationName,
        map_side: int = _MAP_SIDE,
        patch: int = 1,
    ) -> None:
        super().__init__()
        height, width, depth = shape
        layers: list[nn.Module] = []
        shrink = max(1, min(height, width) // _IMAGE_SIDE) if patch == 1 else 1
        if patch > 1:
            if height % patch or width % patch:
                raise ValueError(f"an image of {height} x {width} is not made of squares of {patch} pixels: set patch")
            first, *channels = channels
            layers += [nn.Conv2d(depth, first, patch, patch), activation(activation_name)]
            height, width, depth = height // patch, width // patch, first
        if shrink > 1:
            layers.append(nn.AvgPool2d(shrink, ceil_mode=True))
            height, width = -(-height // shrink), -(-width // shrink)
        for size in channels:
            stride = 2 if min(height, width) > _MAP_SIDE else 1
            layers += [nn.Conv2d(depth, size, 3, stride, padding=1), activation(activation_name)]
            height, width, depth = -(-height // stride), -(-width // stride), size
        side = (min(height, map_side), min(width, map_side))
        if side != (height, width):
            layers.append(nn.AdaptiveAvgPool2d(side))
        self.layers = nn.Sequential(*layers)
        self.width = side[0] * side[1] * depth

    def forward(self, image: Tensor) -> Tensor:
        """Scaled images, `(batch, height, width, channels)` -> `(batch, width)`."""
        features: Tensor = self.layers(_in_precision_of(self.layers, image).movedim(-1, 1))
        return features.flatten(1)


class FieldsNetwork(nn.Module):
    """Network for any set of fields: images of any size, vectors, several at once, to one vector.

    Each image passes through a convolutional stack; other fields are flattened; their concatenation passes through
    linear layers.

    Args:
        fields: The fields of the batch to read.
        channels: Widths of the convolutional layers.
        hidden: Widths of the linear layers.
        activation_name: What follows each layer, the last one included.
        map_side: See `ConvolutionalStack`.
        patch: See `ConvolutionalStack`.
        normalize: Normalize fields that are no images by their running mean and variance; see `InputNormalizer`.
        layer_norm: See `mlp`.
    """

    def __init__(
        self,
        fields: Mapping[str, ArraySpec],
        channels: Sequence[int],
        hidden: Sequence[int],
        activation_name: ActivationName,
        map_side: int = _MAP_SIDE,
        patch: int = 1,
        normalize: bool = False,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.fields = dict(fields)
        self.stacks = nn.ModuleDict()
        self.normalizers = nn.ModuleDict()
        joined = 0
        for name, spec in self.fields.items():
            if is_image(spec):
                stack = ConvolutionalStack(spec["shape"], channels, activation_name, map_side, patch)
                self.stacks[_module_name(name)] = stack
                joined += stack.width
            else:
                joined += math.prod(spec["shape"])
                if normalize:
                    self.normalizers[_module_name(name)] = InputNormalizer(math.prod(spec["shape"]))
        self.body = mlp(joined, hidden, activation_name, layer_norm)
        self.width = hidden[-1] if hidden else joined
        orthogonal(self)

    def forward(self, batch: Batch) -> Tensor:
        """Fields with any common leading axes -> `(..., width)`."""
        leading = leading_shape(batch, self.fields)
        parts = [self._read(name, value) for name, value in self.scaled(batch).items()]
        joined = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        features: Tensor = self.body(_in_precision_of(self.body, joined))
        return features.view(*leading, self.width)

    def scaled(self, batch: Batch) -> dict[str, Tensor]:
        """What the layers read, each field `(n, *shape)` for n inputs: see `scale`, and `normalize`."""
        read = {}
        for name, spec in self.fields.items():
            value = scale(batch[name].reshape(-1, *spec["shape"]), spec)
            if _module_name(name) in self.normalizers:
                value = self._normalizer(name)(_vectors(value)).view_as(value)
            read[name] = value
        return read

    def count_inputs(self, batch: Batch) -> None:
        """Count a batch, with any leading axes, in the running statistics of inputs that are normalized."""
        for name, spec in self.fields.items():
            if _module_name(name) in self.normalizers:
                value = scale(batch[name].reshape(-1, *spec["shape"]), spec)
                self._normalizer(name).count(_vectors(value))

    def refresh_inputs(self, source: FieldsNetwork | None = None) -> None:
        """Let what was counted, here or in a network of the same fields, count from now on; see `InputNormalizer`."""
        counted = self if source is None else source
        for name in self.fields:
            if _module_name(name) in self.normalizers:
                self._normalizer(name).refresh(counted._normalizer(name))

    def _normalizer(self, name: str) -> InputNormalizer:
        normalizer = self.normalizers[_module_name(name)]
        assert isinstance(normalizer, InputNormalizer)
        return normalizer

    def _read(self, name: str, value: Tensor) -> Tensor:
        module = _module_name(name)
        if module in self.stacks:
            features: Tensor = self.stacks[module](value)
            return features
        return _vectors(value)


def _in_precision_of(layers: nn.Sequential, value: Tensor) -> Tensor:
    """Return `value` in the data type of the first layer with weights (a search of all parameters takes longer)."""
    for layer in layers:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            return value.to(layer.weight.dtype)
    return value


def _vectors(value: Tensor) -> Tensor:
    """`(n, *shape)` -> `(n, numbers)`, one number for the shape of a scalar."""
    return value.unsqueeze(-1).flatten(1)


def _module_name(field: str) -> str:
    """Submodule names must not hold dots."""
    return field.replace(".", "_")
