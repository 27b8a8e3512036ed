"""Several processes together train a model to the same parameters as one process."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pamiq_exp.runtime import CheckpointConfig, LaunchConfig
from pamiq_exp.trainers import ReplayTrainer
from tests.runtime.parts import launch_small
from tests.runtime.shared_training_parts import Fails, Guess, GuessByHand, Locked, Newton, SometimesNan

pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two training processes need two processor cores")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert [each for each in multiprocessing.active_children() if each.name.startswith("training-")] == []
    assert not torch.distributed.is_initialized()


def made(kind: type[Guess], *arguments: Any) -> Guess:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return kind(*arguments)


def trained(model: Guess, devices: int, batch_size: int = 7, steps: int = 40, **options: Any) -> dict[str, Any]:
    config = LaunchConfig(
        mode="lockstep", max_steps=steps, devices=devices, record_every_steps=10, **options.pop("config", {})
    )
    trainer = ReplayTrainer(
        "linear", "experience", batch_size, train_every=10, gradient_steps=3,
        accumulate_grad_batches=options.pop("accumulate", 1),
    )  # fmt: skip
    return launch_small(config, trainer=trainer, model=model, **options)


def losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["linear/loss"] for line in lines if json.loads(line)["source"] == "linear"]


def assert_same(one: torch.nn.Module, other: torch.nn.Module, tolerance: float) -> None:
    values = other.state_dict()
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, values[name], rtol=tolerance, atol=tolerance)


def test_training_processes_train_what_one_process_trains(tmp_path: Path) -> None:
    alone, together = made(Guess), made(Guess)
    before = {name: value.clone() for name, value in together.state_dict().items()}
    trained(alone, 1, folder=tmp_path / "one")
    trained(together, 2, folder=tmp_path / "two")
    assert_same(alone, together, 1e-5)
    assert not torch.equal(together.net[0].weight, before["net.0.weight"])
    assert torch.equal(together.unused.weight, before["unused.weight"])
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Guess, GuessByHand])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_processes_gather_and_clip_as_one(kind: type[Guess], accumulate: int) -> None:
    if kind is GuessByHand and accumulate > 1:
        pytest.skip("a module that steps its optimizers itself gathers gradients itself")
    alone, together = made(kind), made(kind)
    trained(alone, 1, accumulate=accumulate)
    trained(together, 2, accumulate=accumulate)
    assert_same(alone, together, 1e-5)


@pytest.mark.slow
def test_training_processes_repeat_and_resume_to_the_bit(tmp_path: Path) -> None:
    runs = [made(Guess, 0.1) for _ in range(3)]
    every = {"checkpoint": CheckpointConfig(every_steps=20)}
    for number, model in enumerate(runs[:2]):
        trained(model, 2, folder=tmp_path / f"run{number}", config=every)
    assert_same(runs[0], runs[1], 0.0)
    checkpoint = tmp_path / "run0" / "checkpoints" / "step_000000020"
    trained(runs[2], 2, resume_from=checkpoint)
    assert_same(runs[0], runs[2], 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
def test_training_processes_exchange_checkpoints_with_one(first: int, then: int, tmp_path: Path) -> None:
    alone, model, resumed = made(Guess), made(Guess), made(Guess)
    trained(alone, 1)
    trained(model, first, folder=tmp_path / "run", config={"checkpoint": CheckpointConfig(every_steps=20)})
    trained(resumed, then, resume_from=tmp_path / "run" / "checkpoints" / "step_000000020")
    assert_same(alone, resumed, 1e-5)


@pytest.mark.slow
def test_training_processes_skip_a_batch_that_is_not_finite_in_one_of_them() -> None:
    model = made(SometimesNan)
    summary = trained(model, 2, config={"on_nonfinite": "skip"})
    assert summary["linear_skipped_steps"] >= 1
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    with pytest.raises(ArithmeticError, match="the loss is nan"):
        trained(made(SometimesNan), 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("raise", LookupError, "nothing to look up"),
        ("open", FileNotFoundError, "there is no such file"),
        ("kill", RuntimeError, "the training process 1 of launcher.devices was ended by SIGKILL; the system ends"),
    ],
)
def test_training_processes_end_the_run_if_one_fails(
    how: str, kind: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words):
        trained(made(Fails, how), 2, folder=tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["state"] == "failed"
    assert words in manifest["reason"]


def test_training_processes_refuse_unsuitable_devices_and_settings() -> None:
    def refused(**settings: Any) -> None:
        launch_small(LaunchConfig(**{"devices": 2, "mode": "lockstep", "max_steps": 5} | settings))

    cases: list[tuple[dict[str, Any], str]] = [
        ({"learner": "process", "mode": "realtime"}, "devices=2 needs launcher.learner=thread, not process"),
        ({"device": "mps"}, "devices=2 needs launcher.device=cpu or cuda, not mps"),
        ({"precision": "16-mixed"}, "devices=2 needs another launcher.precision than 16-mixed"),
        ({"trace": True, "mode": "sequential"}, "training on devices=2 cannot be replayed"),
        ({"devices": 0}, "devices must be positive"),
        ({"devices": 1000}, "launcher.devices is 1000, but this machine has .* cores; use"),
    ]
    for settings, words in cases:
        with pytest.raises(ValueError, match=words):
            refused(**settings)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Locked, "the model 'linear' cannot be sent to the other processes of launcher.devices=2 .*devices=1"),
        (Newton, "is trained by LBFGS, which computes gradients several times a step: launcher.devices=1"),
    ],
)
def test_training_processes_refuse_models_that_they_cannot_train(kind: type[Guess], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        trained(made(kind), 2)


@pytest.mark.slow
def test_training_processes_refuse_a_batch_with_fewer_rows() -> None:
    with pytest.raises(ValueError, match=r"a batch of 1 rows cannot be split over launcher.devices=2"):
        trained(made(Guess), 2, batch_size=1)
