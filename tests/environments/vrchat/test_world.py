"""VRChat from end to end, with a stand-in for VRChat: real OSC, a real stream, a real run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pythonosc", reason="VRChat needs python-osc: extra vrchat")
pytest.importorskip("cv2", reason="cameras need OpenCV: extra vrchat")

from pamiq_exp.config import AllowList, Builder, ConfigError, compose
from pamiq_exp.config.environment import begin
from pamiq_exp.environments import Camera, SensorEnvironment, VRChatAvatar
from pamiq_exp.interaction import Agent, Array, Environment, FixedIntervalInteraction, Observation
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.runtime.handle import RunHandle
from pamiq_exp.spaces import describe_spaces
from tests.conftest import Command
from tests.environments.vrchat.stand_in import VRChatStandIn


@pytest.fixture
def vrchat() -> Iterator[VRChatStandIn]:
    with VRChatStandIn() as stand_in:
        yield stand_in


def words(vrchat: VRChatStandIn) -> list[str]:
    return [
        f"environment.sensors.image.source={vrchat.url}",
        f"environment.actuators.avatar.port={vrchat.ear.port}",
        "tracking=jsonl_only",
    ]


def test_vrchat_camera_shows_what_the_avatar_does(vrchat: VRChatStandIn) -> None:
    camera = Camera(vrchat.url, image_size=96)
    world = SensorEnvironment({"image": camera}, {"avatar": VRChatAvatar(port=vrchat.ear.port, close_menu=False)})
    assert describe_spaces(world.observation_space, world.action_space, 1)["action"]["nvec"] == [3, 3, 3, 2, 2]
    camera.setup()
    world.actuators["avatar"].setup()
    try:
        start = vrchat.pose.copy()
        world.affect(np.array([[1, 0, 0, 0, 0]]))
        assert vrchat.wait_for(lambda: np.hypot(*(vrchat.pose[:2] - start[:2])) > 0.5), "it walks"
        world.affect(np.array([[0, 0, 1, 0, 0]]))
        assert vrchat.wait_for(lambda: abs(vrchat.pose[2] - start[2]) > 0.5), "it turns"
        world.affect(np.array([[0, 0, 0, 0, 0]]))
        assert vrchat.ear.wait_for(lambda: vrchat.ear.still)
        # Noise changes the picture ten times a second: the two need only be alike in what stands still.
        difference = 255.0
        for _ in range(200):
            seen = world.observe().values["image"][0].astype(float)
            difference = min(difference, float(np.abs(seen - vrchat.frame).mean()))
            if difference < 6:
                break
            vrchat.next_frame(vrchat.frames)
        assert difference < 6, "what the camera shows is what the world looks like"
        assert world.report().keys() == {"time/image_repeated_frames", "time/image_skipped_frames"}
    finally:
        world.actuators["avatar"].teardown()
        camera.teardown()


def test_camera_read_raises_after_the_stream_breaks_off() -> None:
    with VRChatStandIn() as vrchat:
        camera = Camera(vrchat.url, most_failures=3, patience=5)
        camera.setup()
        camera.read()

    def read_on() -> None:
        for _ in range(1000):
            camera.read()
            threading.Event().wait(0.02)

    with pytest.raises(OSError, match="failed 3 times in a row"):
        read_on()
    camera.teardown()


def test_check_accepts_the_vrchat_curiosity_experiment(command: Command) -> None:
    outcome = command("check", "experiment=vrchat_curiosity")
    assert outcome.status == 0, outcome.out + outcome.err


def test_vrchat_with_pamiq2024_requires_time_scale_one() -> None:
    def world(*words: str) -> Environment:
        composed = compose(["experiment=pamiq2024", "environment=vrchat", *words])
        environment: Environment = begin(composed, Builder(AllowList())).environment
        return environment

    assert world("launcher.time_scale=1").live
    assert world("launcher.time_scale=1", "interaction.delay.steps=1").live
    with pytest.raises(ConfigError, match="does not go 4 times as fast") as refused:
        world()
    assert "launcher.time_scale=1" in str(refused.value)


def test_vrchat_experiment_runs_in_real_time_and_leaves_the_avatar_still(
    command: Command, tmp_path: Path, vrchat: VRChatStandIn
) -> None:
    start = vrchat.pose.copy()
    outcome = command(
        "experiment=vrchat_curiosity", *words(vrchat), "launcher.max_steps=60", "interaction.interval=0.05",
        "models.encoder.warmup=20", "trainers.encoder.train_every=20", "trainers.encoder.learning_starts=20",
        "trainers.encoder.batch_size=16", "trainers.policy.rollout_steps=16", "launcher.record_every_steps=20",
        "metrics=none", f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["steps"], summary["state"]) == (60, "finished")
    assert summary["training_steps"] > 0
    assert vrchat.ear.wait_for(lambda: vrchat.ear.still)
    assert not np.allclose(vrchat.pose, start), "it has been somewhere"
    assert {message.address for message in vrchat.ear.messages if message.value} >= {
        "/input/Vertical", "/input/Horizontal", "/input/LookHorizontal",
    }  # fmt: skip


def test_vrchat_avatar_stops_in_a_pause_of_a_run_and_walks_on_afterwards(vrchat: VRChatStandIn) -> None:
    class Walker(Agent[Observation, Array]):
        def step(self, observation: Observation) -> Array:
            return np.array([[1, 0, 1, 0, 0]])

    def walks() -> bool:
        return bool(vrchat.ear.values.get("/input/Vertical"))

    found: list[bool] = []

    def steer(handle: RunHandle) -> None:
        found.append(vrchat.ear.wait_for(walks))
        found.append(handle.pause(60))
        found.append(vrchat.ear.wait_for(lambda: vrchat.ear.still))
        found.append(not any(thread.name == "camera" for thread in threading.enumerate()))
        handle.resume()
        found.append(vrchat.ear.wait_for(walks))
        handle.stop()

    @contextmanager
    def watch(handle: RunHandle) -> Iterator[None]:
        thread = threading.Thread(target=steer, args=(handle,))
        thread.start()
        yield
        thread.join()

    world = SensorEnvironment({"image": Camera(vrchat.url)}, {"avatar": VRChatAvatar(port=vrchat.ear.port)})
    interaction = FixedIntervalInteraction(Walker(), world, interval=0.05)
    summary = launch(interaction, config=LaunchConfig(mode="realtime", max_seconds=120), watch=watch)
    assert found == [True] * 5
    assert (summary["state"], summary["reason"]) == ("stopped", "console")
    assert vrchat.ear.wait_for(lambda: vrchat.ear.still)


@pytest.mark.slow
def test_vrchat_run_leaves_the_avatar_still_after_sigterm(
    repository: Path, tmp_path: Path, vrchat: VRChatStandIn
) -> None:
    line = [
        sys.executable, "-m", "pamiq_exp", "experiment=vrchat_curiosity", "agent=random", *words(vrchat),
        "metrics=none", f"hydra.run.dir={tmp_path / 'run'}",
    ]  # fmt: skip
    with subprocess.Popen(line, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        walks = vrchat.ear.wait_for(lambda: vrchat.ear.values.get("/input/LookHorizontal", 0.0) != 0.0)
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=60)
    assert walks, errors
    assert run.returncode == 128 + signal.SIGTERM, errors
    assert vrchat.ear.wait_for(lambda: vrchat.ear.still)
