"""Masks: which patches are hidden, and which are targets of the prediction."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given

from pamiq_exp.models.encoders.ijepa import MaskSampler
from pamiq_exp.seeding import derive_seed
from tests.cases import error_of


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    seed=st.integers(0, 2**62),
    side=st.integers(2, 14),
    rectangles=st.integers(1, 6),
    area=st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)).map(sorted),
    min_area=st.integers(1, 12),
    min_visible=st.integers(1, 20),
)
def test_mask_sampler_hides_all_targets_and_keeps_enough_patches_visible(
    seed: int, side: int, rectangles: int, area: list[float], min_area: int, min_visible: int
) -> None:
    assume(min_area + min_visible <= side**2)
    sampler = MaskSampler(side, rectangles, area, min_area=min_area, min_visible=min_visible)
    hidden, target = sampler(7, generator(seed))
    assert hidden.shape == target.shape == (7, side**2)
    assert not (target & ~hidden).any()
    assert ((~hidden).sum(-1) >= min_visible).all()
    everything = MaskSampler(side, rectangles, area, min_area=min_area, min_visible=min_visible, targets="all")
    hidden, target = everything(7, generator(seed))
    assert torch.equal(hidden, target)


@pytest.mark.parametrize(
    ("side", "area", "min_area", "min_visible", "hidden_share", "target_share"),
    [(8, (0.1, 0.25), 4, 4, 0.50, 0.18), (12, (0.025, 0.125), 10, 10, 0.31, 0.09)],
)
def test_mask_sampler_hidden_and_target_fractions_match_known_values(
    side: int, area: tuple[float, float], min_area: int, min_visible: int, hidden_share: float, target_share: float
) -> None:
    hidden, target = MaskSampler(side, 4, area, min_area=min_area, min_visible=min_visible)(20_000, generator())
    assert hidden.float().mean().item() == pytest.approx(hidden_share, abs=0.015)
    assert target.float().mean().item() == pytest.approx(target_share, abs=0.01)


def test_mask_sampler_targets_are_rectangles_of_at_least_min_area() -> None:
    _, target = MaskSampler(8, area=(0.02, 0.1), min_area=5)(500, generator())
    for mask in target.view(-1, 8, 8):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert mask.sum() == len(rows) * len(columns) >= 5


def test_mask_sampler_targets_cover_all_positions_symmetrically() -> None:
    _, target = MaskSampler(8)(20_000, generator())
    often = target.float().mean(0).view(8, 8)
    torch.testing.assert_close(often, often.flip(0), atol=0.02, rtol=0)
    torch.testing.assert_close(often, often.flip(1), atol=0.02, rtol=0)
    assert often.min() > 0.02


def test_mask_sampler_repeats_its_masks_with_the_same_seed() -> None:
    """Also a seed of 63 bits, such as components get."""
    seed = derive_seed(0, "models.encoder")
    sampler = MaskSampler(8)
    first, second, other = sampler(9, generator(seed)), sampler(9, generator(seed)), sampler(9, generator(seed + 1))
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first.hidden, other.hidden)


def test_mask_sampler_refuses_impossible_settings() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"rectangles": 0}, "rectangles"),
        ({"area": (0.3, 0.2)}, "area"),
        ({"min_area": 40, "min_visible": 30}, "hide at least 40"),
        ({"min_visible": 0}, "show at least 0"),
    ]
    for settings, message in cases:
        assert message in error_of(ValueError, MaskSampler, 8, **settings), settings
