"""Drives one LightningModule through Lightning Fabric, exactly as `lightning.Trainer` would."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision, Precision
from torch import Tensor
from torch.optim import Optimizer

from pamiq_exp.component import State
from pamiq_exp.lightning_loop.batch_transfer import BatchTransfer
from pamiq_exp.lightning_loop.driven_module import DrivenModule, TrainingPlan
from pamiq_exp.lightning_loop.evaluation import Evaluation, evaluate
from pamiq_exp.lightning_loop.gradients import GradientSettings, clip_gradients, gradients_of
from pamiq_exp.lightning_loop.held_state import HeldTensors
from pamiq_exp.lightning_loop.hooks import step_outputs, takes_index
from pamiq_exp.lightning_loop.module_services import TrainerProxy, attach, detach, is_driven
from pamiq_exp.lightning_loop.nonfinite import BufferWatch, NonFiniteError, norm_of, not_finite_fields, not_finite_part
from pamiq_exp.lightning_loop.optimizers import (
    configured_optimizers,
    hyper_parameters,
    load_optimizers,
    optimizer_states,
    parameters_of,
    step_schedulers,
)
from pamiq_exp.lightning_loop.training_group import TrainingGroup

_COUNTERS = ("batches", "optimizer_steps", "epochs", "skipped_steps", "should_stop")
"""Attributes that a checkpoint holds as they are."""


class LightningDriver(DrivenModule):
    """Trains one module batch by batch, with all the hooks and services that it has under `lightning.Trainer`.

    The parameters stay the same objects, and optimizers and schedulers are made once. An epoch is
    whatever the caller puts between `begin_epoch` and `end_epoch`.

    Args:
        name: Name of the model, for errors.
        module: What is trained. It is attached to this driver until `teardown`.
        fabric: Device and precision.
        gradients: How gradients are gathered, checked and clipped.
        plan: How long training will be, for schedules that depend on it.
        group: The processes that train the module together; None for this one alone.

    Raises:
        ValueError: If the module is in training elsewhere, or cannot be trained with these settings.
    """

    def __init__(
        self,
        name: str,
        module: LightningModule,
        fabric: Fabric,
        gradients: GradientSettings | None = None,
        plan: TrainingPlan | None = None,
        group: TrainingGroup | None = None,
    ) -> None:
        if is_driven(module):
            raise ValueError(f"model {name!r} is trained by two trainers; give each model one")
        super().__init__(name, module, fabric, gradients, plan)
        self._group = group or TrainingGroup()
        self.trainer = TrainerProxy(self)
        self._configured: list[list[dict[str, Any]]] = []
        self._precision: Precision = fabric.strategy.precision
        self._scaler = self._precision.scaler if isinstance(self._precision, MixedPrecision) else None
        self._autocast = nullcontext if type(self._precision) is Precision else fabric.autocast
        self._batch_index = 0
        self._epoch_schedulers_due = False
        self._started = False
        self._in_backward = False
        self._batch: Any = None
        self._loss: Tensor | None = None
        self._outputs: dict[str, Any] = {}
        self._gives_index = takes_index(module.training_step)
        self._attach()
        self._automatic = module.automatic_optimization
        self._transfer = BatchTransfer(fabric, self.hooks)
        self._statistics = BufferWatch(module)
        self._held: HeldTensors | None = None
        if self.gradients.on_nonfinite == "skip":
            # A module that steps its optimizers itself may have made a step before the one that failed.
            by_hand = [] if self._automatic else parameters_of(self.optimizers)
            self._held = HeldTensors(module, by_hand)
        self._group.join(self)

    def begin_epoch(self) -> None:
        """Start an epoch."""
        self._group.begin_epoch(self)
        if not self._started:
            self._started = True
            self.hooks.call("on_train_start")
        self._batch_index = 0
        self.epoch_done = False
        self.hooks.call("on_train_epoch_start")
        self._statistics.refresh()

    def train_batch(self, batch: Any, last: bool = False) -> dict[str, float]:
        """Train on one batch and return what the module logged for this step.

        With `on_nonfinite="skip"`, a batch whose loss, gradient or statistics are not finite is skipped: the module's
        tensors and torchmetrics are those from before it (from before the first batch whose gradients were gathered
        with it), nothing is logged of it, schedulers stay where they are, and `skipped` has the reason.

        Args:
            batch: Whatever `training_step` takes.
            last: Whether this is known to be the last batch of the epoch: gathered gradients are then
                applied whatever their number.

        Raises:
            NonFiniteError: With `on_nonfinite="stop"`, for a loss, gradient or statistic that is not finite.
        """
        with nullcontext() if torch.is_grad_enabled() else torch.enable_grad():
            return self._train_batch(self.transferred(self._group.split(self, batch, last)), last)

    def end_epoch(self) -> dict[str, float]:
        """End the epoch and return the values of the names logged with `on_epoch`."""
        self._group.end_epoch(self)
        if self._epoch_schedulers_due:
            self._step_schedulers("epoch", self.epochs + 1, plateau=False)
        self.logged.epoch_is_over = True
        self.hooks.call("on_train_epoch_end")
        metrics = self.logged.end_epoch()
        self._step_schedulers("epoch", self.epochs + 1, plateau=True)
        self._epoch_schedulers_due = False
        self.epochs += 1
        return metrics

    def evaluate(self, *batches: Any) -> Evaluation:
        """Return the module's mean loss over the rows of batches: of `validation_step`, else of `training_step`.

        The module is in evaluation mode meanwhile and has no gradients. With a `validation_step` all hooks of a
        validation epoch are called, in Lightning's order. Parameters, buffers, the torchmetrics that training logs and
        the global random generators are as before afterwards; without a `validation_step` so is everything else that
        the module holds. The random numbers used are the same ones every time.

        Raises:
            TypeError: If the step returns no loss, or if there is only a `training_step` that also steps optimizers.
        """
        return evaluate(self, batches)

    def step_by_hand(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Any:
        """See `DrivenModule.step_by_hand`."""
        result = self.step_optimizer(optimizer, closure)
        if not self._automatic:
            self._group.copy_from_first(parameters_of([optimizer]))  # what follows in the step takes the new ones
            self.optimizer_steps += self.skipped is None
        return result

    def step_optimizer(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Any:
        """Run the closure (which computes gradients) and step the optimizer, with the hooks in between."""
        strategy = self.fabric.strategy
        if self._scaler is None:
            return strategy.optimizer_step(optimizer, closure=partial(self._prepared, optimizer, closure))
        result = closure()
        if result is not None or not self._automatic:
            self._precision.unscale_gradients(optimizer)
            self._prepared(optimizer, lambda: None)
            strategy.optimizer_step(optimizer)
        return result

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """See `DrivenModule.backward`."""
        if self._in_backward:
            self.fabric.strategy.backward(loss, None, *args, **kwargs)
            return
        self._in_backward = True
        try:
            with self._group.gathering(self.module, loss) as share:
                self.hooks.call("on_before_backward", share)
                if "backward" in self.hooks:
                    self.hooks.call("backward", share, *args, **kwargs)
                else:
                    self.fabric.strategy.backward(share, None, *args, **kwargs)
            self.hooks.call("on_after_backward")
        finally:
            self._in_backward = False

    def teardown(self) -> None:
        """Detach the module, with the hooks of the end of training."""
        if vars(self.module)["_trainer"] is not self.trainer:
            return
        if self._started:
            self.hooks.call("on_train_end")
        self.hooks.call("on_fit_end")
        self.hooks.call("teardown", "fit")
        detach(self.module, self.trainer)

    def state(self) -> State:
        """Counters, optimizers, schedulers, the gradient scale, and what callbacks and `on_save_checkpoint` add."""
        saves = "on_save_checkpoint" in self.hooks
        weights = self.module.state_dict() if saves else {}
        checkpoint: dict[str, Any] = {"state_dict": weights} if saves else {}
        self.hooks.call("on_save_checkpoint", checkpoint)
        # The module's own tensors are saved by the launcher.
        added = {key: value for key, value in checkpoint.items() if key != "state_dict" or value is not weights}
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "configured": self._configured,
            **optimizer_states(self.optimizers, self.schedulers),
            "precision": self._precision.state_dict(),
            "callbacks": {callback.state_key: callback.state_dict() for callback in self.hooks.callbacks},
            "module": added,
        }

    def load_state(self, state: State) -> None:
        """Restore what `state` returned. The module's own tensors are restored by the launcher."""
        for name in _COUNTERS:
            setattr(self, name, state[name])
        # Before the optimizers, as Lightning does: the hook may add the groups that were added during the run.
        self.hooks.call("on_load_checkpoint", {"state_dict": self.module.state_dict(), **state["module"]})
        for callback in self.hooks.callbacks:
            if callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])
        load_optimizers(self.address, self.optimizers, self.schedulers, state, self._configured)
        self._precision.load_state_dict(state["precision"])

    def _attach(self) -> None:
        hooks = self.hooks
        self._take_module()
        try:
            hooks.add_callbacks(self.module.configure_callbacks(), self.trainer)
            hooks.call("prepare_data")
            hooks.call("setup", "fit")
            hooks.call("configure_model")
            self.fabric.setup_module(self.module)
            self._take_module()  # again: Fabric has attached itself
            self.optimizers, self.schedulers = configured_optimizers(self.module)
            self._configured = hyper_parameters(self.optimizers)
            self.trainer.strategy.set_optimizers(self.optimizers)
            hooks.call("on_fit_start")
        except BaseException:
            detach(self.module, self.trainer)
            raise

    def _take_module(self) -> None:
        attach(self.module, self.trainer)
        self.record_in(self.logged)

    def _train_batch(self, batch: Any, last: bool) -> dict[str, float]:
        index = self._batch_index
        stepping = last or (index + 1) % self.gradients.accumulate_batches == 0
        self.is_last_batch = last
        self.skipped = None
        if self._held is not None and index % self.gradients.accumulate_batches == 0:
            self._held.take()
            self.logged.mark()
        self.logged.begin_batch(batch)
        self._outputs = {}
        self._batch = batch
        if self.hooks.call("on_train_batch_start", batch, index) == -1:
            self.epoch_done = stepping = last = True
        elif self._automatic:
            self._optimize(batch, index, stepping)
        else:
            self._outputs = step_outputs(self._training_step(batch, index))
        self._check_statistics()
        if stepping and self.skipped is None:
            self.optimizer_steps += self._automatic and not self.epoch_done
            self._step_schedulers("step", index + 1, plateau=False)
        self._epoch_schedulers_due = not last
        if last:
            self._step_schedulers("epoch", self.epochs + 1, plateau=False)
        if self.epoch_done:
            return {}
        self.hooks.call("on_train_batch_end", self._outputs, batch, index)
        self._check_statistics()
        metrics = self._end_batch(stepping or not self._automatic)
        if stepping and self.skipped is None:
            self._step_schedulers("step", index + 1, plateau=True)
        self._batch_index += 1
        self.batches += 1
        return metrics

    def _end_batch(self, stepped: bool) -> dict[str, float]:
        """Return what was logged for this step; undo a skipped batch."""
        self._batch = None
        if self.skipped is None:
            return self.logged.end_batch(stepped)
        assert self._held is not None
        self.skipped_steps += 1
        self.loss = self.gradient_norm = None
        self._held.put_back()
        self.logged.roll_back()
        return {}

    def _optimize(self, batch: Any, index: int, stepping: bool) -> None:
        optimizer = self.optimizers[0]
        closure = partial(self._closure, optimizer, batch, index)
        if not stepping:
            closure()
            return
        if "optimizer_step" in self.hooks:
            self.hooks.call("optimizer_step", self.epochs, index, self.module.optimizers(), closure)
        else:
            self.step_optimizer(optimizer, closure)

    def _closure(self, optimizer: Optimizer, batch: Any, index: int) -> Tensor | None:
        outputs = step_outputs(self._training_step(batch, index))
        loss = outputs.get("loss")
        if outputs and loss is None:
            raise ValueError(f"{type(self.module).__name__}.training_step returned a dict without 'loss'")
        if index % self.gradients.accumulate_batches == 0:
            self.hooks.call("on_before_zero_grad", optimizer)
            if "optimizer_zero_grad" in self.hooks:
                self.hooks.call("optimizer_zero_grad", self.epochs, index, optimizer)
            else:
                optimizer.zero_grad()
        self._loss = None
        if loss is not None:
            if self.gradients.accumulate_batches > 1:
                loss = loss / self.gradients.accumulate_batches
            self.backward(loss)
            self._loss = outputs["loss"] = self._group.loss_of(loss)
        else:
            self._group.abstain(self.module, failed=self.skipped is not None)
        self._outputs = outputs
        return self._loss

    def _training_step(self, batch: Any, index: int) -> Any:
        previous, self.logged.hook = self.logged.hook, "training_step"
        try:
            with self._autocast():
                return self.module.training_step(batch, *((index,) if self._gives_index else ()))
        except Exception as error:
            # Distributions and indices often refuse what is not finite before there is a loss.
            if not isinstance(error, ArithmeticError) and not not_finite_fields(batch):
                raise
            if self._group.size > 1 and not self._automatic:
                raise  # the other processes wait for the gradients that do not come
            self._skip_batch(f"{type(error).__name__} in training_step: {error}", error)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            return None
        finally:
            self.logged.hook = previous

    def _prepared(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Any:
        """Everything between having gradients and applying them. Optimizers call this as their closure."""
        result = closure()
        if self._group.follows:
            optimizer.zero_grad(set_to_none=True)  # optimizers pass over parameters without a gradient
            return result
        self.hooks.call("on_before_optimizer_step", optimizer)
        gradients = gradients_of(optimizer)
        if not gradients:
            return result
        clips = self._automatic and self.gradients.clip is not None
        norm = norm_of(gradients) if clips and self.gradients.clip_algorithm == "norm" else None
        self.gradient_norm = None if norm is None else norm.item()
        self.loss = None if self._loss is None else self._loss.item() * self.gradients.accumulate_batches
        scaled = self._scaler is not None
        reason = not_finite_part(self.loss, gradients, self.gradient_norm, scaled, self._statistics)
        if reason is not None:
            self._skip_step(optimizer, reason)
        elif "configure_gradient_clipping" in self.hooks and self._automatic:
            self._clip_by_hook(optimizer)
        elif clips and not self.gradients.allows(self.gradient_norm):
            clip_gradients(optimizer, self.gradients, norm)
        return result

    def _clip_by_hook(self, optimizer: Optimizer) -> None:
        clip = self.gradients.clip
        algorithm = None if clip is None else self.gradients.clip_algorithm
        self.hooks.call(
            "configure_gradient_clipping", optimizer, gradient_clip_val=clip, gradient_clip_algorithm=algorithm
        )

    def _check_statistics(self) -> None:
        """Check the module's buffers after a batch."""
        statistic = self._statistics.not_finite()
        if statistic is not None and self.skipped is None:
            self._skip_batch(f"the statistic {statistic} is not finite")

    def _skip_step(self, optimizer: Optimizer, reason: str) -> None:
        self._skip_batch(reason)
        # Optimizers pass over parameters without a gradient: their state stays as it is, too.
        optimizer.zero_grad(set_to_none=True)

    def _skip_batch(self, reason: str, cause: Exception | None = None) -> None:
        if self.gradients.on_nonfinite == "stop":
            raise NonFiniteError(self.name, self.batches, reason, self._batch) from cause
        self.skipped = reason

    def _step_schedulers(self, interval: str, count: int, plateau: bool) -> None:
        if self._automatic and self.schedulers:
            step = self.module.lr_scheduler_step
            step_schedulers(self.schedulers, step, interval, count, plateau, self.logged.values)

    def transferred(self, batch: Any) -> Any:
        """See `DrivenModule.transferred`; the module's own hooks take part."""
        return self._transfer(batch)
