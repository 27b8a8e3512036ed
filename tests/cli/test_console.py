"""A running run can be watched and controlled through the socket in its folder."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pamiq_exp.cli import main
from pamiq_exp.cli.console import screen
from pamiq_exp.jobs.console_socket import ConsoleError, _short_path, ask, serve
from pamiq_exp.run_folder import file_names, list_checkpoints
from pamiq_exp.runtime import LaunchConfig
from tests.runtime.parts import NoisyWorld, launch_small


class LiveRun:
    """A launch on a thread of its own, until it is stopped from outside."""

    def __init__(self, folder: Path, mode: Any) -> None:
        self.folder, self.mode = folder, mode
        self.summary: dict[str, Any] = {}
        self.world = NoisyWorld(hook=lambda step: self.moving.set() if step > 5 else None)
        self.moving = threading.Event()
        self.thread = threading.Thread(target=self._launch)
        self.thread.start()
        assert self.moving.wait(60.0)

    def _launch(self) -> None:
        config = LaunchConfig(mode=self.mode, max_seconds=120, record_every_steps=10)
        self.summary = launch_small(
            config,
            world=self.world,
            folder=self.folder,
            interval=0.001,
            watch=lambda handle: serve(handle, self.folder),
        )

    def end(self) -> None:
        if self.thread.is_alive():
            ask(self.folder, "stop")
        self.thread.join(60.0)
        assert not self.thread.is_alive()


@pytest.fixture(params=["realtime", "lockstep", "pipelined"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveRun]:
    run = LiveRun(tmp_path, request.param)
    yield run
    run.end()


def test_console_pauses_saves_resumes_and_stops_a_live_run(live: LiveRun, capsys: pytest.CaptureFixture[str]) -> None:
    status = ask(live.folder, "status")["status"]
    assert status["state"] == "running"
    assert status["steps"] >= 5
    assert main(["console", str(live.folder), "pause"]) == 0
    assert ask(live.folder, "status")["status"]["state"] == "paused"
    stood = live.world.step_number
    assert main(["console", str(live.folder), "save"]) == 0
    assert live.world.step_number == stood, "the world moved during a pause"
    (checkpoint,) = list_checkpoints(live.folder / "checkpoints")
    assert checkpoint.name == f"step_{stood:09d}"
    assert main(["console", str(live.folder), "resume"]) == 0
    live.moving.clear()
    assert live.moving.wait(30.0)
    while not {"interaction", "linear"} <= ask(live.folder, "status")["records"].keys():
        assert live.thread.is_alive()
        time.sleep(0.02)  # the console answers so many requests a second and no more
    assert main(["console", str(live.folder), "status"]) == 0
    assert "state: running" in capsys.readouterr().out
    live.end()
    assert (live.summary["state"], live.summary["reason"]) == ("stopped", "console")
    assert main(["console", str(live.folder), "status"]) == 1
    assert "no run is alive" in capsys.readouterr().err


def test_console_socket_is_accessible_to_its_owner_only(tmp_path: Path) -> None:
    run = LiveRun(tmp_path, "realtime")
    assert stat.S_IMODE(os.stat(tmp_path / file_names.SOCKET).st_mode) == 0o600
    run.end()


def test_console_socket_rejects_malformed_requests_and_the_run_continues(tmp_path: Path) -> None:
    run = LiveRun(tmp_path, "realtime")
    for request_line in (b"\n", b"[1]\n", b'{"command": 3}\n', b'{"command": "rm"}\n', b"x" * 9000, b"\xff\n"):
        with _short_path(tmp_path) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            connection.sendall(request_line)
            connection.shutdown(socket.SHUT_WR)
            reply = json.loads(connection.makefile("rb").readline())
        assert reply["ok"] is False, request_line
        assert ask(tmp_path, "status")["status"]["state"] == "running"
    run.end()


def test_console_socket_works_in_a_very_deep_run_folder(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    deep.mkdir(parents=True)
    assert len(str(deep)) > 108
    run = LiveRun(deep, "realtime")
    assert ask(deep, "status")["status"]["state"] == "running"
    run.end()


def test_ask_reports_a_socket_left_by_a_killed_run(tmp_path: Path) -> None:
    with _short_path(tmp_path) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as abandoned:
        abandoned.bind(path)
    with pytest.raises(ConsoleError, match="was killed and left its socket behind"):
        ask(tmp_path, "status")


def test_console_socket_controls_each_of_two_runs_separately(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = LiveRun(tmp_path / "a", "realtime"), LiveRun(tmp_path / "b", "lockstep")
    ask(tmp_path / "a", "pause")
    assert ask(tmp_path / "a", "status")["status"]["state"] == "paused"
    assert ask(tmp_path / "b", "status")["status"]["state"] == "running"
    first.end()
    second.end()


def test_console_prints_its_usage_for_invalid_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["console"], ["console", "folder", "explode"], ["console", "a", "b", "c"]):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert "usage: python -m pamiq_exp console RUN" in capsys.readouterr().err


def test_console_screen_shows_state_metrics_keys_and_messages(tmp_path: Path) -> None:
    run = LiveRun(tmp_path, "realtime")
    deadline = time.monotonic() + 60.0
    while not ask(tmp_path, "status")["records"]:
        assert time.monotonic() < deadline, "the run never recorded anything"
    view = Console(file=io.StringIO(), width=120)
    view.print(screen(tmp_path, ask(tmp_path, "status"), "saved step_000000010"))
    run.end()
    text = view.file.getvalue()  # type: ignore[attr-defined]
    for words in ("running", "deadline misses", "model age seconds", "p pause", "saved step_000000010"):
        assert words in text
