"""Evaluation of a module on held-out data, without an effect on its training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor, nn
from torchmetrics import Metric

from pamiq_exp.lightning_loop.driven_module import DrivenModule
from pamiq_exp.lightning_loop.held_state import Restore, hold
from pamiq_exp.lightning_loop.hooks import overrides, takes_index
from pamiq_exp.lightning_loop.log_recorder import LogRecorder


class Evaluation(NamedTuple):
    """Loss of a module on data that it does not train on, and what it logged."""

    loss: float
    metrics: dict[str, float]


def evaluate(driver: DrivenModule, batches: Sequence[Any]) -> Evaluation:
    """Evaluate a module on batches, see `LightningDriver.evaluate`."""
    module = driver.module
    validates = overrides(module, "validation_step")
    if not validates and not module.automatic_optimization:
        raise TypeError(
            f"{driver.address} steps its optimizers in training_step, so it cannot evaluate held-out data; "
            "give it a validation_step that returns the loss"
        )
    if validates:
        # What a module keeps in its validation hooks (a best value so far) stays as it is, as under
        # lightning.Trainer; what training uses is not.
        restore = hold(module, attributes=False, metrics=driver.logged.torchmetrics)
    else:
        restore = hold(module, attributes=True)
        for part in module.modules():
            if isinstance(part, Metric):
                part.reset()
    recorder = LogRecorder()
    driver.record_in(recorder)
    driver.validating = True
    try:
        with _aside(module, restore, driver.fabric.device):
            losses, metrics = _epoch(driver, recorder, batches, validates)
    finally:
        driver.validating = False
        driver.record_in(driver.logged)
    if validates:
        driver.logged.values |= metrics
    weights = [extract_batch_size(batch) for batch in batches]
    loss = sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)
    return Evaluation(loss, metrics)


def _epoch(
    driver: DrivenModule, recorder: LogRecorder, batches: Sequence[Any], validates: bool
) -> tuple[list[float], dict[str, float]]:
    """Run all batches with the hooks around them, in Lightning's order."""
    module, hooks = driver.module, driver.hooks
    call = hooks.call if validates else _no_hook
    method = module.validation_step if validates else module.training_step
    arguments = 1 if takes_index(method) else 0
    call("on_validation_model_zero_grad")
    if validates and "on_validation_model_eval" in hooks:
        call("on_validation_model_eval")
    else:
        module.eval()
    call("on_validation_start")
    call("on_validation_epoch_start")
    losses: list[float] = []
    steps: dict[str, list[tuple[int, float]]] = {}
    for index, batch in enumerate(batches):
        batch = driver.transferred(batch)
        recorder.begin_batch(batch)
        call("on_validation_batch_start", batch, index)
        recorder.hook = "validation_step"
        with driver.fabric.autocast():
            output = method(batch, *((index,) * arguments))
        recorder.hook = None
        call("on_validation_batch_end", output, batch, index)
        losses.append(_loss(driver, method.__name__, output))
        for name, value in recorder.end_batch().items():
            steps.setdefault(name, []).append((extract_batch_size(batch), value))
    metrics = {name: sum(w * value for w, value in pairs) / sum(w for w, _ in pairs) for name, pairs in steps.items()}
    recorder.epoch_is_over = True
    call("on_validation_epoch_end")
    metrics |= recorder.end_epoch()
    call("on_validation_end")
    call("on_validation_model_train")
    return losses, metrics


def _loss(driver: DrivenModule, method: str, output: Any) -> float:
    loss = output.get("loss") if isinstance(output, dict) else output
    if not isinstance(loss, Tensor):
        where = f"{type(driver.module).__name__}.{method}"
        raise TypeError(f"{where} must return the loss (or a dict with it) for held-out data, not {output!r}")
    return float(loss)


def _no_hook(name: str, *args: Any) -> None:
    """For a module that is evaluated by its training step: it has no validation hooks."""


@contextmanager
def _aside(module: nn.Module, restore: Restore, device: torch.device) -> Iterator[None]:
    """Work without gradients and with fixed random numbers; afterwards modes and random generators are as before."""
    parts = list(module.modules())
    modes = [part.training for part in parts]
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        try:
            yield
        finally:
            restore()
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode
            np.random.set_state(numpy_state)
            random.setstate(python_state)


@contextmanager
def untouched(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the module into evaluation mode, without gradients and with fixed random numbers, and undo it all.

    Submodules that were in evaluation mode before (frozen ones) are so afterwards, everything that the module holds
    is what it was, and the global random generators are what they were.
    """
    with _aside(module, hold(module, attributes=True), device):
        module.eval()
        yield
