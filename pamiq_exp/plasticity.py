"""Loss of plasticity: how many units of a network still do something, and how rich its features are.

For metrics and for trainers; the formulas need torch alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.GELU, nn.SiLU)
"""Layers whose outputs are units."""

DORMANT = 0.025
"""The score up to which a unit counts as dormant."""


def unit_scores(outputs: Tensor) -> Tensor:
    """Return the activity of each unit of a layer as a share of the mean of its layer, `(units,)`; 0 in a dead layer.

    Source: Sokar et al. 2023, The dormant neuron phenomenon in deep reinforcement learning, equation 1.

    Args:
        outputs: `(n, units)`, or `(n, units, height, width)` of a convolutional layer, whose units are channels.
    """
    units = outputs.detach().float().abs().transpose(0, 1).flatten(1).mean(1)
    return units / units.mean().clamp(min=torch.finfo(units.dtype).tiny)


def effective_rank(features: Tensor, share: float = 0.99) -> int:
    """Return how many singular values make up a share of their sum; 0 for features that are all 0.

    Source: Kumar et al. 2021, Implicit under-parameterization inhibits data-efficient deep reinforcement learning,
    definition 1 (srank with delta = 0.01).

    Args:
        features: `(n, units)`, one row for each input.
        share: Of the sum of all singular values.
    """
    values = torch.linalg.svdvals(features.detach().double())
    total = values.sum()
    if total == 0:
        return 0
    return int((values.cumsum(0) < share * total - 1e-12 * total).sum()) + 1


@contextmanager
def recorded_units(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of all activation layers of a module while it is called, by their names."""
    outputs: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def record(layer: nn.Module, inputs: object, output: Tensor) -> None:
            outputs[name] = output.detach()

        return record

    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, ACTIVATIONS)]
    handles = [layer.register_forward_hook(recorder(name)) for name, layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def fitting_loss(
    module: nn.Module,
    inputs: object,
    targets: Tensor,
    steps: int,
    generator: torch.Generator,
    learning_rate: float = 1e-3,
) -> float:
    """Return the mean squared error that a copy of a module, with a new linear layer behind it, reaches on new targets.

    A plasticity probe: compared with a freshly initialized module, it says how well parameters can still learn
    (Lyle et al. 2023, Understanding plasticity in neural networks, section 3).

    Args:
        module: Maps the inputs to features, `(n, width)`; it is not changed.
        inputs: Its argument.
        targets: `(n,)`.
        steps: Steps of Adam, each on all inputs.
        generator: Of the weights of the linear layer.
        learning_rate: Of Adam.
    """
    learner = copy.deepcopy(module).train().requires_grad_(True)
    with torch.enable_grad():
        width = learner(inputs).shape[-1]
        weight = (torch.randn(width, generator=generator) / width**0.5).to(targets.device).requires_grad_(True)
        bias = torch.zeros((), device=targets.device, requires_grad=True)
        optimizer = torch.optim.Adam([*learner.parameters(), weight, bias], lr=learning_rate)
        for _ in range(steps):
            optimizer.zero_grad()
            (learner(inputs) @ weight + bias - targets).square().mean().backward()
            optimizer.step()
        return float((learner(inputs) @ weight + bias - targets).square().mean().detach())


def norm(tensors: Iterator[Tensor]) -> float:
    """Return the Euclidean norm over all numbers of some tensors."""
    squares = [tensor.detach().double().square().sum() for tensor in tensors]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
