"""Random shifts of images (Yarats et al. 2021, DrQ-v2)."""

from __future__ import annotations

import torch
from torch import Tensor


def random_shift(images: Tensor, pad: int) -> Tensor:
    """Shift each image by up to `pad` pixels up or down and left or right; its border is repeated.

    This is padding by `pad` pixels and cropping at random, as one look-up. All whole shifts are equally likely; frames
    that are stacked in one image move together.

    Args:
        images: `(batch, height, width, channels)`, of any data type.
        pad: Largest shift in pixels; 0 for none.

    Source: Yarats et al. 2021, Mastering visual continuous control, section 3.1 (their bilinear interpolation falls on
    whole pixels).
    """
    if not pad:
        return images
    batch, height, width, channels = images.shape
    shift = torch.randint(-pad, pad + 1, (2, batch, 1), device=images.device)
    row = (torch.arange(height, device=images.device) + shift[0]).clamp_(0, height - 1)
    column = (torch.arange(width, device=images.device) + shift[1]).clamp_(0, width - 1)
    row += torch.arange(batch, device=images.device)[:, None] * height
    pixel = row[:, :, None] * width + column[:, None, :]
    return images.reshape(-1, channels).index_select(0, pixel.flatten()).view(images.shape)
