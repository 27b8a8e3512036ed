"""Values are learned in the scale of returns, and do not change when that scale changes."""

from __future__ import annotations

import pytest
import torch

from pamiq_exp.models import ValueHead


def head(**options: bool) -> ValueHead:
    torch.manual_seed(0)
    return ValueHead(6, **options)


def test_value_head_predictions_stay_the_same_when_the_return_scale_changes() -> None:
    module, features = head(), torch.randn(50, 6)
    module.observe(torch.randn(100))
    before = module(features)
    for _ in range(5):
        module.observe(300 + 70 * torch.randn(100))
    assert float(module.return_std) > 50
    torch.testing.assert_close(module(features), before, rtol=1e-4, atol=1e-4)


def test_value_head_learns_returns_of_any_size_at_one_learning_rate() -> None:
    errors = []
    for size in (1e-2, 1.0, 1e4):
        module, features = head(), torch.randn(256, 6, generator=torch.Generator().manual_seed(1))
        returns = size * (features[:, 0] + 3)
        optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
        for _ in range(600):
            module.observe(returns)
            loss = ((module(features) - returns) / module.scale.float()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors.append(float((module(features) - returns).abs().mean().detach()) / size)
    assert max(errors) < 0.05, errors


def test_value_head_without_normalization_is_its_linear_layer() -> None:
    module, features = head(normalize=False), torch.randn(5, 6)
    module.observe(100 + torch.randn(50))
    assert torch.equal(module(features), module.linear(features).squeeze(-1))
    assert float(module.scale) == 1
    assert float(module.return_std) == pytest.approx(1, rel=0.3)


def test_value_head_in_bfloat16_keeps_float64_statistics_and_float32_values() -> None:
    module = head().to(torch.bfloat16)
    for _ in range(10):
        module.observe(1000 + torch.randn(100))
    assert module.returns.mean.dtype == torch.float64
    assert float(module.returns.count) == 1000
    assert module(torch.randn(4, 6, dtype=torch.bfloat16)).dtype == torch.float32


def test_value_head_ignores_empty_returns() -> None:
    module = head()
    module.observe(torch.zeros(0))
    assert float(module.returns.count) == 0
    assert torch.isfinite(module(torch.randn(3, 6))).all()


def test_value_head_streams_are_normalized_separately() -> None:
    torch.manual_seed(0)
    module, features = ValueHead(6, streams=("extrinsic", "intrinsic")), torch.randn(50, 6)
    module.observe(torch.randn(100, 2))
    before = module(features)
    assert before.shape == (50, 2)
    module.observe(torch.stack([300 + 70 * torch.randn(100), torch.randn(100)], -1))
    torch.testing.assert_close(module(features), before, rtol=1e-4, atol=1e-4)
    assert float(module.scale[0]) > 30 > 2 > float(module.scale[1])
