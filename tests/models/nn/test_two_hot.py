"""Numbers as mixtures of two bins."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.models import TwoHotHead, symexp, symlog

NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=10)


@given(NUMBERS)
def test_symexp_inverts_symlog(numbers: list[float]) -> None:
    x = torch.tensor(numbers, dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(x)), x, rtol=1e-9, atol=1e-12)


@given(NUMBERS)
def test_two_hot_weights_at_most_two_neighboring_bins_with_the_target_as_mean(numbers: list[float]) -> None:
    head, target = TwoHotHead(1), torch.tensor(numbers, dtype=torch.float64)
    weights = head.two_hot(target)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(target))
    assert (weights >= 0).all()
    for row in weights:
        used = torch.nonzero(row).flatten()
        assert len(used) <= 2
        assert int(used[-1] - used[0]) <= 1
    centers = torch.linspace(-20, 20, 255, dtype=torch.float64)
    torch.testing.assert_close(weights @ centers, symlog(target), rtol=0, atol=1e-4)


def test_two_hot_clips_numbers_beyond_the_bins_to_the_outermost_bin() -> None:
    head = TwoHotHead(1, bins=5, limit=2.0)
    assert head.two_hot(torch.tensor([1e9, -1e9])).tolist() == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_hot_head_predicts_exactly_0_before_training(dtype: torch.dtype) -> None:
    head = TwoHotHead(8).to(dtype)
    value = head(torch.randn(3, 8).to(dtype))
    assert value.tolist() == [0.0, 0.0, 0.0]
    assert value.dtype == torch.float32


def test_two_hot_head_learns_numbers_of_any_size() -> None:
    torch.manual_seed(0)
    head, target = TwoHotHead(4), torch.tensor([-1000.0, -0.3, 0.02, 50_000.0])
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(300):
        loss = head.loss(torch.eye(4), target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(head(torch.eye(4)), target, rtol=0.03, atol=0.02)


def test_two_hot_head_refuses_an_even_number_of_bins() -> None:
    with pytest.raises(ValueError, match="odd"):
        TwoHotHead(4, bins=10)
