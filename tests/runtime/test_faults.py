"""Errors of any part end a run with a report, and earlier checkpoints and records stay complete."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from pamiq_exp.interaction import Interaction, NonFiniteActionError, Observation
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig, launch
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.tracking import Tracker
from tests.runtime.parts import CollectingAgent, LinearModel, NoisyWorld, SmallTrainer, launch_small

MODES = ["lockstep", "pipelined", "realtime"]


class BoomError(Exception):
    pass


FAILURES = [*((mode, BoomError) for mode in MODES), ("realtime", SystemExit), ("realtime", KeyboardInterrupt)]


def after(calls: int, error: type[BaseException]) -> Callable[[], None]:
    """A function that raises from the given call on."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count >= calls:
            raise error("boom")

    return tick


class BreakingAgent(CollectingAgent):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.tick = after(60, error)

    def step(self, observation: Observation) -> np.ndarray:
        self.tick()
        return super().step(observation)


class BreakingModel(LinearModel):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.tick = after(8, error)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.tick()
        return super().forward(x)


class UnsavableWorld(NoisyWorld):
    """Cannot be saved from step 50 on."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def state(self) -> dict[str, Any]:
        if self.step_number >= 50:
            raise self.error("boom")
        return super().state()


class ObjectWorld(NoisyWorld):
    """Its state holds an object from step 50 on, so that the checkpoint writer raises an error."""

    def state(self) -> dict[str, Any]:
        return {"step_number": self.step_number, "camera": object() if self.step_number >= 50 else None}


PLACES = {"agent": BreakingAgent, "model": BreakingModel, "world": UnsavableWorld}


@pytest.mark.parametrize(("mode", "error"), FAILURES)
@pytest.mark.parametrize("place", PLACES)
def test_launch_keeps_the_last_good_checkpoint_after_an_error(
    tmp_path: Path, mode: Any, place: str, error: type[BaseException]
) -> None:
    assert_fails(tmp_path, mode, {place: PLACES[place](error)}, error)


@pytest.mark.parametrize("mode", MODES)
def test_launch_ends_on_an_error_in_the_checkpoint_writer(tmp_path: Path, mode: Any) -> None:
    assert_fails(tmp_path, mode, {"world": ObjectWorld()}, TypeError)


def assert_fails(folder: Path, mode: Any, parts: dict[str, Any], error: type[BaseException]) -> None:
    config = LaunchConfig(mode=mode, max_steps=100_000, checkpoint=CheckpointConfig(every_steps=20))
    with pytest.raises(error) as caught:
        launch_small(config, folder=folder, interval=0.002, **parts)
    assert any(note.startswith("(raised in the") for note in caught.value.__notes__)
    assert json.loads((folder / "manifest.json").read_text())["state"] == "failed"
    for checkpoint in list_checkpoints(folder / "checkpoints"):
        assert read_checkpoint(checkpoint)["runtime"]["steps"] < 100
    assert (folder / "metrics.jsonl").read_text().endswith("\n")


class BreakingTracker(Tracker):
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def write(self, record: Any) -> None:
        raise self.error("boom")


@pytest.mark.parametrize(("mode", "error"), FAILURES)
def test_launch_ends_on_an_error_in_a_tracker_and_keeps_the_metrics_file(
    tmp_path: Path, mode: Any, error: type[BaseException]
) -> None:
    config = LaunchConfig(mode=mode, max_steps=100_000, record_every_steps=5)
    with pytest.raises(error):
        launch_small(config, folder=tmp_path, interval=0.002, trackers={"broken": BreakingTracker(error)})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["state"] == "failed"
    assert error.__name__ in manifest["reason"]
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [record["environment_step"] for record in records if record["source"] == "interaction"]
    assert steps == list(range(5, manifest["end_state"]["steps"] + 1, 5)), "a record is missing"
    assert len(steps) > 0


def test_launch_takes_at_most_one_turn_after_training_fails() -> None:
    steps_at_failure: list[int] = []
    world = NoisyWorld()

    def break_down(batch: int) -> None:
        steps_at_failure.append(world.step_number)
        raise BoomError("boom")

    with pytest.raises(BoomError):
        launch_small(LaunchConfig(), world=world, trainer=SmallTrainer(hook=break_down), interval=0.05)
    assert world.step_number - steps_at_failure[0] <= 1


@pytest.mark.parametrize("mode", MODES)
def test_launch_saves_as_often_as_configured(tmp_path: Path, mode: Any) -> None:
    def wait_for_the_disk(step: int) -> None:
        """Wait until earlier checkpoints are on disk."""
        for _ in range(200):
            if step % 10 != 5 or len(list_checkpoints(tmp_path / "checkpoints")) >= step // 10:
                break
            time.sleep(0.01)

    config = LaunchConfig(mode=mode, max_steps=100, checkpoint=CheckpointConfig(every_steps=10, keep=100))
    world = NoisyWorld(hook=wait_for_the_disk if mode == "realtime" else None)
    launch_small(config, world=world, folder=tmp_path, interval=0.01)
    steps = [read_checkpoint(path)["runtime"]["steps"] for path in list_checkpoints(tmp_path / "checkpoints")]
    if mode == "realtime":
        # The environment takes further turns until the saving thread reads the step.
        steps = [step // 10 * 10 for step in steps]
    assert steps == list(range(10, 101, 10))


TWICE = """
import sys, threading
from pathlib import Path
from pamiq_exp.runtime import LaunchConfig
from tests.runtime.parts import NoisyWorld, launch_small
never = threading.Event()
def hang(step):
    if step == 30:
        print("hanging", flush=True)
        never.wait()
launch_small(LaunchConfig(mode=sys.argv[2]), world=NoisyWorld(hook=hang), folder=Path(sys.argv[1]), interval=0.005)
"""


@pytest.mark.parametrize("mode", ["realtime", pytest.param("lockstep", marks=pytest.mark.slow)])
def test_launch_stops_on_a_second_interrupt_if_the_environment_hangs(tmp_path: Path, mode: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TWICE, str(tmp_path), mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "hanging\n"
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert list((tmp_path / "checkpoints").glob("step_*")) == []


class ContinuousWorld(NoisyWorld):
    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def affect(self, action: np.ndarray) -> None:
        self.taken = [*getattr(self, "taken", []), action]


class DividingAgent(CollectingAgent):
    def step(self, observation: Observation) -> np.ndarray:
        self.calls = getattr(self, "calls", 0) + 1
        return np.full((1, 2), math.nan if self.calls == 4 else 0.5, dtype=np.float32)


def test_launch_refuses_actions_that_are_not_finite_or_replaces_them_by_zeros() -> None:
    world = ContinuousWorld()
    with pytest.raises(NonFiniteActionError, match="DividingAgent gave an action that is not finite"):
        launch(Interaction(DividingAgent(), world), config=LaunchConfig(mode="lockstep", max_steps=10))
    assert len(world.taken) == 3
    world = ContinuousWorld()
    config = LaunchConfig(mode="lockstep", max_steps=10, on_nonfinite="skip")
    summary = launch(Interaction(DividingAgent(), world), config=config)
    assert summary["skipped_actions"] == 1
    assert [float(action[0, 0]) for action in world.taken] == [0.5] * 3 + [0.0] + [0.5] * 6


@pytest.mark.parametrize("mode", MODES)
def test_launch_refuses_a_checkpoint_with_a_renamed_buffer_and_model(tmp_path: Path, mode: Any) -> None:
    from pamiq_exp.buffers import RingBuffer
    from pamiq_exp.runtime import CheckpointError
    from tests.runtime.parts import FIELDS, linear_model

    config = LaunchConfig(mode=mode, max_steps=50)
    launch_small(config, folder=tmp_path, interval=0.001)
    checkpoint = list_checkpoints(tmp_path / "checkpoints")[-1]

    class RenamedTrainer(SmallTrainer):
        def attach(self, context: Any) -> None:
            super().attach(
                type(context)(
                    {"linear": context.models["predictor"]}, {"experience": context.users["memory"]}, context.fabric
                )
            )
            self.trains = ("predictor",)

    def resume(partial: bool) -> Any:
        return launch(
            Interaction(CollectingAgent(model="predictor", buffer="memory"), NoisyWorld()),
            {"predictor": linear_model()},
            {"memory": RingBuffer(64, 1, FIELDS)},
            {"linear": RenamedTrainer()},
            LaunchConfig(mode=mode, max_steps=60),
            resume_from=checkpoint,
            resume_partial=partial,
        )

    with pytest.raises(CheckpointError) as refused:
        resume(partial=False)
    for words in (
        "model linear is only in the checkpoint",
        "model predictor is not in the checkpoint",
        "buffers.experience",
        "buffers.memory",
    ):
        assert words in str(refused.value)
    assert resume(partial=True)["steps"] == 60
