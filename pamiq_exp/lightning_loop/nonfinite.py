"""Finding values that are not finite before they spread: in losses, gradients, statistics and batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


class NonFiniteError(ArithmeticError):
    """Training met a loss, a gradient or a statistic that is not finite; the message names the place and what to do."""

    def __init__(self, model: str, training_step: int, what: str, batch: object = None) -> None:
        fields = not_finite_fields(batch)
        if fields:
            hint = (
                f"The batch itself is not finite in {', '.join(fields)}: look at what the environment shows and pays, "
                "and at the reward."
            )
        else:
            hint = "Lower the learning rate or clip gradients."
        super().__init__(
            f"model {model!r}, training step {training_step}: {what}. The parameters are still those from before the "
            f"step. {hint} launcher.on_nonfinite=skip skips such batches and counts them."
        )
        self.model = model
        self.training_step = training_step


def not_finite_fields(batch: object) -> list[str]:
    """Names of the fields of a batch that hold NaN or infinity; empty for a batch without names."""
    if not isinstance(batch, Mapping):
        return []
    return [
        str(name)
        for name, value in batch.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not is_finite(value)
    ]


def all_finite(tensors: list[Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity: either would carry over to the sum, or to the norm.

    Summing is the cheapest look at small tensors on the CPU; elsewhere it is the one transfer that counts.
    """
    if tensors[0].is_cpu:
        return all(math.isfinite(tensor.sum().item()) for tensor in tensors)
    return math.isfinite(norm_of(tensors).item())


def norm_of(gradients: list[Tensor]) -> Tensor:
    """Norm over all gradients together; of sparse ones only the values count."""
    return get_total_norm([gradient._values() if gradient.is_sparse else gradient for gradient in gradients])


def is_finite(tensor: Tensor) -> bool:
    """Whether no number of a tensor is NaN or infinity."""
    return bool(torch.isfinite(tensor.detach()).all())


class BufferWatch:
    """Watches the floating-point buffers of a module for values that stop being finite.

    Buffers that are not finite from the beginning (a mask of -inf, a minimum so far) are ignored.

    Args:
        module: The module.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._watched: dict[tuple[str, str], tuple[dict[str, Any], Tensor, int]] = {}
        self._excused: set[tuple[str, str]] = set()
        self.refresh()

    def refresh(self) -> None:
        """Find the buffers there are; new ones are watched from now on."""
        found = {}
        for path, part in self._module.named_modules():
            for name, tensor in part._buffers.items():
                if tensor is not None and tensor.is_floating_point():
                    found[path, name] = (part._buffers, tensor, tensor._version)
                    if (path, name) not in self._watched and not is_finite(tensor):
                        self._excused.add((path, name))
        self._watched = found

    def not_finite(self) -> str | None:
        """Return the name of a buffer that changed since it was looked at last and is not finite; None without any."""
        for address, (owner, tensor, version) in self._watched.items():
            now = owner.get(address[1])
            if now is None or (now is tensor and now._version == version):
                continue
            self._watched[address] = (owner, now, now._version)
            if address not in self._excused and not is_finite(now):
                return ".".join(filter(None, address))
        return None


def not_finite_part(
    loss: float | None, gradients: list[Tensor], norm: float | None, scaled: bool, statistics: BufferWatch
) -> str | None:
    """Return what is not finite before a step; None if everything is finite.

    Args:
        loss: Of the batch, if it is known.
        gradients: All that there are.
        norm: Over all of them, if it is known.
        scaled: Whether they are scaled: they may overflow then, and the scaler skips and adapts.
        statistics: Watches the module's buffers.
    """
    if loss is not None and not math.isfinite(loss):
        return f"the loss is {loss}"
    if scaled:
        return None
    if not (all_finite(gradients) if norm is None else math.isfinite(norm)):
        return "the gradient holds NaN or infinity"
    statistic = statistics.not_finite()
    return None if statistic is None else f"the statistic {statistic} is not finite"
