"""What networks read: named fields of a batch, scaled in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from pamiq_exp.spaces import ArraySpec, flatten_specs

Batch: TypeAlias = Mapping[str, Tensor]
"""Named tensors with common leading axes: lanes, batch, or batch and time. Names are those of buffer fields."""


def observation_fields(observation: Mapping[str, object]) -> dict[str, ArraySpec]:
    """Return the buffer fields of an observation: `{"image": spec}` becomes `{"observation.image": spec}`."""
    return flatten_specs({"observation": observation})


def is_image(spec: ArraySpec) -> bool:
    """Whether a field is an image: three axes, `(height, width, channels)`."""
    return len(spec["shape"]) == 3


def scale(value: Tensor) -> Tensor:
    """Turn stored numbers into what networks read: torch's default floats, and bytes from 0 to 1."""
    if value.dtype == torch.uint8:
        return value.to(torch.get_default_dtype()).mul_(1 / 255)
    return value.to(torch.get_default_dtype())


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
