"""What a module under training finds at `self.trainer` and `self.optimizers()`.

The proxy gives a LightningModule, and callbacks, what `lightning.Trainer` gives them while it fits. What it lacks
raises an error that names model and call; what would have no effect is a warning. None of it is copied with a module,
so that an inference copy is a plain module.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.trainer.states import RunningStage, TrainerFn, TrainerState, TrainerStatus
from lightning.pytorch.utilities.enums import GradClipAlgorithmType
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch.optim import Optimizer

from pamiq_exp.lightning_loop.driven_module import DrivenModule
from pamiq_exp.lightning_loop.gradients import ClipAlgorithm, GradientSettings, clip_gradients

if TYPE_CHECKING:
    from lightning.fabric.loggers.logger import Logger


_HINTS = {
    "datamodule": "data come from the buffers of the config",
    "train_dataloader": "data come from the buffers of the config",
    "val_dataloaders": "held-out data come from `held_out` of the trainer in the config",
    "save_checkpoint": "the launcher saves the whole run, see launcher.checkpoint; use on_save_checkpoint",
    "fit_loop": "use self.trainer.current_epoch, global_step, is_last_batch or num_training_batches",
    "fit": "the launcher runs the loop",
    "max_time": "set launcher.max_seconds",
}
_SETTABLE = frozenset({"should_stop", "accumulate_grad_batches"})


class TrainerProxy:
    """`lightning.Trainer` as one module and its callbacks see it."""

    testing = predicting = sanity_checking = False
    fast_dev_run = False
    num_nodes = num_devices = 1
    log_every_n_steps = 1
    val_check_interval = 1.0
    check_val_every_n_epoch = 1
    min_epochs = min_steps = None
    progress_bar_callback = None
    _driver: DrivenModule
    _warned: set[str]
    strategy: _StrategyProxy
    precision_plugin: _PrecisionProxy

    def __init__(self, driver: DrivenModule) -> None:
        vars(self).update(
            _driver=driver, _warned=set(), strategy=_StrategyProxy(driver), precision_plugin=_PrecisionProxy(driver)
        )

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver.fabric, name, None)
        if found is not None:
            return found
        hint = _HINTS.get(name, "docs/guides/training.md lists what there is")
        raise AttributeError(
            f"{self._driver.address} uses self.trainer.{name}, which does not exist when the launcher trains a module: "
            f"{hint}"
        )

    def __setattr__(self, name: str, value: object) -> None:
        if name in _SETTABLE:
            object.__setattr__(self, name, value)
        elif name not in self._warned:
            self._warned.add(name)
            warnings.warn(
                f"{self._driver.address} sets self.trainer.{name}, which has no effect when the launcher trains a "
                f"module; {_HINTS.get(name, 'set it in the config of its trainer or of the launcher')}",
                stacklevel=2,
            )

    @property
    def should_stop(self) -> bool:
        """Whether the module or a callback asked for the end of its training."""
        return self._driver.should_stop

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        self._driver.should_stop = bool(value)

    @property
    def accumulate_grad_batches(self) -> int:
        return self._driver.gradients.accumulate_batches

    @accumulate_grad_batches.setter
    def accumulate_grad_batches(self, value: int) -> None:
        self._driver.gradients = replace(self._driver.gradients, accumulate_batches=int(value))

    @property
    def training(self) -> bool:
        return not self._driver.validating

    @property
    def validating(self) -> bool:
        return self._driver.validating

    @property
    def state(self) -> TrainerState:
        stage = RunningStage.VALIDATING if self._driver.validating else RunningStage.TRAINING
        return TrainerState(TrainerStatus.RUNNING, TrainerFn.FITTING, stage)

    @property
    def lightning_module(self) -> LightningModule:
        return self._driver.module

    model = lightning_module

    @property
    def optimizers(self) -> list[Optimizer]:
        return self._driver.optimizers

    @property
    def lr_scheduler_configs(self) -> list[LRSchedulerConfig]:
        return self._driver.schedulers

    @property
    def callbacks(self) -> list[Callback]:
        return self._driver.hooks.callbacks

    @property
    def checkpoint_callbacks(self) -> list[Checkpoint]:
        return [callback for callback in self.callbacks if isinstance(callback, Checkpoint)]

    @property
    def early_stopping_callbacks(self) -> list[EarlyStopping]:
        return [callback for callback in self.callbacks if isinstance(callback, EarlyStopping)]

    @property
    def checkpoint_callback(self) -> Checkpoint | None:
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callback(self) -> EarlyStopping | None:
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def global_step(self) -> int:
        return self._driver.optimizer_steps

    @property
    def current_epoch(self) -> int:
        return self._driver.epochs

    @property
    def is_last_batch(self) -> bool:
        return self._driver.is_last_batch

    @property
    def num_training_batches(self) -> float:
        """Batches in an epoch; infinite where the trainer does not know it."""
        plan = self._driver.plan
        return math.inf if plan is None else plan.batches

    @property
    def max_epochs(self) -> int:
        """Epochs that a run of the configured length has; -1 without an end."""
        plan = self._driver.plan
        return -1 if plan is None or plan.epochs is None else plan.epochs

    @property
    def estimated_stepping_batches(self) -> float:
        """Optimizer steps that a run of the configured length makes; infinity without an end."""
        plan = self._driver.plan
        if plan is None or plan.epochs is None:
            return math.inf
        return plan.epochs * math.ceil(plan.batches / self.accumulate_grad_batches)

    @property
    def max_steps(self) -> int:
        """As `estimated_stepping_batches`; -1 without an end."""
        steps = self.estimated_stepping_batches
        return -1 if math.isinf(steps) else int(steps)

    @property
    def callback_metrics(self) -> dict[str, torch.Tensor]:
        values = self._driver.logged.values | self._driver.hooks.recorder.current()
        return {name: torch.tensor(value) for name, value in values.items()}

    logged_metrics = progress_bar_metrics = callback_metrics

    @property
    def gradient_clip_val(self) -> float | None:
        return self._driver.gradients.clip

    @property
    def gradient_clip_algorithm(self) -> GradClipAlgorithmType | None:
        gradients = self._driver.gradients
        return None if gradients.clip is None else GradClipAlgorithmType(gradients.clip_algorithm)

    @property
    def logger(self) -> Logger | None:
        return next(iter(self._driver.fabric.loggers), None)

    @property
    def loggers(self) -> list[Logger]:
        return list(self._driver.fabric.loggers)


class _StrategyProxy:
    """`self.trainer.strategy`: Fabric's own, with backward and optimizers passing through the driver."""

    def __init__(self, driver: DrivenModule) -> None:
        self._driver = driver
        self._lightning_optimizers: list[DrivenOptimizer] = []

    def set_optimizers(self, optimizers: Sequence[Optimizer]) -> None:
        """Let `self.optimizers()` of the module find these."""
        self._lightning_optimizers = [DrivenOptimizer(optimizer, self._driver, self) for optimizer in optimizers]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver.fabric.strategy, name)

    @property
    def lightning_module(self) -> LightningModule:
        return self._driver.module

    def backward(self, tensor: torch.Tensor, optimizer: object, *args: Any, **kwargs: Any) -> None:
        self._driver.backward(tensor, *args, **kwargs)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:  # noqa: A002
        return decision


class _PrecisionProxy:
    """`self.trainer.precision_plugin`."""

    def __init__(self, driver: DrivenModule) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver.fabric.strategy.precision, name)

    def clip_gradients(
        self, optimizer: Optimizer, clip_val: float = 0.0, gradient_clip_algorithm: Any = "norm"
    ) -> None:
        algorithm: ClipAlgorithm = "value" if gradient_clip_algorithm == "value" else "norm"
        clip_gradients(optimizer, GradientSettings(clip_val if clip_val and clip_val > 0 else None, algorithm))


class DrivenOptimizer(LightningOptimizer):
    """An optimizer as modules get it: its steps pass through the driver."""

    def __init__(self, optimizer: Optimizer, driver: DrivenModule, strategy: _StrategyProxy) -> None:
        super().__init__(optimizer)
        self._driver = driver
        vars(self)["_strategy"] = strategy  # `toggle_model` reads its `lightning_module`

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        return None

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        return self._driver.step_by_hand(self.optimizer, closure or _nothing)


def _nothing() -> None:
    return None


def is_driven(module: LightningModule) -> bool:
    """Whether a driver of its own trains this module."""
    trainer = vars(module)["_trainer"]
    return isinstance(trainer, TrainerProxy) and trainer.lightning_module is module


def attach(module: LightningModule, trainer: TrainerProxy) -> None:
    """Let a module find this trainer, and modules inside it that no other driver trains."""
    for part in module.modules():
        if isinstance(part, LightningModule) and not is_driven(part):
            vars(part).update(_fabric=None, _trainer=trainer)
    vars(module).update(_fabric=None, _trainer=trainer)


def detach(module: LightningModule, trainer: TrainerProxy) -> None:
    """Undo `attach`, and remove what records the module's logs."""
    for part in module.modules():
        if isinstance(part, LightningModule) and (part is module or vars(part)["_trainer"] is trainer):
            vars(part).update(_fabric=None, _trainer=None, _fabric_optimizers=[])
    for name in ("log", "log_dict"):
        vars(module).pop(name, None)
