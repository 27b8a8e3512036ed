"""Random shifts of images against padding and cropping."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from pamiq_exp.models.nn.random_shift import random_shift


def test_random_shift_is_a_random_crop_of_the_padded_image() -> None:
    images = torch.randint(0, 256, (200, 6, 5, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    torch.manual_seed(0)
    shifted = random_shift(images, 2)
    assert shifted.dtype == torch.uint8
    assert shifted.shape == images.shape
    padded = pad(images.movedim(-1, 1).float(), (2, 2, 2, 2), mode="replicate").movedim(1, -1).byte()
    found = set()
    for image, wide in zip(shifted, padded, strict=True):
        crops = [(y, x) for y in range(5) for x in range(5) if torch.equal(image, wide[y : y + 6, x : x + 5])]
        assert crops
        found.update(crops if len(crops) == 1 else ())
    assert len(found) == 25


def test_random_shift_of_0_pixels_changes_nothing() -> None:
    images = torch.rand(2, 4, 4, 1)
    assert random_shift(images, 0) is images
