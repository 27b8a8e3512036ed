"""Actuators within limits, and the stops that work even if the program hangs or is killed."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from pamiq_exp.environments import Actuator, SafeActuator, Sensor, SensorEnvironment, VRChatAvatar
from pamiq_exp.interaction import Array, FixedIntervalInteraction, Observation
from pamiq_exp.jobs.console_socket import answer
from pamiq_exp.runtime import LaunchConfig, RunHandle, launch
from tests.cases import unexpected_errors
from tests.environments.vrchat.stand_in import LOCAL, Ear, Message
from tests.runtime.parts import CollectingAgent

STOP = b"stop"
PATIENCE = 20.0


class Arm(Actuator):
    """Two joints whose commands are remembered."""

    def __init__(self, port: int = 0) -> None:
        self.space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.port = port
        self.done: list[list[float]] = []
        self.stopped = threading.Event()

    def operate(self, action: Array) -> None:
        self.stopped.clear()
        self.done.append([round(float(value), 4) for value in action])

    def on_pause(self) -> None:
        self.stopped.set()

    def stop_messages(self) -> list[tuple[str, str, int, bytes]]:
        return [("udp", LOCAL, self.port, STOP)] if self.port else []


class Legs(Arm):
    def __init__(self) -> None:
        super().__init__()
        self.space = gymnasium.spaces.MultiDiscrete([3, 3])


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((LOCAL, 0))
        receiver.settimeout(PATIENCE)
        yield receiver


def port_of(ear: socket.socket) -> int:
    return int(ear.getsockname()[1])


def test_safe_actuator_clips_commands_and_counts_them() -> None:
    arm = Arm()
    safe = SafeActuator(arm, low=-0.5, high=[0.5, 0.25])
    for action in ([0.1, 0.1], [1.0, 1.0], [-1.0, np.nan]):
        safe.operate(np.float32(action))
    assert arm.done == [[0.1, 0.1], [0.5, 0.25], [-0.5, 0.0]]
    assert safe.report()["clipped"] == 2


def test_safe_actuator_limits_the_slew_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("pamiq_exp.environments.modular.safety.time.monotonic", lambda: now[0])
    arm = Arm()
    safe = SafeActuator(arm, slew_rate=2.0)
    for _ in range(4):
        safe.operate(np.float32([1.0, -1.0]))
        now[0] += 0.05
    assert arm.done == [[0.2, -0.2], [0.3, -0.3], [0.4, -0.4], [0.5, -0.5]]
    now[0] += 60.0
    safe.operate(np.float32([-1.0, -1.0]))
    assert arm.done[-1] == [0.3, -0.7], "a long silence allows no jump"


def test_safe_actuator_refuses_invalid_settings() -> None:
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: SafeActuator(Arm(), low=0.1), "include 0"),
        (lambda: SafeActuator(Arm(), high=2.0), "within the space"),
        (lambda: SafeActuator(Arm(), low=[0.0, 0.0, 0.0]), "one number or 2"),
        (lambda: SafeActuator(Arm(), dead_man=0.0), "dead_man must be a positive number"),
        (lambda: SafeActuator(Arm(), emergency_stop=1.0), "Arm names no messages"),
        (lambda: SafeActuator(Legs(), slew_rate=1.0), "actions of numbers"),
    ]
    assert not unexpected_errors(ValueError, cases)


def test_safe_actuator_dead_man_stops_after_missing_commands() -> None:
    arm = Arm()
    safe = SafeActuator(arm, dead_man=0.02)
    safe.setup()
    try:
        for _ in range(2):
            safe.operate(np.float32([1.0, 1.0]))
            assert arm.stopped.wait(PATIENCE)
    finally:
        safe.teardown()
    assert safe.report()["stops"] == 2


class Eye(Sensor):
    space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)

    def read(self) -> Array:
        return np.zeros(3, np.float32)


class Pushing(CollectingAgent):
    def step(self, observation: Observation) -> np.ndarray:
        return np.full((1, 2), 0.5, np.float32)


class Person:
    """A person at the console, on a thread of their own."""

    def __init__(self, acts: Callable[[], None]) -> None:
        self.thread = threading.Thread(target=acts)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *error: object) -> None:
        self.thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_console_intervene_takes_over_from_the_agent_and_gives_back(tmp_path: Path) -> None:
    arm = Arm()
    world = SensorEnvironment({"vector": Eye()}, {"arm": SafeActuator(arm)})
    answers: list[object] = []

    def acts(handle: RunHandle) -> None:
        try:
            wait_until(lambda: len(arm.done) >= 3)
            answers.append(answer(handle, "intervene")["result"])
            assert arm.stopped.is_set()
            answers.append(handle.status()["intervened"])
            count, before = len(arm.done), handle.status()["steps"]
            assert isinstance(before, int)
            wait_until(lambda: int(handle.status()["steps"] or 0) > before + 5)
            answers.append(len(arm.done) - count)
            answers.append(handle.last_records()["interaction"]["interaction/time/arm_intervened"])
            answers.append(answer(handle, "intervene")["result"])
            wait_until(lambda: len(arm.done) > count)
        finally:
            handle.stop()

    agent = Pushing(model=None, buffer=None)
    config = LaunchConfig(mode="realtime", record_every_steps=1, max_seconds=60)
    interaction = FixedIntervalInteraction(agent, world, 0.002)
    launch(interaction, config=config, folder=tmp_path, watch=lambda handle: Person(lambda: acts(handle)))  # type: ignore[arg-type,return-value]
    assert answers == ["a person acts: `intervene` again gives back", 1, 0, 1.0, "the agent acts again"]


def test_console_intervene_needs_a_safe_actuator() -> None:
    answers: list[object] = []

    def acts(handle: RunHandle) -> None:
        answers.append(answer(handle, "intervene"))
        handle.stop()

    interaction = FixedIntervalInteraction(
        Pushing(model=None, buffer=None), SensorEnvironment({"vector": Eye()}, {"arm": Arm()}), 0.002
    )
    config = LaunchConfig(mode="realtime", max_seconds=60)
    launch(interaction, config=config, watch=lambda handle: Person(lambda: acts(handle)))  # type: ignore[arg-type,return-value]
    assert answers == [{"ok": False, "result": "no actuator of this run lets a person take over: see SafeActuator"}]


def test_safe_actuator_emergency_stop_acts_on_a_hang_and_not_in_a_pause(ear: socket.socket) -> None:
    safe = SafeActuator(Arm(port_of(ear)), emergency_stop=0.5)
    safe.setup()
    try:
        safe.operate(np.float32([1.0, 1.0]))
        for _ in range(3):
            assert ear.recv(100) == STOP, "each message is sent three times"
        safe.operate(np.float32([1.0, 1.0]))
        safe.on_pause()
        ear.settimeout(0.8)
        with pytest.raises(TimeoutError):
            ear.recv(100)
        ear.settimeout(PATIENCE)
    finally:
        safe.teardown()
    assert ear.recv(100) == STOP, "the orderly end stops it, too"


MOVE = """
import time
import numpy as np
from pamiq_exp.environments import SafeActuator
from tests.environments.test_safety import Arm

safe = SafeActuator(Arm({port}), emergency_stop=60)
safe.setup()
safe.operate(np.float32([1, 1]))
print("moves", flush=True)
time.sleep(60)
"""


def test_safe_actuator_emergency_stop_acts_when_the_program_is_killed(ear: socket.socket) -> None:
    command = [sys.executable, "-c", MOVE.format(port=port_of(ear))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "moves\n"
        program.kill()
    assert ear.recv(100) == STOP


def test_safe_actuator_refuses_to_act_without_its_emergency_stop_process(ear: socket.socket) -> None:
    safe = SafeActuator(Arm(port_of(ear)), emergency_stop=60)
    safe.setup()
    assert safe._stop is not None
    assert safe._stop._process is not None
    safe._stop._process.kill()
    safe._stop._process.wait()
    with pytest.raises(RuntimeError, match="nothing moves without it"):
        safe.operate(np.float32([1.0, 1.0]))
    safe.teardown()


def test_safe_actuator_emergency_stop_releases_the_inputs_of_an_avatar() -> None:
    with Ear() as vrchat:
        avatar = SafeActuator(VRChatAvatar(port=vrchat.port, close_menu=False), emergency_stop=0.2)
        avatar.setup()
        try:
            avatar.operate(np.array([1, 0, 0, 0, 1]))
            assert vrchat.wait_for(lambda: Message("/input/Vertical", 1.0) in vrchat.messages)
            assert vrchat.wait_for(lambda: vrchat.still)
            assert type(vrchat.values["/input/Run"]) is int
        finally:
            avatar.teardown()
