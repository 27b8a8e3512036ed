"""Interventions that keep a network plastic while it learns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pamiq_exp.component import Component, State
from pamiq_exp.plasticity import ACTIVATIONS, DORMANT, unit_scores
from pamiq_exp.seeding import torch_generator


class Intervention(Component):
    """Base class of what a trainer does to its module beside the steps of the optimizers."""

    def begin(self, module: nn.Module) -> None:
        """Called once, when the trainer is attached and parameters have their initial values."""

    @abstractmethod
    def after_batch(self, module: nn.Module, optimizers: Sequence[Optimizer], batches: int) -> None:
        """Called after each batch; `batches` have been trained in the run."""


class ShrinkAndPerturb(Intervention):
    """Shrinks all parameters and adds noise of the size of the initial ones: p <- shrink * p + (1 - shrink) * noise.

    The noise of a tensor is normal with the mean square of its initial values. Source: Ash and Adams 2020, On
    warm-starting neural network training, with the noise of a new initialization.

    Args:
        every: Batches from one time to the next.
        shrink: Share of the parameters that stays, such as 0.8 to 0.99.
        seed: Of the noise.

    Raises:
        ValueError: For settings out of range.
    """

    def __init__(self, every: int, shrink: float = 0.9, seed: int = 0) -> None:
        if every < 1 or not 0 <= shrink <= 1:
            raise ValueError(f"every must be at least 1 and shrink from 0 to 1, not {every} and {shrink}")
        self._every, self._shrink = every, float(shrink)
        self._generator = torch_generator(seed)
        self._scales: list[float] = []

    def begin(self, module: nn.Module) -> None:
        """See the base class."""
        self._scales = [float(each.detach().double().square().mean().sqrt()) for each in module.parameters()]

    @torch.no_grad()
    def after_batch(self, module: nn.Module, optimizers: Sequence[Optimizer], batches: int) -> None:
        """See the base class."""
        if batches % self._every:
            return
        for parameter, scale in zip(module.parameters(), self._scales, strict=True):
            noise = torch.randn(parameter.shape, generator=self._generator).to(parameter) * scale
            parameter.mul_(self._shrink).add_(noise, alpha=1 - self._shrink)

    def state(self) -> State:
        """The sizes of the initial values."""
        return {"scales": self._scales}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._scales = [float(scale) for scale in state["scales"]]


class L2Init(Intervention):
    """Adds strength * ||p - initial p||^2 to the loss, through the gradient of each parameter.

    Source: Kumar et al. 2023, Maintaining plasticity in continual learning via regenerative regularization, equation 1.

    Args:
        strength: Weight of the term.

    Raises:
        ValueError: For a negative strength.
    """

    def __init__(self, strength: float = 1e-3) -> None:
        if strength < 0:
            raise ValueError(f"strength must be at least 0, not {strength}")
        self._strength = float(strength)
        self._initial: list[Tensor] = []

    def begin(self, module: nn.Module) -> None:
        """See the base class."""
        self._initial = [parameter.detach().clone() for parameter in module.parameters()]
        for index, parameter in enumerate(module.parameters()):
            if parameter.requires_grad:
                hook = partial(self._add, index)
                parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]

    def _add(self, index: int, parameter: Tensor) -> None:
        if parameter.grad is not None:
            away = parameter.detach() - self._initial[index].to(parameter)
            parameter.grad.add_(away, alpha=2 * self._strength)

    def after_batch(self, module: nn.Module, optimizers: Sequence[Optimizer], batches: int) -> None:
        """Nothing: gradients have it already."""

    def state(self) -> State:
        """The initial parameters."""
        return {"initial": self._initial}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._initial = list(state["initial"])


Layer = nn.Linear | nn.Conv2d


class ReDo(Intervention):
    """Recycles dormant units: new incoming weights, outgoing weights of 0, and no moments in the optimizer.

    New weights are normal with the mean square of the layer's initial ones, biases are 0. Units are those of layers
    that are followed, in the same `nn.Sequential`, by an activation and the layer that reads it; others are left as
    they are. Scores come from the newest batch. Source: Sokar et al. 2023, The dormant neuron phenomenon in deep
    reinforcement learning, algorithm 1.

    Args:
        every: Batches from one time to the next.
        threshold: The score up to which a unit is dormant.
        seed: Of the new weights.

    Attributes:
        recycled: Units recycled so far.

    Raises:
        ValueError: For settings out of range.
    """

    def __init__(self, every: int, threshold: float = DORMANT, seed: int = 0) -> None:
        if every < 1 or threshold < 0:
            raise ValueError(f"every must be at least 1 and threshold at least 0, not {every} and {threshold}")
        self._every, self._threshold = every, float(threshold)
        self._generator = torch_generator(seed)
        self._chains: list[tuple[Layer, nn.Module, Layer]] = []
        self._scales: list[float] = []
        self._outputs: dict[int, Tensor] = {}
        self._records = every == 1
        self.recycled = 0

    def begin(self, module: nn.Module) -> None:
        """See the base class."""
        self._chains = list(_chains(module))
        self._scales = [float(layer.weight.detach().square().mean().sqrt()) for layer, _, _ in self._chains]
        for index, (_, activation, _) in enumerate(self._chains):
            activation.register_forward_hook(lambda layer, _, output, index=index: self._record(index, layer, output))

    def _record(self, index: int, layer: nn.Module, output: Tensor) -> None:
        if self._records and layer is self._chains[index][1]:  # inference copies have copies of this hook
            self._outputs[index] = output.detach()

    @torch.no_grad()
    def after_batch(self, module: nn.Module, optimizers: Sequence[Optimizer], batches: int) -> None:
        """See the base class."""
        if batches % self._every == 0:
            dormant = {index: unit_scores(output) <= self._threshold for index, output in self._outputs.items()}
            for index, units in dormant.items():
                self._renew_incoming(index, units, optimizers)
            for index, units in dormant.items():  # afterwards: a layer that has new weights may read dormant units
                outgoing = self._chains[index][2].weight
                outgoing[:, units] = 0
                _forget(outgoing, (slice(None), units), optimizers)
        self._outputs.clear()
        self._records = (batches + 1) % self._every == 0

    def _renew_incoming(self, index: int, units: Tensor, optimizers: Sequence[Optimizer]) -> None:
        layer = self._chains[index][0]
        self.recycled += int(units.sum())
        drawn = torch.randn(layer.weight[units].shape, generator=self._generator) * self._scales[index]
        layer.weight[units] = drawn.to(layer.weight)
        _forget(layer.weight, units, optimizers)
        if layer.bias is not None:
            layer.bias[units] = 0
            _forget(layer.bias, units, optimizers)

    def state(self) -> State:
        """The sizes of the initial weights, and how many units were recycled."""
        return {"scales": self._scales, "recycled": self.recycled, "records": self._records}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._scales = [float(scale) for scale in state["scales"]]
        self.recycled, self._records = int(state["recycled"]), bool(state["records"])


def _forget(parameter: Tensor, part: Tensor | tuple[slice, Tensor], optimizers: Sequence[Optimizer]) -> None:
    """Set to 0 what optimizers keep of a part of a parameter, such as the moments of Adam."""
    for optimizer in optimizers:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value[part] = 0


def _chains(module: nn.Module) -> Iterator[tuple[Layer, nn.Module, Layer]]:
    """Yield the layer, activation and next layer that follow each other in some `nn.Sequential` and fit."""
    for part in module.modules():
        layers = list(part) if isinstance(part, nn.Sequential) else []
        for first, activation, second in zip(layers, layers[1:], layers[2:], strict=False):
            if not (isinstance(first, Layer) and isinstance(activation, ACTIVATIONS) and isinstance(second, Layer)):
                continue
            if first.weight.shape[0] == second.weight.shape[1]:
                yield first, activation, second
