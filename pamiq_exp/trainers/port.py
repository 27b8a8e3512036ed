"""What a driven module reaches through `self.fabric`, `self.trainer` and `self.optimizers()`.

Under Fabric alone a LightningModule lacks much of what `lightning.Trainer` gives it: `lr_schedulers`,
`toggle_optimizer`, hooks around manual steps, counters. The port adds these and hands the rest on to
Fabric. All of it vanishes when a module is copied, so that a copy for inference is a plain module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch.optim import Optimizer

from pamiq_exp.trainers.gradients import ClipAlgorithm, GradientSettings, clip_gradients
from pamiq_exp.trainers.logged import LogRecorder

if TYPE_CHECKING:
    from lightning.fabric.loggers.logger import Logger

    from pamiq_exp.trainers.driver import LightningDriver


class FabricPort:
    """Fabric as one module sees it, with the parts of `lightning.Trainer` that modules use."""

    progress_bar_callback = None
    training = True
    sanity_checking = False

    def __init__(self, driver: LightningDriver) -> None:
        self._driver = driver

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver.fabric, name)

    @property
    def lightning_module(self) -> LightningModule:
        return self._driver.module

    @property
    def optimizers(self) -> list[Optimizer]:
        return self._driver.optimizers

    @property
    def lr_scheduler_configs(self) -> list[LRSchedulerConfig]:
        return self._driver.schedulers

    @property
    def global_step(self) -> int:
        return self._driver.optimizer_steps

    @property
    def current_epoch(self) -> int:
        return self._driver.epochs

    @property
    def callback_metrics(self) -> Mapping[str, float]:
        return self._driver.logged.values

    @property
    def gradient_clip_val(self) -> float | None:
        return self._driver.gradients.clip

    @property
    def gradient_clip_algorithm(self) -> ClipAlgorithm:
        return self._driver.gradients.clip_algorithm

    @property
    def accumulate_grad_batches(self) -> int:
        return self._driver.gradients.accumulate_batches

    @property
    def logger(self) -> Logger | None:
        return next(iter(self._driver.fabric.loggers), None)

    def backward(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        self._driver.backward(tensor, *args, **kwargs)

    def clip_gradients(
        self, module: object, optimizer: Optimizer, clip_val: float | None = None, max_norm: float | None = None
    ) -> None:
        settings = self._driver.gradients
        if clip_val is not None:
            settings = GradientSettings(clip_val if clip_val > 0 else None, "value")
        elif max_norm is not None:
            settings = GradientSettings(max_norm if max_norm > 0 else None, "norm")
        clip_gradients(optimizer, settings)

    def log_dict(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self._driver.logged.log_dict(metrics)


class DrivenOptimizer(LightningOptimizer):
    """An optimizer as modules get it: its steps pass through the driver."""

    def __init__(self, optimizer: Optimizer, driver: LightningDriver) -> None:
        super().__init__(optimizer)
        self._driver = driver
        vars(self)["_strategy"] = driver.port  # only asked for `lightning_module`, by `toggle_model`

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        return None

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        result = self._driver.step_optimizer(self.optimizer, closure or _nothing)
        if not self._driver.module.automatic_optimization:
            self._driver.optimizer_steps += 1
        return result


def _nothing() -> None:
    return None


def is_driven(module: LightningModule) -> bool:
    """Whether a driver of its own trains this module."""
    port = vars(module)["_fabric"]
    return isinstance(port, FabricPort) and port.lightning_module is module


def attach(driver: LightningDriver) -> None:
    """Give the driven module, and modules inside it that nobody else drives, the port; route the module's logs."""
    for part in driver.module.modules():
        if isinstance(part, LightningModule) and not is_driven(part):
            vars(part).update(_fabric=driver.port, _trainer=driver.port)
    route_logs(driver.module, driver.logged)


def hand_out_optimizers(driver: LightningDriver) -> None:
    """Let `self.optimizers()` find the driver's optimizers."""
    optimizers = [DrivenOptimizer(optimizer, driver) for optimizer in driver.optimizers]
    for part in driver.module.modules():
        if isinstance(part, LightningModule) and vars(part)["_fabric"] is driver.port:
            vars(part)["_fabric_optimizers"] = optimizers


def detach(driver: LightningDriver) -> None:
    """Undo `attach`."""
    for part in driver.module.modules():
        if isinstance(part, LightningModule) and (part is driver.module or vars(part)["_fabric"] is driver.port):
            vars(part).update(_fabric=None, _trainer=None, _fabric_optimizers=[])
    for name in ("log", "log_dict"):
        vars(driver.module).pop(name, None)


def route_logs(module: LightningModule, recorder: LogRecorder) -> None:
    """Let `self.log` and `self.log_dict` of the module reach the recorder."""
    vars(module).update(log=recorder.log, log_dict=recorder.log_dict)
