"""Whether an encoder still tells images apart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEAST_STD = 0.1
"""Features that vary less than this over images have collapsed."""

LEAST_RANK = 0.1
"""Features that fill less than this share of their dimensions have collapsed."""


class Collapse(NamedTuple):
    """How far features are from being the same for all images.

    Attributes:
        std: Standard deviation over the images, mean over tokens and dimensions.
        effective_rank: Dimensions that the features fill.
        similarity: Mean cosine similarity of different images.
        collapsed: 1 if the first two are too low to mean anything, else 0.
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
    collapsed = (std < LEAST_STD) | (rank < LEAST_RANK * features.shape[-1])
    return Collapse(std, rank, similarity, collapsed.float())
