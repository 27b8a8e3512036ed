"""Training on batches drawn from a replay buffer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.buffers import Batch
from pamiq_exp.component import State
from pamiq_exp.lightning_loop import TrainingPlan
from pamiq_exp.lightning_loop.evaluation import untouched
from pamiq_exp.media import Media, Picture, Video
from pamiq_exp.trainers.module_trainer import ModuleTrainer

_FRAMES_PER_SECOND = 10.0
"""Of videos that a module makes."""


@dataclass(eq=False, repr=False)
class ReplayTrainer(ModuleTrainer):
    """Trains a model on transitions or sequences drawn from everything that its buffer holds.

    Args:
        model, buffer, seed, max_rounds, max_grad_norm, gradient_clip_algorithm, accumulate_grad_batches: See
            `ModuleTrainer`.
        batch_size: Transitions, or sequences, in a batch.
        sequence_length: Turns in a sequence; None for single transitions. Batches are `(batch, *shape)` or
            `(batch, sequence, *shape)`.
        train_every: New environment steps that make a round due; 0 trains without a pause.
        learning_starts: Environment steps that the buffer must hold before the first round.
        gradient_steps: Batches in a round; the model is published after each round.
        held_out: A batch that is never trained on, in the shape of the others. The loss on it (of the
            module's `validation_step`, else of its `training_step`) is measured before the first batch
            ever, at times, and at the end; it gives `<model>_loss_first` and `<model>_loss_last` in the
            summary, where otherwise the mean training losses of the first and the last round stand.
        held_out_every: Rounds between two measurements.
        pictures_every: Rounds between two sets of pictures, for modules with a method
            `pictures(batch) -> Mapping[str, uint8 (height, width, 3)]`, or `(time, height, width, 3)` for a
            video; they are made from `held_out` if there is one, else from the last batch.
    """

    batch_size: int
    _: KW_ONLY
    sequence_length: int | None = None
    train_every: int = 1
    learning_starts: int = 1
    gradient_steps: int = 1
    held_out: Mapping[str, NDArray[np.generic] | torch.Tensor] | None = None
    held_out_every: int = 100
    pictures_every: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = (self.batch_size, self.gradient_steps, self.held_out_every, self.sequence_length, self.pictures_every)
        if any(size is not None and size < 1 for size in sizes):
            raise ValueError("sizes, lengths and intervals of a trainer must be at least 1")
        self._held_out: Batch | None = None
        if self.held_out:
            self._held_out = {name: torch.as_tensor(value) for name, value in self.held_out.items()}
        self._pictures: list[Media] = []
        self._seen = 0
        self._loss_first: float | None = None
        self._loss_last: float | None = None
        self._measured_at = -1

    def plan(self, max_steps: int | None, num_envs: int) -> TrainingPlan:
        """See `ModuleTrainer.plan`: as if a round began whenever one is due."""
        if max_steps is None:
            return TrainingPlan(self.gradient_steps, self.max_rounds)
        rounds = max(
            0, (max_steps - max(self.learning_starts, self.train_every)) // max(self.train_every, num_envs) + 1
        )
        return TrainingPlan(self.gradient_steps, rounds if self.max_rounds is None else min(rounds, self.max_rounds))

    def ready(self) -> bool:
        """Whether enough new data has come since the last round began, and the buffer holds enough."""
        user = self.user
        if self.finished or not self.trainable or user.count_added - self._seen < self.train_every:
            return False
        return user.steps_held >= self.learning_starts and user.holds_sequence(self.sequence_length or 1)

    def round(self) -> Iterator[Mapping[str, float]]:
        """See `Trainer.round`."""
        driver = self.driver
        self._seen = self.user.count_added
        first = self._measure_first()
        self.rounds += 1
        driver.begin_epoch()
        losses: list[float] = []
        for index in range(self.gradient_steps):
            last = index == self.gradient_steps - 1
            batch = self._draw()
            metrics = self.train_batch(batch, last)
            if "loss" in metrics:
                losses.append(metrics["loss"])
            ends = last or driver.epoch_done or driver.should_stop
            if ends:
                metrics |= self._end_round(batch, losses)
            yield metrics | first if first else metrics
            first = {}
            if ends:
                return

    def media(self) -> list[Media]:
        """See `Trainer.media`."""
        pictures, self._pictures = self._pictures, []
        return pictures

    def summary(self) -> dict[str, float]:
        """The loss at the beginning and at the end, see `held_out`, and what `ModuleTrainer.summary` returns."""
        if self._held_out is not None and self._measured_at != self.training_step:
            self._measure()
        losses = {"first": self._loss_first, "last": self._loss_last}
        known = {f"{self.model}_loss_{when}": loss for when, loss in losses.items() if loss is not None}
        return super().summary() | known

    def state(self) -> State:
        """See `Component.state`."""
        return super().state() | {
            "seen": self._seen,
            "loss_first": self._loss_first,
            "loss_last": self._loss_last,
            "measured_at": self._measured_at,
        }

    def load_state(self, state: State) -> None:
        """See `Component.load_state`."""
        super().load_state(state)
        self._seen = state["seen"]
        self._loss_first, self._loss_last = state["loss_first"], state["loss_last"]
        self._measured_at = state["measured_at"]

    def _draw(self) -> Batch:
        if self.sequence_length is None:
            return self.user.sample(self.batch_size, self._generator)
        return self.user.sequences(self.batch_size, self.sequence_length, self._generator)

    def _end_round(self, batch: Batch, losses: list[float]) -> dict[str, float]:
        metrics = {}
        if self._held_out is not None and self.rounds % self.held_out_every == 0:
            metrics = self._measure()
        elif self._held_out is None and losses:
            self._loss_last = sum(losses) / len(losses)
            self._loss_first = self._loss_last if self._loss_first is None else self._loss_first
        if self.pictures_every is not None and self.rounds % self.pictures_every == 0:
            self._take_pictures(batch)
        return metrics | self.driver.end_epoch()

    def _measure_first(self) -> dict[str, float]:
        return self._measure() if self._held_out is not None and self._loss_first is None else {}

    def _measure(self) -> dict[str, float]:
        """Measure the held-out loss, a batch at a time; return it with what the module logged beside it."""
        assert self._held_out is not None
        rows = len(next(iter(self._held_out.values())))
        parts = [
            {name: value[start : start + self.batch_size] for name, value in self._held_out.items()}
            for start in range(0, rows, self.batch_size)
        ]
        loss, metrics = self.driver.evaluate(*parts)
        self._loss_last = loss
        self._loss_first = loss if self._loss_first is None else self._loss_first
        self._measured_at = self.training_step
        return {**metrics, "held_out_loss": loss}

    def _take_pictures(self, batch: Batch) -> None:
        driver = self.driver
        draw = getattr(driver.module, "pictures", None)
        if not callable(draw):
            raise TypeError(
                f"pictures_every is set, but the model {self.model!r} ({type(driver.module).__name__}) has no method "
                "pictures(batch); write one or remove pictures_every"
            )
        source = batch if self._held_out is None else self._held_out
        with untouched(driver.module, driver.fabric.device):
            pixels = draw(driver.fabric.to_device({name: value[: self.batch_size] for name, value in source.items()}))
        self._pictures += [_media_of(f"{self.model}/{name}", np.asarray(image)) for name, image in pixels.items()]


def _media_of(name: str, pixels: NDArray[np.uint8]) -> Media:
    return Picture(name, pixels) if pixels.ndim == 3 else Video(name, pixels, _FRAMES_PER_SECOND)
