"""How gradients are gathered, checked and clipped between `backward` and the optimizer's step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning import LightningModule
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_
from torch.optim import Optimizer

from pamiq_exp.lightning_loop.nonfinite import norm_of
from pamiq_exp.nonfinite import OnNonfinite

ClipAlgorithm = Literal["norm", "value"]


@dataclass(frozen=True)
class GradientSettings:
    """What happens to gradients before they are applied.

    Attributes:
        clip: Largest norm (or absolute value) of the gradient; None does not clip.
        clip_algorithm: Whether `clip` bounds the norm over all gradients or each value.
        accumulate_batches: Batches whose gradients are gathered for one step of the optimizer.
        on_nonfinite: What to do about a loss, gradient or running statistic that is not finite: `stop` raises
            NonFiniteError before the step, `skip` skips the batch and counts it.
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

    def allows(self, norm: float | None) -> bool:
        """Whether clipping by norm would leave gradients of a known norm as they are."""
        # torch divides by the norm plus 1e-6, so a smaller distance from the limit may change the last bits.
        return norm is not None and self.clip is not None and norm < self.clip - 2e-6

    def require_suits(self, name: str, module: LightningModule) -> None:
        """Raise ValueError if the module steps its optimizers itself: it then has to clip and gather by itself, too."""
        if not module.automatic_optimization and (self.clip is not None or self.accumulate_batches > 1):
            raise ValueError(
                f"model {name!r} steps its optimizers itself, so clipping and gathering gradients cannot be set for "
                "it; call self.clip_gradients in its training_step instead, and remove the trainer's settings"
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


def gradients_of(optimizer: Optimizer) -> list[Tensor]:
    """Return the gradients of the optimizer's parameters that have one."""
    return [parameter.grad for parameter in _parameters(optimizer) if parameter.grad is not None]


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
