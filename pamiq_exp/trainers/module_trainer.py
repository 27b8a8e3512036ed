"""What all trainers of one LightningModule on one buffer share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from pamiq_exp.buffers import Batch, DataBuffer, DataUser
from pamiq_exp.component import State
from pamiq_exp.lightning_loop.driver import LightningDriver, TrainingPlan
from pamiq_exp.lightning_loop.gradients import ClipAlgorithm, GradientSettings
from pamiq_exp.seeding import torch_generator
from pamiq_exp.trainers.trainer import Trainer, TrainingContext

PartT = TypeVar("PartT")

logger = logging.getLogger(__name__)

_MANY_SKIPPED = 50
"""Batches lost one after the other of which a run is warned."""


class ModuleTrainer(Trainer):
    """Base class of trainers that train one model with the data of one buffer. One round is one epoch of the module.

    A module that needs other models while it trains (a frozen encoder, say) has a method
    `attach_models(models)`, which is called once with all training modules by name; it must not keep them
    as submodules. A module that cannot train yet has a property `trainable`: while it is false its trainer
    is not ready.

    Args:
        model: Name of the model.
        buffer: Name of the buffer.
        seed: For drawing batches.
        max_rounds: Rounds after which this trainer is done; None for no end.
        max_grad_norm: Largest norm (or absolute value) of the gradient; None does not clip.
        gradient_clip_algorithm: "norm" or "value".
        accumulate_grad_batches: Batches whose gradients are gathered for one step of the optimizer.
    """

    def __init__(
        self,
        model: str,
        buffer: str,
        *,
        seed: int = 0,
        max_rounds: int | None = None,
        max_grad_norm: float | None = None,
        gradient_clip_algorithm: ClipAlgorithm = "norm",
        accumulate_grad_batches: int = 1,
    ) -> None:
        self.trains = (model,)
        self.rounds = 0
        """Rounds begun in this run."""
        self._model = model
        self._buffer = buffer
        self._max_rounds = max_rounds
        self._gradients = GradientSettings(max_grad_norm, gradient_clip_algorithm, accumulate_grad_batches)
        self._generator = torch_generator(seed)
        self._skipped_now = 0
        """Batches lost since the last one that was not."""
        self._skipped_longest = 0
        self._user: DataUser | None = None
        self._driver: LightningDriver | None = None

    def attach(self, context: TrainingContext) -> None:
        """See `Trainer.attach`. Raises ValueError or TypeError for a module or buffer that does not suit."""
        module = _named(context.models, self._model, "model")
        self._user = _named(context.users, self._buffer, "buffer")
        self.check_buffer(self._user.buffer)
        attach_models = getattr(module, "attach_models", None)
        if callable(attach_models):
            attach_models(context.models)
        gradients = replace(self._gradients, on_nonfinite=context.on_nonfinite)
        self._driver = LightningDriver(
            self._model, module, context.fabric, gradients, self.plan(context.max_steps, self._user.buffer.num_envs)
        )

    def check_buffer(self, buffer: DataBuffer) -> None:
        """Raise ValueError or TypeError if this trainer cannot work with the buffer; called by `attach`."""

    def plan(self, max_steps: int | None, num_envs: int) -> TrainingPlan | None:
        """How long training will be in a run of `max_steps` environment steps; None if this trainer cannot say."""
        return None

    @property
    def driver(self) -> LightningDriver:
        """Drives the module. Raises RuntimeError before `attach`."""
        if self._driver is None:
            raise RuntimeError(
                f"the trainer of {self._model!r} is not attached yet; the launcher calls attach(context)"
            )
        return self._driver

    @property
    def user(self) -> DataUser:
        """The training end of the buffer. Raises RuntimeError before `attach`."""
        if self._user is None:
            raise RuntimeError(
                f"the trainer of {self._model!r} is not attached yet; the launcher calls attach(context)"
            )
        return self._user

    @property
    def training_step(self) -> int:
        """See `Trainer.training_step`."""
        return self.driver.batches

    @property
    def trainable(self) -> bool:
        """Whether the module lets itself be trained now; one that does not say so always does."""
        return bool(getattr(self.driver.module, "trainable", True))

    @property
    def finished(self) -> bool:
        """Whether all rounds have been made, or the module asked for the end (`trainer.should_stop`)."""
        all_made = self._max_rounds is not None and self.rounds >= self._max_rounds
        return all_made or self.driver.should_stop

    def state(self) -> State:
        """See `Component.state`."""
        return {"rounds": self.rounds, "skipped_now": self._skipped_now, "skipped_longest": self._skipped_longest}

    def load_state(self, state: State) -> None:
        """See `Component.load_state`."""
        self.rounds = state["rounds"]
        self._skipped_now, self._skipped_longest = state["skipped_now"], state["skipped_longest"]

    def summary(self) -> dict[str, float]:
        """How many batches were lost, in all and one after the other; warns if nothing was learned at the end."""
        driver = self.driver
        if not driver.skipped_steps:
            return {}
        if self._skipped_now and (self._skipped_now >= _MANY_SKIPPED or self._skipped_longest == driver.batches):
            logger.warning(
                "the run ends while the model '%s' learns nothing: its last %d batches were all skipped",
                self._model,
                self._skipped_now,
            )
        return {
            f"{self._model}_skipped_steps": driver.skipped_steps,
            f"{self._model}_skipped_in_a_row": self._skipped_longest,
        }

    def train_batch(self, batch: Batch, last: bool) -> dict[str, float]:
        """Train on one batch; return what the module logged, loss, learning rate, and what happened to the gradient."""
        driver = self.driver
        rates = {
            "learning_rate" if index == 0 else f"learning_rate_{index}": float(optimizer.param_groups[0]["lr"])
            for index, optimizer in enumerate(driver.optimizers)
        }
        stopped = driver.should_stop
        figures = driver.train_batch(batch, last) | rates
        self._count_skipped()
        if driver.should_stop and not stopped:
            logger.info("the model '%s' set trainer.should_stop: it is not trained any more", self._model)
        if driver.loss is not None:
            figures.setdefault("loss", driver.loss)
        if driver.gradient_norm is not None:
            figures["gradient_norm"] = driver.gradient_norm
        if driver.skipped_steps:
            figures["skipped_steps"] = driver.skipped_steps
        return figures

    def _count_skipped(self) -> None:
        if self.driver.skipped is None:
            if self._skipped_now >= _MANY_SKIPPED:
                logger.warning(
                    "the model '%s' learns again, after %d batches that were skipped", self._model, self._skipped_now
                )
            self._skipped_now = 0
            return
        self._skipped_now += 1
        self._skipped_longest = max(self._skipped_longest, self._skipped_now)
        if self._skipped_now == _MANY_SKIPPED:
            logger.warning(
                "the model '%s' learns nothing: %d batches in a row were skipped; of the newest one %s. Look at "
                "what the environment shows and pays, and lower the learning rate if it has diverged",
                self._model,
                self._skipped_now,
                self.driver.skipped,
            )


def _named(parts: Mapping[str, PartT], name: str, kind: str) -> PartT:
    try:
        return parts[name]
    except KeyError:
        raise KeyError(f"there is no {kind} {name!r}; there are {sorted(parts)}") from None
