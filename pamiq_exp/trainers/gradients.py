"""How gradients are gathered, checked and clipped between `backward` and the optimizer's step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lightning import LightningModule
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

ClipAlgorithm = Literal["norm", "value"]
OnNonfinite = Literal["stop", "skip"]


class NonFiniteError(ArithmeticError):
    """Training met a loss or a gradient that is not finite; the message says where and what to do."""

    def __init__(self, model: str, training_step: int, what: str) -> None:
        super().__init__(
            f"model {model!r}, training step {training_step}: {what}. The parameters are still those from before the "
            "step. Lower the learning rate or clip gradients; on_nonfinite=skip leaves such steps out and counts them."
        )
        self.model = model
        self.training_step = training_step


@dataclass(frozen=True)
class GradientSettings:
    """What happens to gradients before they are applied.

    Attributes:
        clip: Largest norm (or absolute value) of the gradient; None does not clip.
        clip_algorithm: Whether `clip` bounds the norm over all gradients or each value.
        accumulate_batches: Batches whose gradients are gathered for one step of the optimizer.
        on_nonfinite: What to do about a loss or gradient that is not finite: `stop` raises
            NonFiniteError before the step, `skip` leaves the step out and counts it.
    """

    clip: float | None = None
    clip_algorithm: ClipAlgorithm = "norm"
    accumulate_batches: int = 1
    on_nonfinite: OnNonfinite = "stop"

    def __post_init__(self) -> None:
        if self.clip is not None and self.clip <= 0:
            raise ValueError(f"gradients are clipped at a positive number, not at {self.clip}; None does not clip")
        if self.clip_algorithm not in ("norm", "value"):
            raise ValueError(f"gradients are clipped by norm or by value, not by {self.clip_algorithm!r}")
        if self.accumulate_batches < 1:
            raise ValueError(f"gradients of at least 1 batch are gathered for a step, not of {self.accumulate_batches}")
        if self.on_nonfinite not in ("stop", "skip"):
            raise ValueError(f"on_nonfinite is stop or skip, not {self.on_nonfinite!r}")

    def require_suits(self, name: str, module: LightningModule) -> None:
        """Raise ValueError if the module steps its optimizers itself, so that clipping and gathering are its affair."""
        if not module.automatic_optimization and (self.clip is not None or self.accumulate_batches > 1):
            raise ValueError(
                f"model {name!r} steps its optimizers itself, so clipping and gathering gradients cannot be set for "
                "it; call self.clip_gradients in its training_step instead, and leave the trainer's settings out"
            )


def clip_gradients(optimizer: Optimizer, settings: GradientSettings, norm: Tensor | None = None) -> None:
    """Clip the gradients of the optimizer's parameters in place. `norm` saves computing theirs again."""
    if settings.clip is None:
        return
    if settings.clip_algorithm == "value":
        clip_grad_value_(_parameters(optimizer), settings.clip)
    else:
        norm = norm_of(gradients_of(optimizer)) if norm is None else norm
        clip_grads_with_norm_(_parameters(optimizer), settings.clip, norm)


def all_finite(gradients: list[Tensor]) -> bool:
    """Whether no gradient holds NaN or infinity: either would carry over to the sum, or to the norm.

    Summing is the cheapest look at small tensors on the CPU; elsewhere it is the one transfer that counts.
    """
    if gradients[0].is_cpu:
        return all(math.isfinite(gradient.sum().item()) for gradient in gradients)
    return math.isfinite(norm_of(gradients).item())


def norm_of(gradients: list[Tensor]) -> Tensor:
    """Norm over all gradients together; of sparse ones only the values count."""
    return get_total_norm([gradient._values() if gradient.is_sparse else gradient for gradient in gradients])


def gradients_of(optimizer: Optimizer) -> list[Tensor]:
    """The gradients there are."""
    return [parameter.grad for parameter in _parameters(optimizer) if parameter.grad is not None]


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
