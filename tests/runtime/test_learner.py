"""The learner on a thread and in a process of its own: the same results for the agent."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_exp.buffers import RingBuffer
from pamiq_exp.component import Component
from pamiq_exp.interaction import Interaction
from pamiq_exp.media import Picture
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig, RunHandle, config, launch, learner_process, realtime
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.config import ThreadConfig
from pamiq_exp.shared_memory import semaphore, words
from tests.conftest import REPOSITORY
from tests.runtime.parts import (
    FIELDS,
    CollectingAgent,
    LinearModel,
    NoisyWorld,
    SmallTrainer,
    launch_small,
    linear_model,
)

PLACES: Any = ("thread", "process")
INTERVAL = 0.002


def learners() -> list[Any]:
    """The children of this process, but for the workers that joblib keeps."""
    return [child for child in multiprocessing.active_children() if not child.name.startswith("Loky")]


# All other tests of launch train on a thread.
@pytest.fixture(params=[pytest.param(each, marks=pytest.mark.slow if each == "thread" else ()) for each in PLACES])
def place(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The place of the learner; afterwards its process and its shared memory are gone."""
    before = set(os.listdir("/dev/shm"))
    yield request.param
    assert learners() == []
    assert {name for name in os.listdir("/dev/shm") if name.startswith(("sem.mp", "psm_", "torch_"))} <= before


class Boom(Exception):  # noqa: N818
    pass


class Unsendable(Exception):  # noqa: N818
    """Cannot be rebuilt from its arguments."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")
        self.lock = threading.Lock()


def raising(error: Exception, batch: int = 4) -> Callable[[int], None]:
    def hook(number: int) -> None:
        if number == batch:
            raise error

    return hook


def records(folder: Path, source: str) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["source"] == source]


@contextlib.contextmanager
def watching(action: Callable[[RunHandle], None], handle: RunHandle) -> Iterator[None]:
    """Run an action on a live run, on a separate thread."""
    thread = threading.Thread(target=action, args=(handle,))
    thread.start()
    yield
    thread.join()


def test_learner_trains_publishes_and_records(place: Any, tmp_path: Path) -> None:
    def stop_after_four_publications(handle: RunHandle) -> None:
        while int(handle.status()["model_version"] or 0) < 4:
            time.sleep(0.002)
        handle.stop()

    agent = CollectingAgent()
    summary = launch_small(
        LaunchConfig(learner=place), agent=agent, interval=INTERVAL, folder=tmp_path / "run",
        watch=lambda handle: watching(stop_after_four_publications, handle),
    )  # fmt: skip
    version = int(summary["model_version"])
    assert version >= 4
    assert 0 <= float(summary["training_steps"]) - 3 * version < 3  # the last round may have been interrupted
    assert agent.versions == sorted(agent.versions)
    assert len(set(agent.versions)) > 1
    found = records(tmp_path / "run", "linear")
    assert [record["training_step"] for record in found] == list(range(3, 3 * version + 1, 3))
    assert [record["model_version"] for record in found] == list(range(1, version + 1))
    assert all(0 < record["environment_step"] <= float(summary["steps"]) for record in found)
    assert all(record["linear/loss"] >= 0 for record in found)


def test_learner_resumes_where_it_was_saved(place: Any, tmp_path: Path) -> None:
    first = launch_small(LaunchConfig(learner=place, max_steps=60), interval=INTERVAL, folder=tmp_path / "run")
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    groups = read_checkpoint(checkpoint)
    assert sorted(groups) == ["buffers", "generators", "interaction", "models", "publication", "runtime", "trainers"]
    assert groups["trainers"]["trainers.linear"]["batches"] == first["training_steps"]
    assert groups["buffers"]["buffers.experience"]["count_added"] == 60
    more = LaunchConfig(learner=place, max_steps=160)
    second = launch_small(more, interval=INTERVAL, folder=tmp_path / "run", resume_from=checkpoint)
    assert second["steps"] == 160
    assert float(second["training_steps"]) > float(first["training_steps"])
    assert float(second["model_version"]) > float(first["model_version"])


def test_learner_checkpoints_fit_both_thread_and_process(place: Any, tmp_path: Path) -> None:
    launch_small(LaunchConfig(learner=place, max_steps=40), interval=INTERVAL, folder=tmp_path / "run")
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    other = LaunchConfig(learner="thread" if place == "process" else "process", max_steps=50)
    assert launch_small(other, interval=INTERVAL, resume_from=checkpoint)["steps"] == 50


@pytest.mark.parametrize("error", [Boom("in a batch"), Unsendable(1, 2)], ids=["plain", "unsendable"])
def test_learner_error_ends_the_run_with_part_thread_and_traceback(place: Any, error: Exception) -> None:
    trainer = SmallTrainer(raising(error))
    with pytest.raises(Exception, match=r"in a batch|1 and 2") as raised:
        launch_small(LaunchConfig(learner=place), trainer=trainer, interval=INTERVAL)
    notes = " ".join(raised.value.__notes__)
    assert "(in trainers.linear)" in notes
    assert "training" in notes
    assert "hook" in str(raised.getrepr(chain=True))


def test_learner_names_a_part_that_fails_in_setup(place: Any) -> None:
    class Unready(SmallTrainer):
        def setup(self) -> None:
            raise Boom("not ready")

    world = NoisyWorld()
    with pytest.raises(Boom, match="not ready") as raised:
        launch_small(LaunchConfig(learner=place), trainer=Unready(), world=world)
    assert "(while trainers.linear was set up)" in raised.value.__notes__
    assert world.calls == ["teardown"]


def test_learner_trains_no_batch_while_paused_and_can_save(place: Any, tmp_path: Path) -> None:
    batches = words(1, shared=True)
    moments: list[tuple[int, int]] = []
    saved: list[Path | None] = []

    def count(number: int) -> None:
        batches[0] = number

    def act(handle: RunHandle) -> None:
        while batches[0] < 3:
            time.sleep(0.001)
        assert handle.pause()
        before = batches[0]
        saved.append(handle.save())
        time.sleep(0.05)
        moments.append((before, batches[0]))
        handle.resume()
        while batches[0] == before:
            time.sleep(0.001)
        handle.stop()

    trainer = SmallTrainer(count)
    launch_small(
        LaunchConfig(learner=place), trainer=trainer, interval=INTERVAL, folder=tmp_path / "run",
        watch=lambda handle: watching(act, handle),
    )  # fmt: skip
    assert [after for _, after in moments] == [before for before, _ in moments]
    assert saved[0] is not None
    assert read_checkpoint(saved[0])["trainers"]["trainers.linear"]["batches"] == moments[0][0] + 1


def test_learner_stops_in_the_middle_of_a_long_round(place: Any) -> None:
    class Long(SmallTrainer):
        def round(self) -> Iterator[Mapping[str, float]]:
            for _ in range(10_000):
                yield from super().round()

    summary = launch_small(LaunchConfig(learner=place, max_steps=60), trainer=Long(), interval=INTERVAL)
    assert summary["model_version"] == 0
    assert 0 < float(summary["training_steps"]) < 10_000


def test_learner_that_waits_delays_no_turns_and_drops_are_counted(place: Any) -> None:
    release = semaphore(shared=True)

    def wait(number: int) -> None:
        if number == 0:
            release.acquire(timeout=20.0)

    def finish(step: int) -> None:
        if step == 400:
            release.release()

    world, trainer = NoisyWorld(hook=finish), SmallTrainer(wait)
    config = LaunchConfig(learner=place, max_steps=420)
    summary = launch_small(config, world=world, trainer=trainer, interval=0.0005)
    assert world.step_number == 420
    assert 64 < float(summary["dropped"]) < 400


def test_learner_saves_and_stops_on_a_signal(place: Any, tmp_path: Path) -> None:
    def interrupt(step: int) -> None:
        if step == 30:
            os.kill(os.getpid(), signal.SIGTERM)

    config = LaunchConfig(learner=place)
    summary = launch_small(config, world=NoisyWorld(hook=interrupt), interval=INTERVAL, folder=tmp_path / "run")
    assert (summary["state"], summary["reason"]) == ("stopped", "SIGTERM")
    assert len(list_checkpoints(tmp_path / "run" / "checkpoints")) == 1


def test_learner_sends_logs_summaries_and_pictures(
    place: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Logging(SmallTrainer):
        def setup(self) -> None:
            self.closed = False

        def media(self) -> list[Any]:
            return [Picture("weights", np.zeros((4, 4, 3), np.uint8))] if self.batches == 3 else []

        def summary(self) -> dict[str, float]:
            logging.getLogger("tests.own").warning("trained %d batches", self.batches)
            return {"own_batches": self.batches}

    with caplog.at_level(logging.INFO):
        summary = launch_small(
            LaunchConfig(learner=place, max_steps=60), trainer=Logging(), interval=INTERVAL, folder=tmp_path / "run"
        )
    assert summary["own_batches"] == summary["training_steps"]
    assert f"trained {summary['own_batches']} batches" in caplog.text
    assert len(list((tmp_path / "run" / "media").iterdir())) == 1


def test_learner_continues_after_a_save_that_fails(place: Any, tmp_path: Path) -> None:
    def block(step: int) -> None:
        if step == 20:
            (tmp_path / "run" / "checkpoints").rmdir()
            (tmp_path / "run" / "checkpoints").write_text("")

    config = LaunchConfig(learner=place, max_steps=60, checkpoint=CheckpointConfig(every_steps=40))
    summary = launch_small(config, world=NoisyWorld(hook=block), interval=INTERVAL, folder=tmp_path / "run")
    assert float(summary["failed_saves"]) >= 1
    assert summary["steps"] == 60


def test_learner_process_that_is_killed_ends_the_run() -> None:
    def die(number: int) -> None:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="ended by SIGKILL; the system ends processes so when memory is short"):
        launch_small(LaunchConfig(learner="process"), trainer=SmallTrainer(die), interval=INTERVAL)
    assert time.monotonic() - begin < 20.0
    assert learners() == []


def test_learner_process_that_hangs_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(realtime, "STOP_TIMEOUT", 0.2)
    monkeypatch.setattr(learner_process, "PATIENCE", 0.2)
    hanging = words(1, shared=True)

    def hang(number: int) -> None:
        hanging[0] = 1
        time.sleep(100.0)

    def act(handle: RunHandle) -> None:
        while not hanging[0]:
            time.sleep(0.001)
        handle.stop()

    summary = launch_small(
        LaunchConfig(learner="process"), trainer=SmallTrainer(hang), interval=INTERVAL,
        watch=lambda handle: watching(act, handle),
    )  # fmt: skip
    assert summary["state"] == "stopped"
    assert "the threads training did not end" in caplog.text
    assert "did not end within 0 s and is killed" in caplog.text
    assert learners() == []


KILLED_RUN = """
import os, signal
from pamiq_exp.runtime import LaunchConfig
from tests.runtime.parts import NoisyWorld, SmallTrainer, launch_small

def show(batch):
    if batch == 0:
        print(os.getpid(), flush=True)

def kill(step):
    if step == 40:
        os.kill(os.getpid(), signal.SIGKILL)

launch_small(LaunchConfig(learner="process"), world=NoisyWorld(hook=kill), trainer=SmallTrainer(show))
"""


@pytest.mark.slow
def test_learner_process_ends_when_its_run_is_killed() -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED_RUN], cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL
    learner = int(ended.stdout)
    for _ in range(100):
        if not Path(f"/proc/{learner}").exists():
            return
        time.sleep(0.05)
    os.kill(learner, signal.SIGKILL)
    pytest.fail("the process of the learner continues without a run")


def test_learner_process_refuses_a_part_shared_with_the_agent() -> None:
    class Counter(Component):
        pass

    agent, trainer = CollectingAgent(), SmallTrainer()
    agent.counter = trainer.counter = Counter()  # type: ignore[attr-defined]
    message = r"trainers.linear.counter and interaction.agent.counter are the same Counter.*learner=thread"
    with pytest.raises(ValueError, match=message):
        launch_small(LaunchConfig(learner="process"), agent=agent, trainer=trainer)


def test_learner_process_refuses_a_model_that_cannot_be_shared() -> None:
    model = linear_model()
    model.register_buffer("mask", model.mean.to_sparse())
    with pytest.raises(TypeError, match=r"the model 'linear' .* 'mask' is a sparse_coo tensor"):
        launch_small(LaunchConfig(learner="process"), model=model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "lockstep"}, "launcher.mode is lockstep: learner=thread"),
        ({"threads": ThreadConfig(training=2)}, "with one torch thread, not 2: threads.training=1"),
    ],
)
def test_launch_config_refuses_settings_unfit_for_a_learner_process(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LaunchConfig(learner="process", **options)


def test_launch_config_refuses_settings_unfit_for_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "find_spec", lambda name: None)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"learner": "thread", "actors": 2}, "actors=2 needs launcher.learner=ray, not thread"),
        ({"mode": "lockstep"}, "launcher.mode is lockstep: launcher=realtime"),
        ({"trace": True}, "cannot be replayed: trace=false"),
        ({"actors": 0}, "actors must be positive"),
        ({"inference_device": "cuda"}, "actors act on the CPU"),
        ({}, r"needs Ray: pip install '.*\[ray\]'"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            LaunchConfig(**({"learner": "ray"} | options))


def test_launch_on_a_cluster_takes_a_config_and_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "find_spec", lambda name: "found")
    with pytest.raises(ValueError, match="takes a config, not parts: python -m pamiq_exp"):
        launch_small(LaunchConfig(learner="ray"))


def test_launch_without_trainers_leaves_no_learner_process(place: Any) -> None:
    interaction = Interaction(CollectingAgent(), NoisyWorld())
    parts = {"linear": LinearModel()}, {"experience": RingBuffer(8, 1, FIELDS)}
    assert launch(interaction, *parts, {}, LaunchConfig(learner=place, max_steps=30))["steps"] == 30
