"""Adam with a learning rate that may fall to 0 over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, get_args

import torch
from lightning import LightningModule
from torch import nn

LearningRateSchedule: TypeAlias = Literal["constant", "linear"]
"""How a learning rate changes over a run."""


def require_schedule(schedule: LearningRateSchedule) -> LearningRateSchedule:
    """Return the schedule; ValueError with the names of those that exist for any other one."""
    known = get_args(LearningRateSchedule)
    if schedule not in known:
        raise ValueError(f"learning_rate_schedule must be one of {', '.join(known)}, not {schedule!r}")
    return schedule


def scheduled_adam(
    module: LightningModule, parameters: Iterable[nn.Parameter], learning_rate: float, schedule: LearningRateSchedule
) -> Any:
    """Return Adam with epsilon 1e-5, and the linear schedule if there is one, for `configure_optimizers`.

    Raises:
        ValueError: For a linear schedule in a run without an end.
    """
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, eps=1e-5, fused=True)
    if schedule == "constant":
        return optimizer
    steps = module.trainer.estimated_stepping_batches
    if math.isinf(steps):
        raise ValueError(
            "learning_rate_schedule: linear needs the length of the run, but this run has no end: set "
            "launcher.max_steps, or learning_rate_schedule: constant"
        )
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / max(1, steps)))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falling, "interval": "step"}}
