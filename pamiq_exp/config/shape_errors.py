"""Which layer of which model raised an error, and which sizes it was about."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from torch import nn

TAKES = ("in_features", "in_channels", "input_size", "normalized_shape", "num_features", "embed_dim")
"""Attributes by which layers of torch say how many numbers they take."""


@dataclass(frozen=True)
class LayerError:
    """A layer that raised.

    Attributes:
        model: Name of its model.
        layer: Its address: `models.dynamics.network.input`.
        words: What it raised.
        takes, given: Numbers that it takes and was given; None where it does not say.
    """

    model: str
    layer: str
    words: str
    takes: int | None = None
    given: int | None = None

    @property
    def message(self) -> str:
        """What happened."""
        if self.takes is None:
            return f"{self.layer} raised: {self.words}"
        return f"{self.layer} takes {self.takes} numbers and is given {self.given}"

    def would_fit(self, key: str, size: int, other: str, fitting: int) -> bool:
        """Whether the size at `key` would be right if it were that of another model, `fitting` at `other`."""
        if "[" in key or "[" in other:
            return False  # one number of a list says nothing by its name
        if self.takes is None or self.given is None:
            return size != fitting and key.rpartition(".")[2] == other.rpartition(".")[2]
        return size - self.takes == fitting - self.given and fitting > 0


def failing_layer(error: Exception, models: Mapping[str, nn.Module]) -> LayerError | None:
    """Return the innermost layer of a model that an error came from; None if it came from none."""
    from torch import nn

    words = (str(error).splitlines() or [type(error).__name__])[0]
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    innermost: LayerError | None = None
    for frame in reversed(frames):
        layer = frame.f_locals.get("self")
        if not isinstance(layer, nn.Module):
            continue
        address = _address(layer, models)
        if address is None:
            continue
        takes, given = _sizes(layer, frame)
        failure = LayerError(address.split(".")[1], address, words, takes, given)
        if takes is not None:
            return failure
        innermost = innermost or failure
    return innermost


def _address(layer: nn.Module, models: Mapping[str, nn.Module]) -> str | None:
    for name, model in models.items():
        for address, module in model.named_modules():
            if module is layer:
                return f"models.{name}.{address}".rstrip(".")
    return None


def _sizes(layer: nn.Module, frame: FrameType) -> tuple[int, int] | tuple[None, None]:
    import torch

    given = frame.f_locals.get("input", frame.f_locals.get("x"))
    size = next((value for name in TAKES if (value := getattr(layer, name, None)) is not None), None)
    takes = size[-1] if isinstance(size, (tuple, list)) and size else size
    if not isinstance(given, torch.Tensor) or not isinstance(takes, int):
        return None, None
    axis = -3 if "Conv" in type(layer).__name__ and given.ndim >= 3 else -1
    if given.ndim < -axis or given.shape[axis] == takes:
        return None, None
    return takes, int(given.shape[axis])
