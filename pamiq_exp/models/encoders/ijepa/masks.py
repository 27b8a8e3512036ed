"""Masks of I-JEPA: rectangles of an image that are hidden and predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

Targets: TypeAlias = Literal["one", "all"]
"""The target of prediction: one of the rectangles, or all hidden tokens."""

_ATTEMPTS = 10


class Masks(NamedTuple):
    """The tokens that are hidden from the context encoder, and those of them that are predicted.

    Attributes:
        hidden: `(batch, tokens)` bool.
        target: `(batch, tokens)` bool; a subset of `hidden`.
    """

    hidden: Tensor
    target: Tensor


class MaskSampler:
    """Draws the rectangles of a square map of tokens that are hidden, of which one or all are predicted.

    Source: Assran et al. 2023, Self-supervised learning from images with a joint-embedding predictive
    architecture, section 3; here hidden tokens are replaced instead of removed, so that all images of a batch have
    the same shape.

    Args:
        side: Tokens on a side of the map.
        rectangles: How many are hidden.
        area: Smallest and largest fraction of the map in a rectangle.
        aspect: Smallest and largest ratio of its width to its height.
        min_area: Smallest number of tokens in a rectangle.
        min_visible: Smallest number of visible tokens. Where the rectangles leave fewer, they are drawn again, up to
            ten times; then random tokens are made visible, which are not predicted either.
        targets: Predict `one` of the rectangles, or `all`.

    Raises:
        ValueError: For numbers that do not fit a map of this side.
    """

    def __init__(
        self,
        side: int,
        rectangles: int = 4,
        area: Sequence[float] = (0.1, 0.25),
        aspect: Sequence[float] = (0.75, 1.5),
        min_area: int = 4,
        min_visible: int = 4,
        targets: Targets = "one",
    ) -> None:
        tokens = side * side
        if targets not in get_args(Targets):
            raise ValueError(f"targets must be 'one' or 'all', not {targets!r}")
        if rectangles < 1 or not 0 < area[0] <= area[1] <= 1 or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"no rectangles can be drawn: {rectangles} of area {area} and aspect {aspect}")
        if min_area < 1 or min_visible < 1 or min_area + min_visible > tokens:
            raise ValueError(
                f"a map of {side}x{side} tokens cannot hide at least {min_area} and show at least {min_visible} of them"
            )
        self.side = int(side)
        self.rectangles = int(rectangles)
        self.area = (float(area[0]), float(area[1]))
        self.aspect = (float(aspect[0]), float(aspect[1]))
        self.min_area = int(min_area)
        self.min_visible = int(min_visible)
        self.targets = targets

    def __call__(self, count: int, generator: torch.Generator) -> Masks:
        """Draw masks for `count` images, on the generator's device."""
        rectangles = self._rectangles(count, generator)
        for _ in range(_ATTEMPTS):
            crowded = self._visible(rectangles) < self.min_visible
            if not crowded.any():
                break
            rectangles[crowded] = self._rectangles(int(crowded.sum()), generator)
        hidden = rectangles.any(1)
        if self.targets == "all":
            target = hidden.clone()
        else:
            chosen = torch.randint(self.rectangles, (count,), generator=generator, device=generator.device)
            target = rectangles[torch.arange(count, device=generator.device), chosen]
        missing = self.min_visible - (~hidden).sum(-1)
        for image in (missing > 0).nonzero()[:, 0].tolist():
            shown = self._to_show(hidden[image], target[image], int(missing[image]), generator)
            hidden[image, shown] = False
            target[image, shown] = False
        return Masks(hidden, target)

    def _visible(self, rectangles: Tensor) -> Tensor:
        return (~rectangles.any(1)).sum(-1)

    def _rectangles(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `(count, rectangles, tokens)` bool."""
        shape = (count, self.rectangles)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)

        area = (uniform(*self.area) * self.side**2).clamp(min=self.min_area)
        aspect = uniform(*self.aspect)
        height = (area / aspect).sqrt().round().clamp(1, self.side)
        width = (area * aspect).sqrt().round().clamp(1, self.side)
        width = torch.maximum(width, (self.min_area / height).ceil()).clamp(max=self.side)
        height = torch.maximum(height, (self.min_area / width).ceil())
        top = (uniform(0, 1) * (self.side - height + 1)).floor()
        left = (uniform(0, 1) * (self.side - width + 1)).floor()
        line = torch.arange(self.side, device=generator.device)
        rows = (line >= top.unsqueeze(-1)) & (line < (top + height).unsqueeze(-1))
        columns = (line >= left.unsqueeze(-1)) & (line < (left + width).unsqueeze(-1))
        return (rows.unsqueeze(-1) & columns.unsqueeze(-2)).flatten(-2)

    def _to_show(self, hidden: Tensor, target: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Choose random hidden tokens of one image, targets last."""
        order = torch.rand(hidden.shape, generator=generator, device=generator.device) + target.float()
        return order.masked_fill(~hidden, torch.inf).argsort()[:count]
