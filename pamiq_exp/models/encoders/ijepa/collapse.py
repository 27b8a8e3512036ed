"""Measures of representation collapse."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MIN_STD = 0.1
"""Features with a smaller standard deviation over images have collapsed."""

MIN_RANK = 0.1
"""Features whose effective rank is a smaller fraction of their dimensions have collapsed."""


class Collapse(NamedTuple):
    """How much features differ between images.

    Attributes:
        std: Standard deviation over the images, mean over tokens and dimensions.
        effective_rank: Effective number of dimensions of the features.
        similarity: Mean cosine similarity of different images.
        collapsed: 1 if one of the first two is below its minimum, else 0.
    """

    std: Tensor
    effective_rank: Tensor
    similarity: Tensor
    collapsed: Tensor


@torch.no_grad()
def measure_collapse(features: Tensor) -> Collapse:
    """Measure features of different images, `(images, tokens, width)`, normalized by layer.

    The effective rank is exp of the entropy of the shares of the singular values. Source: Roy and Vetterli
    2007, The effective rank, definition 1.
    """
    if features.ndim != 3 or len(features) < 2:
        raise ValueError(f"collapse is measured on (images, tokens, width) of 2 images or more: {features.shape}")
    features = features.float()
    std = features.std(0, correction=0).mean()
    flat = features.flatten(0, 1)
    singular = torch.linalg.svdvals(flat - flat.mean(0))
    share = singular / singular.sum().clamp(min=1e-12)
    rank = torch.special.entr(share).sum().exp()
    directions = torch.nn.functional.normalize(features.flatten(1), dim=-1)
    count = len(features)
    similarity = (directions.sum(0).square().sum() - directions.square().sum()) / (count * (count - 1))
    collapsed = (std < MIN_STD) | (rank < MIN_RANK * features.shape[-1])
    return Collapse(std, rank, similarity, collapsed.float())
