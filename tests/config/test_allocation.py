"""Allocations above a limit are refused before memory is allocated."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest
import torch
from torch import nn

from pamiq_exp.config.allocation import TooLarge, at_most

HUGE = 400_000


def fits(make: Callable[[], object], elements: int) -> bool:
    try:
        with at_most(elements):
            make()
    except TooLarge:
        return False
    return True


def test_at_most_allows_exactly_the_given_number_of_elements() -> None:
    cases: list[tuple[Callable[[], object], int]] = [
        (lambda: nn.Linear(7, 5), 7 * 5 + 5),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), 3 * 4 + 4 + 4 + 4),
        (lambda: nn.Conv2d(3, 8, 5), 3 * 8 * 25 + 8),
        (lambda: torch.zeros(3, 4), 12),
        (lambda: torch.ones(size=(3, 4)), 12),
        (lambda: torch.full((2, 6), 7), 12),
        (lambda: torch.empty([]), 1),
    ]
    assert [str(make()) for make, elements in cases if not fits(make, elements)] == []
    assert [str(make()) for make, elements in cases if fits(make, elements - 1)] == []


def test_at_most_stops_before_memory_is_allocated() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLarge), at_most(1_000_000_000):
        nn.Linear(HUGE, HUGE)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes"


def test_at_most_leaves_values_unchanged() -> None:
    torch.manual_seed(3)
    expected = nn.Linear(4, 4).weight
    torch.manual_seed(3)
    with at_most(100):
        assert torch.equal(nn.Linear(4, 4).weight, expected)
    with at_most(None):
        nn.Linear(4, 4)


def test_at_most_counts_copies_of_layers() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    elements = sum(each.numel() for each in layer.parameters())
    with at_most(3 * elements):
        nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    with pytest.raises(TooLarge), at_most(3 * elements - 1):
        nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


def test_at_most_limits_the_number_of_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pamiq_exp.config.allocation.MOST_TENSORS", 12)
    with at_most(None):
        nn.Sequential(*(nn.Linear(1, 1) for _ in range(6)))
    with pytest.raises(TooLarge) as error, at_most(None):
        nn.Sequential(*(nn.Linear(1, 1, bias=index < 6) for index in range(7)))
    assert error.value.tensors
