"""The avatar sends OSC messages that VRChat understands, and stops moving at every kind of end."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pythonosc", reason="VRChat needs python-osc: extra vrchat")

from pamiq_exp.environments import VRChatAvatar
from pamiq_exp.environments.vrchat.controls import AXES, BUTTONS
from tests.environments.vrchat.stand_in import Ear, Message

FORWARD, RIGHT, LOOK = "/input/Vertical", "/input/Horizontal", "/input/LookHorizontal"
JUMP, RUN = "/input/Jump", "/input/Run"
STAND = [0, 0, 0, 0, 0]


@pytest.fixture
def ear() -> Iterator[Ear]:
    with Ear() as listening:
        yield listening


def avatar(ear: Ear, **keys: Any) -> VRChatAvatar:
    made = VRChatAvatar(port=ear.port, close_menu=False, **keys)
    made.setup()
    assert ear.wait_for(lambda: len(ear.messages) == len(AXES) + len(BUTTONS))
    ear.forget()
    return made


def operate(made: VRChatAvatar, ear: Ear, *actions: list[int], expected: int) -> list[tuple[str, Any]]:
    """Act, wait for so many messages, and return them."""
    ear.forget()
    for action in actions:
        made.operate(np.array(action))
    assert ear.wait_for(lambda: len(ear.messages) >= expected)
    return [(message.address, message.value) for message in ear.messages]


def test_vrchat_avatar_each_branch_moves_one_axis_or_button(ear: Ear) -> None:
    cases: list[tuple[list[int], str, float]] = [
        ([1, 0, 0, 0, 0], FORWARD, 1.0),
        ([2, 0, 0, 0, 0], FORWARD, -1.0),
        ([0, 1, 0, 0, 0], RIGHT, 1.0),
        ([0, 2, 0, 0, 0], RIGHT, -1.0),
        ([0, 0, 1, 0, 0], LOOK, 0.7),
        ([0, 0, 2, 0, 0], LOOK, -0.7),
        ([0, 0, 0, 1, 0], JUMP, 1),
        ([0, 0, 0, 0, 1], RUN, 1),
    ]
    made = avatar(ear)
    operate(made, ear, STAND, expected=5)
    for action, address, value in cases:
        ((heard, number),) = operate(made, ear, action, expected=1)
        assert heard == address, action
        assert number == pytest.approx(value, abs=1e-6), action
        assert type(number) is (int if address in BUTTONS else float), "VRChat distinguishes them by the type"
        assert operate(made, ear, STAND, expected=1) == [(address, 0)], action
    made.teardown()


def test_vrchat_avatar_sends_only_changes(ear: Ear) -> None:
    made = avatar(ear)
    walk = [1, 0, 0, 0, 0]
    operate(made, ear, walk, expected=5)
    assert operate(made, ear, walk, walk, [1, 0, 1, 0, 0], expected=1) == [(LOOK, pytest.approx(0.7))]
    made.teardown()


def test_vrchat_avatar_stops_in_a_pause_and_sends_again_afterwards(ear: Ear) -> None:
    made = avatar(ear)
    walk = [1, 0, 0, 0, 1]
    operate(made, ear, walk, expected=5)
    ear.forget()
    made.on_pause()
    assert ear.wait_for(lambda: len(ear.messages) == len(AXES) + len(BUTTONS))
    assert ear.still
    assert {message.address for message in ear.messages} == {*AXES, *BUTTONS}
    made.on_resume()
    ear.wait_for(lambda: len(ear.messages) == 2 * (len(AXES) + len(BUTTONS)))
    heard = dict(operate(made, ear, walk, expected=5))
    assert (heard[FORWARD], heard[RUN]) == (1.0, 1), "what is held is sent again"
    made.teardown()
    assert ear.wait_for(lambda: ear.still)


def test_vrchat_avatar_closes_the_menu_by_a_short_step(ear: Ear) -> None:
    made = VRChatAvatar(port=ear.port)
    made.setup()
    everything = len(AXES) + len(BUTTONS)
    assert ear.wait_for(lambda: len(ear.messages) == 2 * everything + 1)
    assert ear.messages[everything].address == FORWARD
    assert ear.messages[everything].value == 1.0
    assert ear.still
    made.teardown()


@settings(max_examples=20)
@given(
    lag=st.floats(0.01, 2.0),
    interval=st.floats(0.02, 0.5),
    commands=st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=30),
)
def test_vrchat_avatar_lag_follows_the_exact_first_order_solution(
    lag: float, interval: float, commands: list[int]
) -> None:
    made = VRChatAvatar(close_menu=False, lag=lag, interval=interval, port=9)
    sent: dict[str, float] = {}
    made._controls.send = sent.update  # type: ignore[method-assign]
    expected = 0.0
    for command in commands:
        wanted = [0.0, 1.0, -1.0][command]
        made.operate(np.array([command, 0, 0, 0, 0]))
        expected += (wanted - expected) * (1 - math.exp(-interval / lag))
        if abs(expected - wanted) < 0.01:
            expected = wanted
        assert sent[FORWARD] == pytest.approx(expected, abs=1e-9)


def test_vrchat_avatar_lagging_axis_sends_39_percent_first_and_comes_to_rest(ear: Ear) -> None:
    made = avatar(ear, lag=0.2)
    heard = dict(operate(made, ear, [1, 0, 0, 0, 0], expected=5))
    assert heard[FORWARD] == pytest.approx(0.3935, abs=1e-4), "moved on first, then sent"
    operate(made, ear, *[STAND] * 40, expected=1)
    assert ear.wait_for(lambda: ear.still), "a lagging axis comes to rest"
    made.teardown()


def test_vrchat_avatar_delays_buttons_by_whole_intervals(ear: Ear) -> None:
    made = VRChatAvatar(close_menu=False, press_delay=0.04, release_delay=0.16, interval=0.1, port=ear.port)
    shown = []
    sent: dict[str, float] = {}
    made._controls.send = sent.update  # type: ignore[method-assign]
    for pressed in (1, 0, 0, 0, 1, 1, 0, 1, 0, 0):
        made.operate(np.array([0, 0, 0, pressed, 0]))
        shown.append(int(sent[JUMP]))
    assert shown == [1, 1, 0, 0, 1, 1, 1, 1, 1, 0], "pressed at once, released one interval late"


def test_vrchat_avatar_logs_an_unreachable_host_once_per_outage(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = VRChatAvatar(close_menu=False, port=9)
    client = made._controls._client
    send = client.send_message
    monkeypatch.setattr(client, "send_message", _fail)
    made.setup()
    made.operate(np.array([1, 0, 0, 0, 0]))
    assert len(caplog.records) == 1
    assert "network is down" in caplog.text
    monkeypatch.setattr(client, "send_message", send)
    made.operate(np.array([2, 0, 0, 0, 0]))
    monkeypatch.setattr(client, "send_message", _fail)
    made.operate(np.array([1, 0, 0, 0, 0]))
    assert len(caplog.records) == 2, "and again when it happens again"
    monkeypatch.undo()
    made.teardown()


def _fail(address: str, value: float) -> None:
    raise OSError("network is down")


def test_vrchat_avatar_refuses_invalid_actions_and_settings() -> None:
    with pytest.raises(ValueError, match="an action must have the shape"):
        VRChatAvatar(port=9).operate(np.array([3, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="turn_speed must be in"):
        VRChatAvatar(turn_speed=1.5)


WALKS_AND = """
import os, signal, sys, threading
import numpy as np
from pamiq_exp.environments import VRChatAvatar
avatar = VRChatAvatar(port={port}, close_menu=False)
avatar.setup()
avatar.operate(np.array([1, 2, 1, 0, 1]))
print("walking", flush=True)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "sent", "status"),
    [
        ("sys.exit(3)", None, 3),
        ("raise RuntimeError('a bug')", None, 1),
        ("threading.Event().wait()", signal.SIGTERM, 128 + signal.SIGTERM),
        ("threading.Event().wait()", signal.SIGHUP, 128 + signal.SIGHUP),
    ],
)
def test_vrchat_avatar_stops_when_the_program_ends(
    ear: Ear, repository: Path, ending: str, sent: signal.Signals | None, status: int
) -> None:
    script = WALKS_AND.format(port=ear.port, ending=ending)
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "walking\n"
        assert ear.wait_for(lambda: Message(FORWARD, 1.0) in ear.messages)
        if sent is not None:
            program.send_signal(sent)
        ended = program.wait(30)
    assert ended == status
    assert ear.wait_for(lambda: ear.still)
