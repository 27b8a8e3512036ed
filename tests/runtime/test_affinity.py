"""Environments are used only on the calling thread, in every mode; hanging and failing parts are named."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pamiq_exp.agents import RandomAgent
from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.interaction import Interaction, Observation
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.spaces import describe_action
from tests.runtime.parts import CollectingAgent, NoisyWorld, SmallTrainer, launch_small

MODES = ["lockstep", "pipelined", "realtime"]


class Affine(gymnasium.Env[Any, Any]):
    """Records the threads on which it is built, reset, stepped and closed; uses objects that are bound to a thread."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.threads = {"built": threading.get_ident()}
        self.database = sqlite3.connect(":memory:")
        self.loop = asyncio.new_event_loop()
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        BUILT.append(self)

    def _use(self, name: str) -> np.ndarray[Any, Any]:
        self.threads[name] = threading.get_ident()
        self.database.execute("select 1").fetchone()
        self.loop.run_until_complete(asyncio.sleep(0))
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        return np.zeros(2, np.float32)

    def reset(self, **_: Any) -> Any:
        return self._use("reset"), {}

    def step(self, action: Any) -> Any:
        return self._use("stepped"), 0.0, False, False, {}

    def close(self) -> None:
        self._use("closed")
        self.database.close()
        self.loop.close()


BUILT: list[Affine] = []


@pytest.mark.parametrize("mode", MODES)
def test_launch_uses_an_environment_only_on_the_calling_thread(mode: Any, tmp_path: Path) -> None:
    BUILT.clear()
    environment = GymnasiumEnvironment(make=Affine, num_envs=2)
    agent = RandomAgent(describe_action(environment.action_space), 2, 0)
    config = LaunchConfig(mode=mode, max_steps=40)
    launch(Interaction(agent, environment), config=config, folder=tmp_path)
    stepped = [each for each in BUILT if "stepped" in each.threads]
    assert len(stepped) == 2
    for each in BUILT:
        assert set(each.threads.values()) == {threading.get_ident()}
        assert "closed" in each.threads


@pytest.mark.parametrize("mode", MODES)
def test_launch_reports_a_hanging_environment_in_every_mode(
    mode: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reported = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "no heartbeat" in record.getMessage():
                reported.set()

    def hang_until_reported(step: int) -> None:
        if step == 5:
            assert reported.wait(30.0), "no report of the watchdog"

    listener = Listener()
    logging.getLogger("pamiq_exp").addHandler(listener)
    try:
        config = LaunchConfig(mode=mode, max_steps=10, watchdog_seconds=0.2)
        launch_small(config, world=NoisyWorld(hook=hang_until_reported), folder=tmp_path, interval=0.001)
    finally:
        logging.getLogger("pamiq_exp").removeHandler(listener)
    shown = capfd.readouterr().err
    assert f"the {'inference' if mode == 'realtime' else mode} thread has given no heartbeat" in shown
    assert len([line for line in shown.splitlines() if "no heartbeat" in line]) == 1
    assert "hang_until_reported" in (tmp_path / "log.txt").read_text()


def test_launch_reports_a_hanging_training_thread_in_pipelined_mode(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reported = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "no heartbeat" in record.getMessage():
                reported.set()

    listener = Listener()
    logging.getLogger("pamiq_exp").addHandler(listener)
    try:
        config = LaunchConfig(mode="pipelined", max_steps=40, watchdog_seconds=0.2)
        trainer = SmallTrainer(hook=lambda batch: None if batch else reported.wait(30.0))  # type: ignore[arg-type]
        launch_small(config, trainer=trainer, folder=tmp_path, interval=0.001)
    finally:
        logging.getLogger("pamiq_exp").removeHandler(listener)
    assert "the training thread has given no heartbeat" in capfd.readouterr().err


HANGING = """
import sys, threading
from pathlib import Path
from pamiq_exp.runtime import LaunchConfig, run
from tests.runtime.parts import NoisyWorld, SmallTrainer, launch_small
run.STOP_TIMEOUT = 0.5
never = threading.Event()
def hang(step):
    if step == 30:
        print("hanging", flush=True)
        never.wait()
summary = launch_small(LaunchConfig(), world=NoisyWorld(hook=hang), folder=Path(sys.argv[1]), interval=0.005)
print(summary["state"], summary["reason"])
"""


def test_launch_in_realtime_ends_on_one_signal_if_the_environment_hangs(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert output == "stopped SIGTERM\n", errors
    assert "the inference thread did not end within" in errors
    assert json.loads((tmp_path / "manifest.json").read_text())["state"] == "stopped"
    assert list((tmp_path / "checkpoints").glob("step_*")) == [], "the state of a hanging thread is not saved"


class Broken(Exception):  # noqa: N818
    pass


class BrokenAgent(CollectingAgent):
    def step(self, observation: Observation) -> np.ndarray[Any, Any]:
        raise Broken("agent")


class BrokenTrainer(SmallTrainer):
    def round(self) -> Iterator[Mapping[str, float]]:
        yield from super().round()
        raise Broken("trainer")


class BrokenWorld(NoisyWorld):
    def affect(self, action: np.ndarray[Any, Any]) -> None:
        raise Broken("world")


class UnreadyWorld(NoisyWorld):
    def setup(self) -> None:
        raise Broken("unready")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("parts", "address"),
    [
        ({"agent": BrokenAgent}, "(in interaction.agent)"),
        ({"trainer": BrokenTrainer}, "(in trainers.linear)"),
        ({"world": BrokenWorld}, "(in environment)"),
        ({"world": UnreadyWorld}, "(while interaction.environment was set up)"),
    ],
    ids=str,
)
def test_launch_adds_the_address_of_the_part_to_an_error(
    mode: Any, parts: Mapping[str, type[Any]], address: str
) -> None:
    with pytest.raises(Broken) as caught:
        launch_small(LaunchConfig(mode=mode), interval=0.001, **{name: part() for name, part in parts.items()})
    assert address in caught.value.__notes__


PAUSED = """
import sys, threading
from pamiq_exp.runtime import LaunchConfig
from tests.runtime.parts import launch_small
from contextlib import contextmanager
@contextmanager
def paused(handle):
    def pause():
        handle.pause()
        print("paused", flush=True)
    threading.Timer(0.3, pause).start()
    yield
print(launch_small(LaunchConfig(mode=sys.argv[1]), interval=0.005, watch=paused)["state"])
"""


@pytest.mark.parametrize(
    "mode", [pytest.param(each, marks=() if each == "realtime" else pytest.mark.slow) for each in MODES]
)
def test_launch_ends_a_paused_run_on_a_signal(mode: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", PAUSED, mode], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "paused\n"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert output == "stopped\n"
