"""What a module holds at one moment, kept so that it can be put back."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

_NOT_OURS = frozenset(vars(nn.Module())) | {"_fabric", "_trainer", "_fabric_optimizers", "log", "log_dict"}
"""Attributes that belong to torch, to Lightning, or to the driver."""

Restore = Callable[[], Any]


class HeldTensors:
    """Parameters, buffers and torchmetrics of a module, taken before a batch and restored if the batch is skipped.

    The memory of the copies is claimed once. Tensors stay the same objects.

    Args:
        module: The module.
        exclude: Parameters that are not kept.
        metrics: The torchmetrics that are kept; None for all.
    """

    def __init__(
        self, module: nn.Module, exclude: Collection[Tensor] = (), metrics: Collection[Metric] | None = None
    ) -> None:
        self._module = module
        self._metrics = metrics
        self._excluded = {id(tensor) for tensor in exclude}
        self._places: list[tuple[dict[str, Any], str, Tensor]] = []
        self._copies: list[Tensor] = []
        self._others: list[Restore] = []

    @torch.no_grad()
    def take(self) -> None:
        """Copy everything."""
        self._places = [place for place in _places(self._module) if id(place[2]) not in self._excluded]
        tensors = [tensor.detach() for _, _, tensor in self._places]
        if tensors and list(map(_form, tensors)) == list(map(_form, self._copies)):
            torch._foreach_copy_(self._copies, tensors)
        else:
            self._copies = [tensor.clone() for tensor in tensors]
        metrics = self._metrics
        if metrics is None:
            metrics = [part for part in self._module.modules() if isinstance(part, Metric)]
        self._others = [_attributes(metric) for metric in metrics]

    @torch.no_grad()
    def put_back(self) -> None:
        """Make everything what it was when it was taken."""
        if self._places:
            torch._foreach_copy_([tensor.detach() for _, _, tensor in self._places], self._copies)
        for owner, name, tensor in self._places:
            owner[name] = tensor
        for restore in self._others:
            restore()


def hold(module: nn.Module, attributes: bool, metrics: Collection[Metric] | None = None) -> Restore:
    """Return a function that puts back what `module` holds now.

    Always its parameters, buffers and torchmetrics (or only those in `metrics`); with `attributes` also what its parts
    keep in plain attributes: numbers, containers, arrays, tensors, random generators, and objects made of these.
    """
    tensors = HeldTensors(module, metrics=metrics)
    tensors.take()
    others = [_attributes(part) for part in module.modules()] if attributes else []

    def restore() -> None:
        tensors.put_back()
        for each in others:
            each()

    return restore


def _places(module: nn.Module) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Where the tensors of a module lie: buffers may be rebound, so the place is remembered with the tensor."""
    for part in module.modules():
        for owner in (part._parameters, part._buffers):
            for name, tensor in owner.items():
                if tensor is not None:
                    yield owner, name, tensor


def _form(tensor: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return tensor.shape, tensor.dtype, tensor.device


def _attributes(part: nn.Module) -> Restore:
    held = vars(part)
    seen: dict[int, Restore] = {}
    kept = {name: _held(value, seen) for name, value in held.items() if name not in _NOT_OURS}

    def restore() -> None:
        for name in held.keys() - kept.keys() - _NOT_OURS:
            del held[name]
        held.update({name: each() for name, each in kept.items()})

    return restore


def _held(value: Any, seen: dict[int, Restore]) -> Restore:
    """Return what gives `value` back as it is now: the same object with the same content."""
    if id(value) not in seen:
        seen[id(value)] = lambda: value  # of an object that holds itself
        seen[id(value)] = _restorer(value, seen)
    return seen[id(value)]


def _restorer(value: Any, seen: dict[int, Restore]) -> Restore:
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, np.ndarray):
        array = value.copy()
        return lambda: _filled(value, lambda: np.copyto(value, array))
    if isinstance(value, (list, deque, dict, set)):
        return _container(value, seen)
    if isinstance(value, tuple):
        parts = [_held(item, seen) for item in value]
        return lambda: _filled(value, lambda: [part() for part in parts])
    if isinstance(value, (torch.Generator, np.random.Generator, random.Random)):
        return _generator(value)
    if isinstance(value, (nn.Module, type)) or callable(value) or not hasattr(value, "__dict__"):
        return lambda: value
    fields = _held(vars(value), seen)
    return lambda: _filled(value, fields)


def _container(value: Any, seen: dict[int, Restore]) -> Restore:
    pairs = [(key, _held(item, seen)) for key, item in value.items()] if isinstance(value, dict) else []
    items = [] if isinstance(value, dict) else [_held(item, seen) for item in value]

    def restore() -> Any:
        value.clear()
        if isinstance(value, dict):
            value.update([(key, item()) for key, item in pairs])
        elif isinstance(value, set):
            value.update([item() for item in items])
        else:
            value.extend([item() for item in items])
        return value

    return restore


def _tensor(value: Tensor) -> Restore:
    content = value.detach().clone()

    @torch.no_grad()
    def restore() -> Tensor:
        if not torch.equal(value, content):
            value.detach().copy_(content)
        return value

    return restore


def _generator(value: torch.Generator | np.random.Generator | random.Random) -> Restore:
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: _filled(value, lambda: value.set_state(state))
    if isinstance(value, random.Random):
        position = value.getstate()
        return lambda: _filled(value, lambda: value.setstate(position))
    bits = value.bit_generator
    numbers = bits.state
    return lambda: _filled(value, lambda: setattr(bits, "state", numbers))


def _filled(value: Any, fill: Callable[[], Any]) -> Any:
    fill()
    return value
