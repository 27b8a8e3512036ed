"""When and on what a ReplayTrainer trains."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.buffers import DataUser, RingBuffer
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.media import Picture
from pamiq_exp.trainers import ReplayTrainer, TrainingContext
from tests.cases import error_of
from tests.trainers.modules import SIZE, Batch, Regression, cpu

NUM_ENVS = 2
FIELDS = {"x": {"shape": [SIZE], "dtype": "float32"}, "y": {"shape": [], "dtype": "float32"}}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Part:
    """A trainer with its model and buffer; `collect` adds the data of some turns."""

    def __init__(self, module: LightningModule | None = None, capacity: int = 64, **settings: Any) -> None:
        self.module = module or Regression()
        self.user = DataUser(RingBuffer(capacity, NUM_ENVS, FIELDS))
        self.trainer = ReplayTrainer("model", "data", **({"batch_size": 4} | settings))
        self.trainer.attach(TrainingContext({"model": self.module}, {"data": self.user}, cpu()))
        self._world = np.random.default_rng(0)

    def collect(self, turns: int) -> None:
        for _ in range(turns):
            x = self._world.normal(size=(NUM_ENVS, SIZE)).astype(np.float32)
            self.user.collector.collect({"x": x, "y": x.sum(axis=1)})
        self.user.update()


def test_replay_trainer_is_ready_after_enough_new_steps() -> None:
    part = Part(train_every=6, learning_starts=10, gradient_steps=2)
    part.collect(4)
    assert not part.trainer.ready(), "8 of 10 steps"
    part.collect(1)
    assert part.trainer.ready()
    assert part.trainer.ready()
    part.collect(1)
    assert len(list(part.trainer.round())) == 2
    part.collect(2)
    assert not part.trainer.ready(), "4 of 6 new steps"
    rounds = part.trainer.round
    part.collect(1)
    assert part.trainer.ready()
    list(rounds())
    assert part.trainer.training_step == 4
    assert part.trainer.rounds == 2


def test_replay_trainer_counts_steps_during_a_round_for_the_next_round() -> None:
    part = Part(train_every=4, gradient_steps=3)
    part.collect(2)
    for _ in part.trainer.round():
        part.collect(1)
    assert part.trainer.ready()


def test_replay_trainer_with_train_every_0_is_always_ready_until_max_rounds() -> None:
    part = Part(train_every=0, max_rounds=2)
    assert not part.trainer.ready(), "an empty buffer"
    part.collect(1)
    for _ in range(2):
        assert part.trainer.ready()
        list(part.trainer.round())
    assert not part.trainer.ready()


class Watches(Regression):
    """Notes the shapes it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.shapes.append(tuple(batch["x"].shape))
        return self.loss({"x": batch["x"].flatten(0, -2), "y": batch["y"].flatten()})


@pytest.mark.parametrize(("length", "shape"), [(None, (4, SIZE)), (3, (4, 3, SIZE))])
def test_replay_trainer_batches_hold_transitions_or_sequences(length: int | None, shape: tuple[int, ...]) -> None:
    part = Part(Watches(), sequence_length=length)
    part.collect(2)
    assert part.trainer.ready() is (length is None)
    part.collect(1)
    assert part.trainer.ready()
    metrics = list(part.trainer.round())
    assert isinstance(part.module, Watches)
    assert part.module.shapes == [shape]
    assert metrics[0].keys() == {"loss", "learning_rate"}, "the loss is reported even if the module does not log it"


def test_replay_trainer_round_is_one_epoch_of_the_module() -> None:
    class Epochs(Regression):
        def on_train_epoch_end(self) -> None:
            self.log("epoch_number", float(self.current_epoch))

        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]

    part = Part(Epochs(), train_every=0, gradient_steps=3, max_grad_norm=0.1)
    part.collect(5)
    rounds = [list(part.trainer.round()) for _ in range(2)]
    for number, metrics in enumerate(rounds):
        assert metrics[-1]["epoch_number"] == number
        assert metrics[-1]["loss_epoch"] == pytest.approx(np.mean([row["loss_step"] for row in metrics]), rel=1e-6)
        assert "loss_epoch" not in metrics[0]
    assert part.trainer.driver.optimizers[0].param_groups[0]["lr"] == 0.25


def held_out(rows: int = 10) -> dict[str, NDArray[Any]]:
    x = np.random.default_rng(9).normal(size=(rows, SIZE)).astype(np.float32)
    return {"x": x, "y": x.sum(axis=1)}


def loss_on(module: Any, batch: Mapping[str, NDArray[Any]]) -> float:
    with torch.no_grad():
        return float(module.loss({name: torch.from_numpy(value) for name, value in batch.items()}))


def test_replay_trainer_measures_held_out_loss_before_during_and_after_training() -> None:
    module, batch = Regression(), held_out()
    before = loss_on(module, batch)
    part = Part(module, train_every=0, gradient_steps=2, held_out=batch, held_out_every=2)
    part.collect(20)
    rounds = [(list(part.trainer.round()), loss_on(module, batch)) for _ in range(3)]
    assert rounds[0][0][0]["held_out_loss"] == pytest.approx(before)
    assert "held_out_loss" not in rounds[0][0][-1]
    assert rounds[1][0][-1]["held_out_loss"] == pytest.approx(rounds[1][1])
    assert part.trainer.summary() == pytest.approx({"model_loss_first": before, "model_loss_last": rounds[2][1]})


def test_replay_trainer_held_out_evaluation_does_not_change_training() -> None:
    without = Part()
    measured = Part(copy.deepcopy(without.module), held_out=held_out(), held_out_every=1)
    for part in (without, measured):
        part.collect(8)
        for _ in range(3):
            list(part.trainer.round())
    assert all(
        torch.equal(value, measured.module.state_dict()[name]) for name, value in without.module.state_dict().items()
    )


def test_replay_trainer_summary_without_held_out_data_has_training_losses() -> None:
    part = Part(train_every=0, gradient_steps=2)
    assert part.trainer.summary() == {}
    part.collect(8)
    means = [np.mean([row["loss"] for row in part.trainer.round()]) for _ in range(3)]
    assert part.trainer.summary() == pytest.approx({"model_loss_first": means[0], "model_loss_last": means[-1]})


class Draws(Regression):
    def pictures(self, batch: Batch) -> Mapping[str, NDArray[np.uint8]]:
        assert not self.training
        assert not torch.is_grad_enabled()
        torch.rand(3)
        return {"inputs": np.full((2, 3, 3), len(batch["x"]), dtype=np.uint8)}


def test_replay_trainer_makes_pictures_every_few_rounds_and_returns_them_once() -> None:
    part = Part(Draws(), train_every=0, pictures_every=2)
    part.collect(3)
    randomness = torch.get_rng_state()
    list(part.trainer.round())
    assert part.trainer.media() == []
    list(part.trainer.round())
    (picture,) = part.trainer.media()
    assert isinstance(picture, Picture)
    assert picture.name == "model/inputs"
    assert np.all(picture.pixels == 4)
    assert part.trainer.media() == []
    assert part.module.training
    assert torch.equal(torch.get_rng_state(), randomness)


def test_replay_trainer_refuses_pictures_every_for_a_model_without_pictures() -> None:
    part = Part(train_every=0, pictures_every=1)
    part.collect(1)
    with pytest.raises(TypeError, match=r"pictures\(batch\)"):
        list(part.trainer.round())


class NeedsAnother(Regression):
    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        self.others = tuple(models)


def test_replay_trainer_attaches_the_models_of_the_run_to_a_module() -> None:
    part = Part(NeedsAnother())
    assert isinstance(part.module, NeedsAnother)
    assert part.module.others == ("model",)


def test_replay_trainer_resumes_from_its_state_to_the_same_bits() -> None:
    settings = {"train_every": 4, "gradient_steps": 2, "held_out": held_out(), "held_out_every": 2}
    first = Part(**settings)
    first.collect(6)
    list(first.trainer.round())
    first.collect(1)
    second = Part(copy.deepcopy(first.module), **settings)
    second.collect(6)
    saved = copy.deepcopy(collect_state({"user": first.user, "trainer": first.trainer}))
    unclaimed, missing = restore_state({"user": second.user, "trainer": second.trainer}, saved)
    assert (unclaimed, missing) == ([], [])
    second._world = copy.deepcopy(first._world)
    outcomes = []
    for part in (first, second):
        assert not part.trainer.ready()
        part.collect(1)
        assert part.trainer.ready()
        outcomes.append((list(part.trainer.round()), part.trainer.summary(), part.trainer.training_step))
    assert outcomes[0] == outcomes[1]
    for name, value in first.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[name])


@pytest.mark.parametrize(("models", "users"), [({}, {"data": 0}), ({"model": 0, "other": 0}, {"date": 0})])
def test_replay_trainer_error_for_unknown_names_lists_the_known_ones(
    models: dict[str, Any], users: dict[str, Any]
) -> None:
    trainer = ReplayTrainer("model", "data", 4)
    with pytest.raises(KeyError, match=r"no (model 'model'; there are \[\]|buffer 'data'; there are \['date'\])"):
        trainer.attach(TrainingContext(models, users, cpu()))


def test_replay_trainer_refuses_to_work_before_it_is_attached() -> None:
    with pytest.raises(RuntimeError, match="not attached"):
        ReplayTrainer("model", "data", 4).ready()


def test_replay_trainer_refuses_sizes_below_1() -> None:
    for name in ("batch_size", "gradient_steps", "sequence_length"):
        settings = {"batch_size": 4, name: 0}
        assert "at least 1" in error_of(ValueError, ReplayTrainer, "model", "data", **settings), name
