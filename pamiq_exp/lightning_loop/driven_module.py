"""A LightningModule under training, as its services and its evaluation see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning import LightningModule
from lightning.fabric import Fabric
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from pamiq_exp.component import Component
from pamiq_exp.lightning_loop.gradients import GradientSettings
from pamiq_exp.lightning_loop.hooks import Hooks
from pamiq_exp.lightning_loop.log_recorder import LogRecorder


@dataclass(frozen=True)
class TrainingPlan:
    """How long training will be, as far as its trainer knows.

    Attributes:
        batches: In an epoch.
        epochs: In a run of the configured length; None for a run without an end.
    """

    batches: int
    epochs: int | None = None


class DrivenModule(Component, ABC):
    """A module with its settings, counters, optimizers, hooks and logged values: what all parts of the loop share.

    Args:
        name: Name of the model, for errors.
        module: What is trained.
        fabric: Device and precision.
        gradients: How gradients are gathered, checked and clipped.
        plan: How long training will be, for schedules that depend on it.

    Raises:
        ValueError: If the module cannot be trained with these settings.
    """

    def __init__(
        self,
        name: str,
        module: LightningModule,
        fabric: Fabric,
        gradients: GradientSettings | None = None,
        plan: TrainingPlan | None = None,
    ) -> None:
        self.name = name
        self.address = f"model {name!r} ({type(module).__name__})"
        """The model, for messages."""
        self.module = module
        self.fabric = fabric
        self.plan = plan
        self.gradients = gradients or GradientSettings()
        self.gradients.require_suits(name, module)
        self.optimizers: list[Optimizer] = []
        self.schedulers: list[LRSchedulerConfig] = []
        self.batches = 0
        """Batches trained in this run."""
        self.optimizer_steps = 0
        """Steps made by optimizers: the module's `global_step`."""
        self.epochs = 0
        """Epochs ended: the module's `current_epoch`."""
        self.skipped_steps = 0
        """Batches skipped because something was not finite."""
        self.skipped: str | None = None
        """Why the newest batch was skipped; None if it was not."""
        self.loss: float | None = None
        """Loss of the newest optimizer step, under automatic optimization."""
        self.gradient_norm: float | None = None
        """Norm over all gradients of the newest optimizer step, before clipping; None without clipping by norm."""
        self.epoch_done = False
        """Whether the module asked, in `on_train_batch_start`, to skip the rest of this epoch."""
        self.should_stop = False
        """Whether the module or a callback asked, by `trainer.should_stop`, for the end of its training."""
        self.is_last_batch = False
        """Whether the batch under way is known to be the last of its epoch."""
        self.validating = False
        """Whether the module is being evaluated."""
        self.logged = LogRecorder()
        self.hooks = Hooks(module, self.logged)

    def record_in(self, recorder: LogRecorder) -> None:
        """Let what the module logs reach this recorder."""
        self.hooks.recorder = recorder
        vars(self.module).update(log=recorder.log, log_dict=recorder.log_dict)

    @abstractmethod
    def transferred(self, batch: Any) -> Any:
        """Return the batch on the device and in the precision of the module."""

    @abstractmethod
    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients, through the module's own `backward` if it has one."""

    @abstractmethod
    def step_by_hand(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Any:
        """Make a step that the module asks for, through `self.optimizers()`."""
