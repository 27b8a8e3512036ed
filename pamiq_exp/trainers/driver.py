"""Drives one LightningModule through Lightning Fabric, exactly as `lightning.Trainer` would."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision, Precision
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from pamiq_exp.component import Component, State
from pamiq_exp.trainers.evaluation import Evaluation, untouched
from pamiq_exp.trainers.gradients import (
    GradientSettings,
    NonFiniteError,
    all_finite,
    clip_gradients,
    gradients_of,
    norm_of,
)
from pamiq_exp.trainers.hooks import BACKWARD_HOOKS, TRANSFER_HOOKS, Hooks, overrides, takes_index
from pamiq_exp.trainers.logged import LogRecorder
from pamiq_exp.trainers.optimizers import configured_optimizers, hyper_parameters, load_optimizers, step_schedulers
from pamiq_exp.trainers.port import FabricPort, attach, detach, hand_out_optimizers, is_driven, route_logs


class LightningDriver(Component):
    """Trains one module batch by batch, with all the hooks and services that it has under `lightning.Trainer`.

    The parameters stay the same objects, and optimizers and schedulers are made once. An epoch is
    whatever the caller puts between `begin_epoch` and `end_epoch`.

    Args:
        name: Name of the model, for errors.
        module: What is trained. It is attached to this driver until `teardown`.
        fabric: Device and precision.
        gradients: How gradients are gathered, checked and clipped.

    Raises:
        ValueError: If the module is in training elsewhere, or cannot be trained with these settings.
    """

    def __init__(
        self, name: str, module: LightningModule, fabric: Fabric, gradients: GradientSettings | None = None
    ) -> None:
        self.name = name
        self.module = module
        self.fabric = fabric
        self.gradients = gradients or GradientSettings()
        self.gradients.require_suits(name, module)
        if is_driven(module):
            raise ValueError(f"model {name!r} is trained by two trainers; give each model one")
        self.optimizers: list[Optimizer] = []
        self._configured: list[list[dict[str, Any]]] = []
        self.schedulers: list[LRSchedulerConfig] = []
        self.batches = 0
        """Batches trained in this run."""
        self.optimizer_steps = 0
        """Steps made by optimizers: the module's `global_step`."""
        self.epochs = 0
        """Epochs ended: the module's `current_epoch`."""
        self.skipped_steps = 0
        """Steps left out because something was not finite."""
        self.loss: float | None = None
        """Loss of the newest optimizer step, under automatic optimization."""
        self.gradient_norm: float | None = None
        """Norm over all gradients of the newest optimizer step, before clipping; None without clipping by norm."""
        self.epoch_done = False
        """Whether the module asked, in `on_train_batch_start`, to leave out the rest of this epoch."""
        self.logged = LogRecorder()
        self.port = FabricPort(self)
        self._hooks = Hooks(module, self.logged)
        self._precision: Precision = fabric.strategy.precision
        self._scaler = self._precision.scaler if isinstance(self._precision, MixedPrecision) else None
        self._automatic = module.automatic_optimization
        self._autocast = nullcontext if type(self._precision) is Precision else fabric.autocast
        self._has_backward_hooks = bool(BACKWARD_HOOKS & self._hooks.names)
        on_host = fabric.device.type == "cpu" and type(self._precision) is Precision
        self._stays_as_it_is = on_host and not TRANSFER_HOOKS & self._hooks.names
        self._batch_index = 0
        self._epoch_schedulers_due = False
        self._started = False
        self._in_backward = False
        self._loss: Tensor | None = None
        self._outputs: dict[str, Any] = {}
        self._gives_index = takes_index(module.training_step)
        self._attach()

    def begin_epoch(self) -> None:
        """Start an epoch."""
        if not self._started:
            self._started = True
            self._hooks.call("on_train_start")
        self._batch_index = 0
        self.epoch_done = False
        self._hooks.call("on_train_epoch_start")

    def train_batch(self, batch: Any, last: bool = False) -> dict[str, float]:
        """Train on one batch and return what the module logged for this step.

        Args:
            batch: Whatever `training_step` takes.
            last: Whether this is known to be the last batch of the epoch: gathered gradients are then
                applied whatever their number.

        Raises:
            NonFiniteError: With `on_nonfinite="stop"`, for a loss or gradient that is not finite.
        """
        with nullcontext() if torch.is_grad_enabled() else torch.enable_grad():
            return self._train_batch(self._transferred(batch), last)

    def end_epoch(self) -> dict[str, float]:
        """End the epoch and return what it adds up to under the names logged with `on_epoch`."""
        if self._epoch_schedulers_due:
            self._step_schedulers("epoch", self.epochs + 1, plateau=False)
        self._hooks.call("on_train_epoch_end")
        figures = self.logged.end_epoch()
        self._step_schedulers("epoch", self.epochs + 1, plateau=True)
        self._epoch_schedulers_due = False
        self.epochs += 1
        return figures

    def evaluate(self, batch: Any) -> Evaluation:
        """Measure the module's loss on a batch: that of `validation_step`, else of `training_step`.

        The module is in evaluation mode meanwhile, nothing of it or of the global random generators is
        changed, and the random numbers used are the same ones every time.

        Raises:
            TypeError: If the step returns no loss, or if there is only a `training_step` that also steps optimizers.
        """
        validates = overrides(self.module, "validation_step")
        if not validates and not self._automatic:
            raise TypeError(
                f"model {self.name!r} steps its optimizers in training_step, so that cannot measure held-out data; "
                "give it a validation_step that returns the loss"
            )
        method = self.module.validation_step if validates else self.module.training_step
        recorder = LogRecorder()
        recorder.hook = "validation_step"
        route_logs(self.module, recorder)
        try:
            with untouched(self.module, self.fabric.device), self.fabric.autocast():
                batch = self._transferred(batch)
                recorder.begin_batch(batch)
                output = method(batch, *((0,) if takes_index(method) else ()))
        finally:
            route_logs(self.module, self.logged)
        figures = recorder.end_batch() | recorder.end_epoch()
        loss = _outputs(output).get("loss")
        if not isinstance(loss, Tensor):
            where = f"{type(self.module).__name__}.{method.__name__}"
            raise TypeError(f"{where} must return the loss (or a dict with it) for held-out data, not {output!r}")
        if validates:
            self.logged.values |= figures
        return Evaluation(float(loss), figures)

    def step_optimizer(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Any:
        """Run the closure (which computes gradients) and step the optimizer, with the hooks in between."""
        strategy = self.fabric.strategy
        if self._scaler is None:
            return strategy.optimizer_step(optimizer, closure=partial(self._prepared, optimizer, closure))
        result = closure()
        if result is not None or not self._automatic:
            self._precision.unscale_gradients(optimizer)
            self._prepared(optimizer, _nothing)
            strategy.optimizer_step(optimizer)
        return result

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients, through the module's own `backward` if it has one."""
        if self._in_backward or not self._has_backward_hooks:
            self.fabric.strategy.backward(loss, None, *args, **kwargs)
            return
        self._in_backward = True
        try:
            self._hooks.call("on_before_backward", loss)
            if "backward" in self._hooks:
                self._hooks.call("backward", loss, *args, **kwargs)
            else:
                self.fabric.strategy.backward(loss, None, *args, **kwargs)
            self._hooks.call("on_after_backward")
        finally:
            self._in_backward = False

    def teardown(self) -> None:
        """Let the module go."""
        if vars(self.module)["_fabric"] is not self.port:
            return
        if self._started:
            self._hooks.call("on_train_end")
        self._hooks.call("on_fit_end")
        self._hooks.call("teardown", "fit")
        detach(self)

    def state(self) -> State:
        """Counters, optimizers, schedulers, the gradient scale, and what `on_save_checkpoint` adds."""
        checkpoint = {"state_dict": self.module.state_dict()} if "on_save_checkpoint" in self._hooks else {}
        self._hooks.call("on_save_checkpoint", checkpoint)
        return {
            "batches": self.batches,
            "optimizer_steps": self.optimizer_steps,
            "epochs": self.epochs,
            "skipped_steps": self.skipped_steps,
            "configured": self._configured,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [config.scheduler.state_dict() for config in self.schedulers],
            "precision": self._precision.state_dict(),
            "module": {key: value for key, value in checkpoint.items() if key != "state_dict"},
        }

    def load_state(self, state: State) -> None:
        """Restore what `state` returned. The module's own tensors are restored by the launcher."""
        for kind, present in (("optimizers", self.optimizers), ("schedulers", self.schedulers)):
            if len(state[kind]) != len(present):
                raise ValueError(
                    f"model {self.name!r} has {len(present)} {kind}, but {len(state[kind])} were saved; resume with "
                    "the module and the settings of the run"
                )
        self.batches = state["batches"]
        self.optimizer_steps = state["optimizer_steps"]
        self.epochs = state["epochs"]
        self.skipped_steps = state["skipped_steps"]
        load_optimizers(self.optimizers, self.schedulers, state, self._configured)
        self._precision.load_state_dict(state["precision"])
        self._hooks.call("on_load_checkpoint", {"state_dict": self.module.state_dict(), **state["module"]})

    def _attach(self) -> None:
        hooks = self._hooks
        attach(self)
        try:
            hooks.call("prepare_data")
            hooks.call("setup", "fit")
            hooks.call("configure_model")
            self.fabric.setup_module(self.module)
            attach(self)  # again, for Fabric has attached itself
            self.optimizers, self.schedulers = configured_optimizers(self.module)
            self._configured = hyper_parameters(self.optimizers)
            hand_out_optimizers(self)
            hooks.call("on_fit_start")
        except BaseException:
            detach(self)
            raise

    def _train_batch(self, batch: Any, last: bool) -> dict[str, float]:
        index = self._batch_index
        stepping = last or (index + 1) % self.gradients.accumulate_batches == 0
        self.logged.begin_batch(batch)
        self._outputs = {}
        if self._hooks.call("on_train_batch_start", batch, index) == -1:
            self.epoch_done = stepping = last = True
        elif self._automatic:
            self._optimize(batch, index, stepping)
        else:
            self._outputs = _outputs(self._training_step(batch, index))
        if stepping:
            self._step_schedulers("step", index + 1, plateau=False)
        self._epoch_schedulers_due = not last
        if last:
            self._step_schedulers("epoch", self.epochs + 1, plateau=False)
        if self.epoch_done:
            return {}
        self._hooks.call("on_train_batch_end", self._outputs, batch, index)
        figures = self.logged.end_batch(stepping or not self._automatic)
        if stepping:
            self._step_schedulers("step", index + 1, plateau=True)
        self._batch_index += 1
        self.batches += 1
        return figures

    def _optimize(self, batch: Any, index: int, stepping: bool) -> None:
        optimizer = self.optimizers[0]
        closure = partial(self._closure, optimizer, batch, index)
        if not stepping:
            closure()
            return
        if "optimizer_step" in self._hooks:
            self._hooks.call("optimizer_step", self.epochs, index, self.module.optimizers(), closure)
        else:
            self.step_optimizer(optimizer, closure)
        self.optimizer_steps += 1

    def _closure(self, optimizer: Optimizer, batch: Any, index: int) -> Tensor | None:
        outputs = _outputs(self._training_step(batch, index))
        loss = outputs.get("loss")
        if outputs and loss is None:
            raise ValueError(f"{type(self.module).__name__}.training_step returned a dict without 'loss'")
        if index % self.gradients.accumulate_batches == 0:
            self._hooks.call("on_before_zero_grad", optimizer)
            if "optimizer_zero_grad" in self._hooks:
                self._hooks.call("optimizer_zero_grad", self.epochs, index, optimizer)
            else:
                optimizer.zero_grad()
        self._loss = None
        if loss is not None:
            if self.gradients.accumulate_batches > 1:
                loss = loss / self.gradients.accumulate_batches
            self.backward(loss)
            self._loss = outputs["loss"] = loss.detach()
        self._outputs = outputs
        return self._loss

    def _training_step(self, batch: Any, index: int) -> Any:
        previous, self.logged.hook = self.logged.hook, "training_step"
        try:
            with self._autocast():
                return self.module.training_step(batch, *((index,) if self._gives_index else ()))
        finally:
            self.logged.hook = previous

    def _prepared(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Any:
        """Everything between having gradients and applying them. Optimizers call this as their closure."""
        result = closure()
        self._hooks.call("on_before_optimizer_step", optimizer)
        gradients = gradients_of(optimizer)
        if not gradients:
            return result
        clips = self._automatic and self.gradients.clip is not None
        norm = norm_of(gradients) if clips and self.gradients.clip_algorithm == "norm" else None
        self.gradient_norm = None if norm is None else norm.item()
        self.loss = None if self._loss is None else self._loss.item() * self.gradients.accumulate_batches
        problem = self._problem(gradients)
        if problem is not None:
            self._leave_out(optimizer, problem)
        elif "configure_gradient_clipping" in self._hooks and self._automatic:
            self._clip_by_hook(optimizer)
        elif clips:
            clip_gradients(optimizer, self.gradients, norm)
        return result

    def _clip_by_hook(self, optimizer: Optimizer) -> None:
        clip = self.gradients.clip
        algorithm = None if clip is None else self.gradients.clip_algorithm
        self._hooks.call(
            "configure_gradient_clipping", optimizer, gradient_clip_val=clip, gradient_clip_algorithm=algorithm
        )

    def _problem(self, gradients: list[Tensor]) -> str | None:
        """Say what is not finite, if anything is."""
        if self.loss is not None and not math.isfinite(self.loss):
            return f"the loss is {self.loss}"
        if self._scaler is not None:
            return None  # overflowing gradients are part of the game then: the scaler skips and adapts
        finite = all_finite(gradients) if self.gradient_norm is None else math.isfinite(self.gradient_norm)
        return None if finite else "the gradient holds NaN or infinity"

    def _leave_out(self, optimizer: Optimizer, problem: str) -> None:
        if self.gradients.on_nonfinite == "stop":
            raise NonFiniteError(self.name, self.batches, problem)
        self.skipped_steps += 1
        # Optimizers pass over parameters without a gradient: their state stays as it is, too.
        optimizer.zero_grad(set_to_none=True)

    def _step_schedulers(self, interval: str, count: int, plateau: bool) -> None:
        if self._automatic and self.schedulers:
            step = self.module.lr_scheduler_step
            step_schedulers(self.schedulers, step, interval, count, plateau, self.logged.values)

    def _transferred(self, batch: Any) -> Any:
        if self._stays_as_it_is:
            return batch
        if not isinstance(self._precision, MixedPrecision):
            batch = self._precision.convert_input(batch)
        if "on_before_batch_transfer" in self._hooks:
            batch = self._hooks.call("on_before_batch_transfer", batch, 0)
        if "transfer_batch_to_device" in self._hooks:
            batch = self._hooks.call("transfer_batch_to_device", batch, self.fabric.device, 0)
        else:
            batch = self.fabric.to_device(batch)
        if "on_after_batch_transfer" in self._hooks:
            batch = self._hooks.call("on_after_batch_transfer", batch, 0)
        return batch


def _outputs(returned: Any) -> dict[str, Any]:
    """What a step returned, in the form in which hooks and the optimizer's closure want it."""
    if isinstance(returned, Tensor):
        return {"loss": returned}
    return {} if returned is None else dict(returned)


def _nothing() -> None:
    return None
