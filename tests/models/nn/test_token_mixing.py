"""Layers between tokens and vectors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pamiq_exp.models.nn.token_mixing import GridPool, LerpStackedFeatures, StackedLinear

SLOTS, INPUTS, OUTPUTS = 5, 3, 4


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_lerp_stacked_features_keeps_leading_axes(leading: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, tokens = LerpStackedFeatures(SLOTS, INPUTS, OUTPUTS).double(), drawn(2, 3, SLOTS, INPUTS)
    index = (0,) * (2 - len(leading))
    whole = layer(tokens)
    assert whole.shape == (2, 3, OUTPUTS)
    torch.testing.assert_close(layer(tokens[index]), whole[index])


def test_lerp_stacked_features_with_equal_weights_averages_the_linear_layers() -> None:
    torch.manual_seed(0)
    layer = LerpStackedFeatures(SLOTS, INPUTS, OUTPUTS).double()
    torch.nn.init.zeros_(layer.logits.weight)
    tokens = drawn(2, SLOTS, INPUTS)
    weight, bias = layer.layers.weight, layer.layers.bias
    expected = sum(tokens[:, slot] @ weight[slot] + bias[slot] for slot in range(SLOTS)) / SLOTS
    torch.testing.assert_close(layer(tokens), expected)


def test_lerp_stacked_features_is_invariant_to_permuting_slots_and_parameters() -> None:
    torch.manual_seed(0)
    layer, other = (LerpStackedFeatures(SLOTS, INPUTS, OUTPUTS).double() for _ in range(2))
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        other.layers.weight.copy_(layer.layers.weight[order])
        other.layers.bias.copy_(layer.layers.bias[order])
        moved = layer.logits.weight.view(SLOTS, SLOTS, INPUTS)[order][:, order]
        other.logits.weight.copy_(moved.reshape(SLOTS, -1))
        other.logits.bias.copy_(layer.logits.bias[order])
    tokens = drawn(2, SLOTS, INPUTS)
    torch.testing.assert_close(other(tokens[:, order]), layer(tokens))


def test_lerp_stacked_features_gives_every_slot_a_gradient() -> None:
    torch.manual_seed(0)
    layer = LerpStackedFeatures(SLOTS, INPUTS, OUTPUTS)
    layer(torch.randn(2, SLOTS, INPUTS)).square().sum().backward()
    assert layer.layers.weight.grad is not None
    assert layer.layers.weight.grad.flatten(1).any(1).all()


def test_lerp_stacked_features_with_one_slot_is_its_linear_layer() -> None:
    layer = LerpStackedFeatures(1, INPUTS, OUTPUTS).double()
    tokens = drawn(2, 1, INPUTS)
    torch.testing.assert_close(layer(tokens), tokens[:, 0] @ layer.layers.weight[0] + layer.layers.bias[0])


def test_stacked_linear_initializes_each_slot_by_its_own_widths() -> None:
    """An initializer that sees three axes takes the number of slots for a width."""
    torch.manual_seed(0)
    weight = StackedLinear(64, 300, 100).weight
    bound = math.sqrt(6 / 400)
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_grid_pool_averages_over_squares() -> None:
    tokens = drawn(2, 36, INPUTS)
    pooled = GridPool(6, 2)(tokens)
    grid = tokens.view(2, 6, 6, INPUTS)
    expected = [grid[:, y : y + 3, x : x + 3].mean((1, 2)) for y in (0, 3) for x in (0, 3)]
    torch.testing.assert_close(pooled, torch.stack(expected, 1))
    assert GridPool(6, 6)(tokens) is tokens
    with pytest.raises(ValueError, match="6x6 tokens cannot be averaged to 4x4"):
        GridPool(6, 4)


def test_lerp_stacked_features_keeps_bfloat16() -> None:
    layer = LerpStackedFeatures(SLOTS, INPUTS, OUTPUTS).bfloat16()
    assert layer(torch.randn(2, SLOTS, INPUTS).bfloat16()).dtype == torch.bfloat16
