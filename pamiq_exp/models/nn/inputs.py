"""Inputs and actions of networks: fields of a batch, scaled by their declared bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.spaces import ActionSpec, ArraySpec, are_bounds, flatten_specs

Batch: TypeAlias = Mapping[str, Tensor]
"""Named tensors with common leading axes: num_envs, batch, or batch and time. Names are those of buffer fields."""


def observation_fields(observation: Mapping[str, object]) -> dict[str, ArraySpec]:
    """Return the buffer fields of an observation: `{"image": spec}` becomes `{"observation.image": spec}`."""
    return flatten_specs({"observation": observation})


def is_image(spec: ArraySpec) -> bool:
    """Whether a field is an image: three axes, `(height, width, channels)`."""
    return len(spec["shape"]) == 3


def scale(value: Tensor, spec: ArraySpec) -> Tensor:
    """Scale stored numbers by their declared bounds, to torch's default floating point type.

    Images become 0 to 1; other numbers 0 to 1, or -1 to 1 where their bounds lie on both sides of 0. Numbers without
    bounds, with one only, or with huge ones are not scaled. Bytes without declared bounds are 0 to 255.

    Args:
        value: `(..., *shape)`.
        spec: Of the field.
    """
    number = torch.get_default_dtype()
    signed = not is_image(spec)
    if "lows" in spec and "highs" in spec:
        origin, size = _origins_and_sizes(tuple(spec["lows"]), tuple(spec["highs"]), signed, number, value.device)
        each: Tensor = (value.to(number) - origin) / size
        return each
    missing = (0.0, 255.0) if value.dtype == torch.uint8 else (-math.inf, math.inf)
    start, extent = _origin_and_size(spec.get("low", missing[0]), spec.get("high", missing[1]), signed)
    scaled = value.to(number)
    if start:
        scaled = scaled - start
    return scaled if extent == 1 else scaled * (1 / extent)


@lru_cache(maxsize=256)
def _origins_and_sizes(
    lows: tuple[float, ...], highs: tuple[float, ...], signed: bool, number: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """`_origin_and_size` of each number, as tensors: made once, for they are asked for at every turn."""
    pairs = [_origin_and_size(low, high, signed) for low, high in zip(lows, highs, strict=True)]
    origin, size = torch.tensor(pairs, dtype=number, device=device).T
    return origin, size


def _origin_and_size(low: float, high: float, signed: bool) -> tuple[float, float]:
    """The offset and the divisor for numbers between these bounds."""
    if not are_bounds(low, high):
        return 0.0, 1.0
    if signed and low < 0 < high:
        return (low + high) / 2, (high - low) / 2
    return low, high - low


class ActionScale(nn.Module):
    """Scaling of Box actions for networks: -1 to 1 over the declared bounds.

    Numbers without bounds, with one only, or with huge ones are not scaled. Discrete actions have no scale.

    Args:
        action: The action space.
    """

    middle: Tensor
    reach: Tensor

    def __init__(self, action: ActionSpec) -> None:
        super().__init__()
        bounds = zip(action.get("low", ()), action.get("high", ()), strict=True)
        pairs = [((low + high) / 2, (high - low) / 2) if are_bounds(low, high) else (0.0, 1.0) for low, high in bounds]
        size = math.prod(action["shape"])
        if len(pairs) != size:  # described without bounds
            pairs = [(0.0, 1.0)] * size
        middle, reach = torch.tensor(pairs, dtype=torch.get_default_dtype()).T
        self.register_buffer("middle", middle.clone(), persistent=False)
        self.register_buffer("reach", reach.clone(), persistent=False)

    def read(self, action: Tensor) -> Tensor:
        """Scale actions for the input of a network, `(..., numbers)`."""
        return (action.to(self.reach.dtype) - self.middle) / self.reach

    def write(self, scaled: Tensor) -> Tensor:
        """Inverse of `read`: the actions of scaled numbers, `(..., numbers)`."""
        return scaled * self.reach.to(scaled.dtype) + self.middle.to(scaled.dtype)

    def act(self, mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
        """Scale the mean and log standard deviation of a network's output to actions, each `(..., numbers)`."""
        mean, log_std = to_float32(mean), to_float32(log_std)
        return self.write(mean), log_std + self.reach.to(log_std.dtype).log()


def leading_shape(batch: Batch, fields: Mapping[str, ArraySpec]) -> torch.Size:
    """Return the leading axes that the fields of a batch share.

    Raises KeyError for a missing field and ValueError for one of another shape, with what was expected.
    """
    leading: torch.Size | None = None
    for name, spec in fields.items():
        if name not in batch:
            raise KeyError(f"the batch lacks the field '{name}'; it holds: {', '.join(sorted(batch)) or 'nothing'}")
        axes = len(spec["shape"])
        shape = batch[name].shape
        if list(shape[len(shape) - axes :]) != spec["shape"] or len(shape) < axes:
            raise ValueError(f"the field '{name}' has the shape {tuple(shape)}, expected (..., {spec['shape']})")
        if leading is not None and shape[: len(shape) - axes] != leading:
            raise ValueError(
                f"the field '{name}' has the leading axes {tuple(shape[: len(shape) - axes])}, the fields "
                f"before it {tuple(leading)}"
            )
        leading = shape[: len(shape) - axes]
    if leading is None:
        raise ValueError("a network needs at least one input field")
    return leading


def choose_image(fields: Mapping[str, ArraySpec], name: str | None, needed_by: str) -> tuple[str, tuple[int, int, int]]:
    """Return the field of the image `name`, or of the only one, and its `(height, width, channels)`.

    Raises:
        ValueError: There is no such image, or there are several and none is named.
    """
    images = [field for field, spec in fields.items() if is_image(spec)]
    field = f"observation.{name}" if name is not None else images[0] if len(images) == 1 else None
    if field not in images:
        shown = ", ".join(image.removeprefix("observation.") for image in images) or "none"
        raise ValueError(
            f"{needed_by} needs one image, but the images of this environment are: {shown}. "
            "Name one with image=..., or choose another environment, another encoder (encoder=random_features) or "
            "another decoder (decoder=null)"
        )
    height, width, depth = fields[field]["shape"]
    return field, (height, width, depth)
