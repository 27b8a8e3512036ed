"""Whole launches of small parts, in every mode."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pamiq_exp.run_folder import RunFolderError, list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, CheckpointError, LaunchConfig, ThreadConfig, launch
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.config import Mode
from pamiq_exp.runtime.process_settings import frozen_heap
from tests.cases import error_of
from tests.runtime.parts import (
    CollectingAgent,
    NoisyWorld,
    SmallTrainer,
    launch_small,
    linear_model,
)

LOCKSTEP = LaunchConfig(mode="lockstep", max_steps=200, record_every_steps=20)
PIPELINED = LaunchConfig(mode="pipelined", max_steps=200, record_every_steps=20, overlap_turns=17)


def records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "wall_seconds"} for line in lines]


def final_state(folder: Path) -> dict[str, Any]:
    groups = read_checkpoint(list_checkpoints(folder / "checkpoints")[-1])
    groups["runtime"].pop("wall_seconds")
    return groups


def assert_same_state(one: Any, other: Any, address: str = "") -> None:
    assert type(one) is type(other), address
    if isinstance(one, dict):
        assert one.keys() == other.keys(), address
        for key in one:
            assert_same_state(one[key], other[key], f"{address}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), address
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same_state(left, right, f"{address}.{index}")
    elif isinstance(one, (torch.Tensor, np.ndarray)):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other)), address
    else:
        assert one == other, address


@pytest.mark.parametrize("config", [LOCKSTEP, PIPELINED], ids=["lockstep", "pipelined"])
def test_launch_with_equal_seeds_gives_equal_bits(tmp_path: Path, config: LaunchConfig) -> None:
    summaries = [launch_small(config, folder=tmp_path / name, seed=5) for name in "ab"]
    assert records(tmp_path / "a") == records(tmp_path / "b")
    assert_same_state(final_state(tmp_path / "a"), final_state(tmp_path / "b"))
    steps = [record["environment_step"] for record in records(tmp_path / "a") if record["source"] == "interaction"]
    assert steps == list(range(20, 201, 20)), "one record for each period, none skipped"
    assert summaries[0]["training_steps"] == (60 if config is LOCKSTEP else 36)
    other = launch_small(config, folder=tmp_path / "c", seed=6)
    assert other["last_output"] != summaries[0]["last_output"]


@pytest.mark.parametrize("config", [LOCKSTEP, PIPELINED], ids=["lockstep", "pipelined"])
@pytest.mark.parametrize("cut", [100, 93])
def test_launch_resumed_equals_an_uninterrupted_run(tmp_path: Path, cut: int, config: LaunchConfig) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    launch_small(config, folder=whole)
    launch_small(replace(config, max_steps=cut), folder=parts)
    checkpoint = list_checkpoints(parts / "checkpoints")[-1]
    # The parts of the second process have other seeds, so that equal results can only come from the checkpoint.
    summary = launch_small(
        config,
        folder=parts,
        seed=99,
        world=NoisyWorld(seed=98),
        agent=CollectingAgent(seed=97),
        model=linear_model(96),
        trainer=SmallTrainer(seed=95),
        resume_from=checkpoint,
    )
    assert records(parts) == records(whole)
    assert_same_state(final_state(parts), final_state(whole))
    assert summary["steps"] == 200


@pytest.mark.parametrize("mode", ["lockstep", "pipelined", "realtime"])
def test_launch_resumed_after_its_last_step_takes_no_further_step(tmp_path: Path, mode: Any) -> None:
    config = LaunchConfig(mode=mode, max_steps=20)
    launch_small(config, folder=tmp_path, interval=0.001)
    newest = list_checkpoints(tmp_path / "checkpoints")[-1]
    world = NoisyWorld()
    assert launch_small(config, world=world, folder=tmp_path, interval=0.001, resume_from=newest)["steps"] == 20
    assert world.step_number == 20


def test_launch_resumed_repeats_the_records_after_the_checkpoint(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    launch_small(LOCKSTEP, folder=whole)
    config = LaunchConfig(
        mode="lockstep",
        max_steps=150,
        record_every_steps=20,
        checkpoint=CheckpointConfig(every_steps=100, at_end=False),
    )
    launch_small(config, folder=parts)
    (checkpoint,) = list_checkpoints(parts / "checkpoints")
    launch_small(LOCKSTEP, folder=parts, resume_from=checkpoint)
    assert records(parts) == records(whole)


def test_launch_refuses_a_checkpoint_of_other_parts_unless_partial(tmp_path: Path) -> None:
    launch_small(LOCKSTEP, folder=tmp_path)
    checkpoint = list_checkpoints(tmp_path / "checkpoints")[-1]

    class WithMemory(CollectingAgent):
        def __init__(self) -> None:
            super().__init__()
            self.extra = np.random.default_rng(0)

    longer = LaunchConfig(mode="lockstep", max_steps=220)
    with pytest.raises(
        CheckpointError, match=r"(?s)interaction part agent\.extra is not in the checkpoint.*resume\.partial"
    ):
        launch_small(longer, agent=WithMemory(), resume_from=checkpoint)
    summary = launch_small(longer, agent=WithMemory(), resume_from=checkpoint, resume_partial=True)
    assert summary["steps"] == 220


def test_launch_summary_and_records_have_the_documented_keys(tmp_path: Path) -> None:
    summary = launch_small(LOCKSTEP, folder=tmp_path, experiment_name="small", seed=3)
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written == summary
    expected = {"experiment_name": "small", "seed": 3, "state": "finished", "steps": 200, "dropped": 0}
    assert written.items() >= expected.items()
    assert {"wall_seconds", "steps_per_second", "training_steps", "deadline_misses", "model_version"} <= written.keys()
    assert json.loads((tmp_path / "manifest.json").read_text())["state"] == "finished"
    for record in records(tmp_path):
        assert {"source", "environment_step", "run_seconds", "model_version", "training_step"} <= record.keys()


def test_launch_works_without_folder_models_or_trainers() -> None:
    from pamiq_exp.interaction import Interaction

    world = NoisyWorld()
    summary = launch(
        Interaction(CollectingAgent(model=None, buffer=None), world), config=LaunchConfig(mode="lockstep", max_steps=10)
    )
    assert summary["steps"] == world.step_number == 10
    assert world.calls == ["setup", "teardown"]


def test_launch_takes_turns_while_training_waits() -> None:
    world_reached = threading.Event()

    def wait_for_world(batch: int) -> None:
        # The round ends only after further turns: if turns waited for training, neither would continue.
        assert world_reached.wait(30.0)

    def count(step: int) -> None:
        if step >= 60:
            world_reached.set()

    agent = CollectingAgent()
    summary = launch_small(
        LaunchConfig(max_steps=100, training_nice=0),
        world=NoisyWorld(hook=count),
        agent=agent,
        trainer=SmallTrainer(hook=wait_for_world),
        interval=0.002,
    )
    assert summary["steps"] == 100
    assert world_reached.is_set()
    assert agent.versions == sorted(agent.versions)


def test_launch_realtime_trains_publishes_and_keeps_the_rate(tmp_path: Path) -> None:
    summary = launch_small(LaunchConfig(max_steps=200, time_scale=2.0), interval=0.01, folder=tmp_path)
    assert summary["training_steps"] > 0
    assert summary["model_version"] == summary["training_steps"] // 3
    assert 0.95 < float(summary["wall_seconds"]) < 3.0
    last = records(tmp_path)[-1]
    assert last["run_seconds"] == pytest.approx(2 * float(summary["wall_seconds"]), rel=0.2)


def test_launch_max_seconds_ends_a_run() -> None:
    summary = launch_small(LaunchConfig(max_seconds=0.3), interval=0.01)
    assert 0.3 <= float(summary["wall_seconds"]) < 2.0
    assert summary["reason"] == "0.3 seconds are over (launcher.max_seconds)"


class BrokenError(Exception):
    pass


def break_at(number: int, error: BaseException) -> Any:
    def hook(count: int) -> None:
        if count >= number:
            raise error

    return hook


@pytest.mark.parametrize("mode", ["lockstep", "pipelined", "realtime"])
@pytest.mark.parametrize("error", [BrokenError("boom"), SystemExit(3), KeyboardInterrupt("user code")])
@pytest.mark.parametrize("place", ["environment", "trainer"])
def test_launch_raises_an_exception_of_any_thread(tmp_path: Path, mode: Any, error: BaseException, place: str) -> None:
    world = NoisyWorld(hook=break_at(50, error) if place == "environment" else None)
    trainer = SmallTrainer(hook=break_at(6, error) if place == "trainer" else None)
    config = LaunchConfig(mode=mode, max_steps=100_000, checkpoint=CheckpointConfig(every_steps=20))
    with pytest.raises(type(error)) as caught:
        launch_small(config, world=world, trainer=trainer, folder=tmp_path, interval=0.001)
    thread = {"environment": {"realtime": "inference"}, "trainer": {"realtime": "training", "pipelined": "training"}}[
        place
    ].get(mode, mode)
    assert f"(raised in the {thread} thread)" in caught.value.__notes__
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["state"] == "failed"
    assert type(error).__name__ in manifest["reason"]
    assert json.loads((tmp_path / "summary.json").read_text())["state"] == "failed"
    for checkpoint in list_checkpoints(tmp_path / "checkpoints"):
        assert read_checkpoint(checkpoint)["runtime"]["steps"] % 20 == 0 or mode == "realtime"
    assert world.calls[-1] == "teardown"
    if place == "environment":
        assert world.step_number == 50


def test_launch_raises_and_records_an_error_in_setup(tmp_path: Path) -> None:
    class Unready(NoisyWorld):
        def setup(self) -> None:
            raise BrokenError("no camera")

    with pytest.raises(BrokenError, match="no camera"):
        launch_small(LOCKSTEP, world=Unready(), folder=tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["state"] == "failed"


def test_launch_continues_after_a_save_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def make_unwritable(step: int) -> None:
        if step == 100:
            for path in list_checkpoints(tmp_path / "checkpoints"):
                path.rename(tmp_path / path.name)
            (tmp_path / "checkpoints").rmdir()
            (tmp_path / "checkpoints").write_text("a file where the folder was")

    config = LaunchConfig(mode="lockstep", max_steps=200, checkpoint=CheckpointConfig(every_steps=50))
    with caplog.at_level(logging.ERROR):
        summary = launch_small(config, world=NoisyWorld(hook=make_unwritable), folder=tmp_path)
    assert summary["state"] == "finished"
    assert "could not save at step 100" in caplog.text
    assert summary["failed_saves"] == 4, "at steps 100, 150 and 200, and the try at the end"


def test_launch_restores_the_settings_of_the_process() -> None:
    before = (sys.getswitchinterval(), torch.get_num_threads(), signal.getsignal(signal.SIGTERM))
    config = LaunchConfig(mode="lockstep", max_steps=5, switch_interval=0.0003, threads=ThreadConfig(training=1))
    seen = []
    launch_small(config, world=NoisyWorld(hook=lambda step: seen.append(sys.getswitchinterval())))
    assert seen[0] == pytest.approx(0.0003)
    assert (sys.getswitchinterval(), torch.get_num_threads(), signal.getsignal(signal.SIGTERM)) == before


def test_launch_within_a_frozen_heap_leaves_it_frozen() -> None:
    with frozen_heap(collect=False):
        launch_small(LaunchConfig(mode="lockstep", max_steps=5))
        assert gc.get_freeze_count() > 0


def test_launch_config_refuses_wrong_settings_by_name() -> None:
    cases = {"mode": "fast", "max_steps": 0, "time_scale": -1.0, "training_nice": 20, "on_nonfinite": "ignore"}
    for field, value in cases.items():
        assert f"launcher.{field} must" in error_of(ValueError, LaunchConfig, **{field: value}), field


@pytest.mark.parametrize(("device", "message"), [("gpu", "must be one of cpu"), ("cuda:99", "no such device|has only")])
def test_launch_refuses_a_device_that_is_not_available(device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        launch_small(LaunchConfig(mode="lockstep", max_steps=1, device=device))


@pytest.mark.parametrize("mode", ["realtime", "lockstep", "pipelined"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_launch_saves_and_stops_on_every_signal(tmp_path: Path, mode: Mode, name: str) -> None:
    def send_signal(step: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.Signals[name])

    before = signal.getsignal(signal.SIGHUP)
    summary = launch_small(LaunchConfig(mode=mode), world=NoisyWorld(hook=send_signal), folder=tmp_path, interval=0.001)
    assert (summary["state"], summary["reason"]) == ("stopped", name)
    assert read_checkpoint(list_checkpoints(tmp_path / "checkpoints")[-1])["runtime"]["steps"] == summary["steps"] >= 5
    assert signal.getsignal(signal.SIGHUP) == before


@pytest.mark.parametrize("mode", ["realtime", "lockstep", "pipelined", "sequential"])
def test_launch_saves_if_a_signal_also_ends_a_program_of_the_environment(tmp_path: Path, mode: Mode) -> None:
    def end_the_program(step: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
            raise BrokenPipeError("the program is gone")

    class WithProgram(NoisyWorld):
        def teardown(self) -> None:
            raise BrokenPipeError("the program cannot be closed")

    world = WithProgram(hook=end_the_program)
    summary = launch_small(LaunchConfig(mode=mode), world=world, folder=tmp_path, interval=0.001)
    assert (summary["state"], summary["reason"]) == ("stopped", "SIGTERM")
    assert read_checkpoint(list_checkpoints(tmp_path / "checkpoints")[-1])["runtime"]["steps"] == summary["steps"]
    log = (tmp_path / "log.txt").read_text()
    assert "the program is gone" in log
    assert "the program cannot be closed" in log


def test_launch_saves_and_stops_on_a_signal_during_setup(tmp_path: Path) -> None:
    class Slow(NoisyWorld):
        def setup(self) -> None:
            super().setup()
            os.kill(os.getpid(), signal.SIGTERM)

    summary = launch_small(LaunchConfig(mode="lockstep"), world=Slow(), folder=tmp_path)
    assert (summary["state"], summary["reason"], summary["steps"]) == ("stopped", "SIGTERM", 0)
    assert list_checkpoints(tmp_path / "checkpoints")


def test_launch_finishes_despite_a_signal_during_teardown(tmp_path: Path) -> None:
    class Slow(NoisyWorld):
        def teardown(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().teardown()

    launch_small(LaunchConfig(mode="lockstep", max_steps=4), world=Slow(), folder=tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["state"] == "finished"


def test_launch_ignores_a_signal_that_the_process_ignores(tmp_path: Path) -> None:
    def hang_up(step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        summary = launch_small(LaunchConfig(mode="lockstep", max_steps=4), world=NoisyWorld(hook=hang_up))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert summary["state"] == "finished"


def test_launch_refuses_a_folder_that_holds_a_run(tmp_path: Path) -> None:
    config = LaunchConfig(mode="lockstep", max_steps=4)
    launch_small(config, folder=tmp_path)
    records = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match="holds a run already"):
        launch_small(config, folder=tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == records


def test_launch_refuses_the_folder_of_a_live_run(tmp_path: Path) -> None:
    messages: list[str] = []

    def launch_again(step: int) -> None:
        if step == 3:
            with pytest.raises(RunFolderError) as caught:
                launch_small(LaunchConfig(mode="lockstep", max_steps=2), folder=tmp_path)
            messages.append(str(caught.value))

    launch_small(LaunchConfig(mode="lockstep", max_steps=6), world=NoisyWorld(hook=launch_again), folder=tmp_path)
    assert f"process {os.getpid()}" in messages[0]


@pytest.mark.parametrize("mode", ["realtime", "lockstep", "pipelined"])
def test_launch_recreates_a_removed_folder_and_counts_failed_writes(tmp_path: Path, mode: Mode) -> None:
    def remove(step: int) -> None:
        if step == 10:
            shutil.rmtree((tmp_path / "run").rename(tmp_path / "removed"))  # in one operation

    config = LaunchConfig(mode=mode, max_steps=20, record_every_steps=5)
    summary = launch_small(config, world=NoisyWorld(hook=remove), folder=tmp_path / "run", interval=0.001)
    assert summary["failed_writes"] >= 1
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert written["failed_writes"] == summary["failed_writes"]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "finished"
    steps = {json.loads(line)["environment_step"] for line in (tmp_path / "run" / "metrics.jsonl").open()}
    assert {5, 10, 15, 20} <= steps
    assert list_checkpoints(tmp_path / "run" / "checkpoints")


@pytest.mark.parametrize("mode", ["lockstep", "pipelined", "realtime"])
def test_launch_config_lists_settings_without_effect(mode: Any) -> None:
    changed = LaunchConfig(
        mode=mode, time_scale=2.0, overrun="skip", overlap_turns=3, training_nice=5, separate_streams=False
    )
    names = {name for name, _ in changed.without_effect()}
    assert (
        names
        == {
            "lockstep": {"time_scale", "overrun", "overlap_turns", "training_nice", "separate_streams"},
            "pipelined": {"time_scale", "overrun", "separate_streams"},
            "realtime": {"overlap_turns"},
        }[mode]
    )
    assert list(LaunchConfig(mode=mode).without_effect()) == []


def test_launch_refuses_more_than_max_parameters() -> None:
    with pytest.raises(ValueError, match=r"'linear' has 12 parameters, all models 12; max_parameters is 5"):
        launch_small(LaunchConfig(mode="lockstep", max_steps=1, max_parameters=5))
