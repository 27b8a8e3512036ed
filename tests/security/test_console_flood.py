"""Floods of commands and invalid requests: the run continues, and no file appears outside of its folder."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from pamiq_exp.jobs.console_socket import (
    LONGEST_REQUEST,
    REQUESTS_PER_SECOND,
    ConsoleError,
    _Server,
    _short_path,
    ask,
)
from pamiq_exp.run_folder import file_names
from tests.cases import error_of
from tests.cli.test_console import LiveRun

WORDS = ["status", "resume", "save ", "../../etc", "rm -rf /", "", "\x00", "stop\n{", "${oc.env:HOME}", "a" * 5000]


def request(random_numbers: random.Random) -> bytes:
    """A valid or invalid request, none of which stops the run."""
    kind = random_numbers.randrange(6)
    if kind == 0:
        return random_numbers.randbytes(random_numbers.randrange(200))
    if kind == 1:
        return b"[" * random_numbers.randrange(LONGEST_REQUEST) + b"\n"
    if kind == 2:
        return os.urandom(8).hex().encode() * (LONGEST_REQUEST // 8) + b"\n"
    if kind == 3:
        return b'{"command": ' + b"1" * random_numbers.randrange(1, 5000) + b"}\n"
    if kind == 4:
        return b""
    return json.dumps({"command": random_numbers.choice(WORDS), "path": "/tmp/x", "name": "../x"}).encode() + b"\n"


def flood(folder: Path, count: int, seed: int, answers: list[dict[str, object]]) -> None:
    random_numbers = random.Random(seed)
    for _ in range(count):
        with _short_path(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(60.0)
            connection.connect(path)
            try:
                connection.sendall(request(random_numbers))
                connection.shutdown(socket.SHUT_WR)
                line = connection.makefile("rb").readline()
            except (BrokenPipeError, ConnectionResetError):
                continue  # the request was longer than the limit
        if line:
            answers.append(json.loads(line))


@pytest.mark.parametrize("count", [160, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_console_socket_limits_a_flood_of_requests_and_the_run_continues(tmp_path: Path, count: int) -> None:
    (tmp_path / "run").mkdir()
    run = LiveRun(tmp_path / "run", "realtime")
    answers: list[dict[str, object]] = []
    clients = [threading.Thread(target=flood, args=(run.folder, count // 4, seed, answers)) for seed in range(4)]
    began, steps = time.monotonic(), run.world.step_number
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.monotonic() - began
    assert run.world.step_number > steps, "the world stood still"
    assert ask(run.folder, "status")["status"]["state"] == "running"
    assert threading.active_count() < 30
    run.end()
    assert run.summary["state"] == "stopped"
    assert len(answers) > count // 2
    assert count / seconds < 3 * REQUESTS_PER_SECOND
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert not (run.folder / file_names.SOCKET).exists()


def test_console_socket_of_a_live_run_opens_no_network_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[object] = []
    bind = socket.socket.bind

    def note(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX:
            bound.append(address)
        bind(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "bind", note)
    run = LiveRun(tmp_path, "realtime")
    assert ask(run.folder, "status")["status"]["state"] == "running"
    run.end()
    assert bound == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux gives a socket its mode before it is bound")
def test_console_socket_is_private_from_the_moment_it_is_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chmod", lambda *_: None)
    before = os.umask(0)
    try:
        server = _Server(str(tmp_path / "s"), object)  # type: ignore[arg-type]
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    server.server_close()


def test_console_socket_answers_while_silent_connections_are_open(tmp_path: Path) -> None:
    run = LiveRun(tmp_path, "realtime")
    silent = []
    with _short_path(run.folder) as path:
        for _ in range(40):
            silent.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            silent[-1].connect(path)
    began = time.monotonic()
    assert ask(run.folder, "status")["status"]["state"] == "running"
    assert time.monotonic() - began < 3
    for connection in silent:
        connection.close()
    run.end()


def test_ask_reports_a_socket_that_does_not_answer_like_a_run(tmp_path: Path) -> None:
    answers = [b"", b"{}\n", b"[1]\n", b"[" * 5000, b'{"ok": true, "result": {"status": 1}}\n', b"\xff\n", b"1" * 5000]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server, _short_path(tmp_path) as path:
        server.bind(path)
        server.listen()

        def reply(answer: bytes) -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        for answer in answers:
            thread = threading.Thread(target=reply, args=(answer,))
            thread.start()
            message = error_of(ConsoleError, lambda: ask(tmp_path, "status"))
            thread.join()
            assert "is no run" in message or "does not answer" in message, answer[:50]


def test_ask_does_not_follow_a_link_to_another_socket(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        (tmp_path / "run" / file_names.SOCKET).symlink_to(tmp_path / "s")
        with pytest.raises(ConsoleError, match="no run is alive"):
            ask(tmp_path / "run", "status")
