"""A process that computes gradients for another one, see `Leader`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lightning import LightningModule
from lightning.fabric import Fabric

from pamiq_exp.lightning_loop.driven_module import TrainingPlan
from pamiq_exp.lightning_loop.driver import LightningDriver
from pamiq_exp.lightning_loop.gradients import GradientSettings
from pamiq_exp.lightning_loop.training_group import Form, Order, SharedTraining, mapped, tensors_of
from pamiq_exp.seeding import derive_seed, seed_global_generators


class Follower:
    """Does what the leading process orders, with models of its own.

    Args:
        models: All models of the run, by name, as they are before training.
        fabric: Device and precision of this process.
        rank: Its number.
        size: How many processes train together.
    """

    def __init__(self, models: Mapping[str, LightningModule], fabric: Fabric, rank: int, size: int) -> None:
        self._models = models
        self._fabric = fabric
        self._rank = rank
        self._group = SharedTraining(rank, size, fabric.device)
        self._drivers: dict[str, LightningDriver] = {}
        self._seeds: dict[str, int] = {}

    def obey(self, order: Order) -> None:
        """Do what an order asks for; returns when it is done in this process."""
        actions: dict[str, Callable[..., None]] = {
            "join": self._join,
            "begin_epoch": self._begin_epoch,
            "train": self._train,
            "end_epoch": self._end_epoch,
        }
        actions[order.action](order.model, *order.arguments)

    def _join(self, name: str, gradients: GradientSettings, plan: TrainingPlan | None, seed: int) -> None:
        module = self._models[name]
        attach_models = getattr(module, "attach_models", None)
        if callable(attach_models):
            attach_models(self._models)
        # What is not finite reaches the leading process in the sums, and it is for that one to stop.
        gradients = replace(gradients, on_nonfinite="skip")
        self._drivers[name] = LightningDriver(name, module, self._fabric, gradients, plan, self._group)
        self._seeds[name] = derive_seed(seed, f"{name}/{self._rank}")

    def _begin_epoch(self, name: str, batches: int, optimizer_steps: int, epochs: int) -> None:
        driver = self._drivers[name]
        driver.batches, driver.optimizer_steps, driver.epochs = batches, optimizer_steps, epochs
        self._group.copy_from_first(tensors_of(*self._models.values()))
        driver.begin_epoch()

    def _train(self, name: str, share: float, form: Any, last: bool) -> None:
        driver = self._drivers[name]
        forms: list[Form] = []
        mapped(form, Form, forms.append)
        tensors = iter(self._group.receive(forms))
        batch = mapped(form, Form, lambda _: next(tensors))
        self._group.copy_from_first(tensors_of(driver.module))
        self._group.share = share
        # The same random numbers in a run that is repeated or resumed: nothing of this process is in a checkpoint.
        seed_global_generators(derive_seed(self._seeds[name], str(driver.batches)))
        driver.train_batch(batch, last)

    def _end_epoch(self, name: str) -> None:
        self._drivers[name].end_epoch()
