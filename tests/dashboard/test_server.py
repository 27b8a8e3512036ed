"""Starting the server: its address is printed first, a port in use is skipped, and errors are reported."""

from __future__ import annotations

import io
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_exp.cli.dashboard import main
from pamiq_exp.dashboard.server import DashboardError, listen
from pamiq_exp.tracking import DashboardTracker, RunInfo
from pamiq_exp.tracking.dashboard_tracker import _tell_address
from tests.dashboard.conftest import Site, end_site, start_site

pytest.importorskip("nicegui", reason="the dashboard needs nicegui: extra dashboard")


def test_server_prints_its_address_first_and_listens_only_on_localhost(site: Site) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", site.address)
    listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{site.port:04X}" in listening
    assert f"00000000:{site.port:04X}" not in listening


def test_server_skips_a_port_in_use_and_ends_with_its_parent(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        served = start_site(tmp_path, "--port", str(port))
        assert served.process.stdout is not None
        assert served.port > port
        assert served.process.stdout.readline().strip() == f"port {port} is in use, so this is {served.port}"
        end_site(served)
    assert served.process.returncode == 0


def test_listen_refuses_a_port_in_use_and_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pamiq_exp.dashboard.server.PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DashboardError, match="in use: choose another one"):
            listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(DashboardError, match=r"no address of this machine|cannot be listened on"):
        listen("203.0.113.7", 0)


@pytest.mark.parametrize("words", [["nowhere"], ["file"]])
def test_dashboard_refuses_a_path_that_is_no_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(words) == 2
    assert "is no folder: give a run, a sweep, or a folder with runs (outputs)" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["-1", "70000", "x"])
def test_dashboard_refuses_an_invalid_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--port", port])
    assert "--port" in capsys.readouterr().err


def disconnect(served: Site, path: str) -> None:
    """Send a request and disconnect before the answer."""
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", f"Cookie: {served.cookie}", "", ""]
        connection.sendall("\r\n".join(lines).encode())


def test_server_ignores_disconnected_clients_and_ends_on_an_interrupt(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pamiq_exp", "dashboard", str(tmp_path), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    served = Site(tmp_path, process.stdout.readline().strip(), process)  # type: ignore[union-attr]
    while True:
        try:
            assert served.get("/").status == 200
            break
        except ConnectionError:
            continue
    script = re.search(r"/_nicegui/[^\"']*\.js", served.get("/").text)
    assert script is not None
    for path in (script[0], "/", "/run") * 10:
        disconnect(served, path)
    assert served.get("/").status == 200
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir()), "the dashboard must not write into the folder"


def test_dashboard_tracker_starts_and_ends_its_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tracker = DashboardTracker(port=0)
    tracker.start(RunInfo(folder=tmp_path, name="run", experiment_name="run", seed=0))
    process = tracker._process
    assert process is not None
    printed = ""
    while "token=" not in printed:
        assert process.poll() is None
        printed += capfd.readouterr().err
    tracker.finish(0, {})
    assert process.returncode == 0
    assert printed.startswith("dashboard: http://127.0.0.1:")


def test_dashboard_tracker_prints_its_address_and_port_errors(capsys: pytest.CaptureFixture[str]) -> None:
    _tell_address(io.StringIO("http://127.0.0.1:8081/?token=x\nport 8080 is in use, so this is 8081\nmore\n"))
    _tell_address(io.StringIO("the ports 8080 to 8179 are in use: choose another one (--port N)\nmore\n"))
    assert capsys.readouterr().err.splitlines() == [
        "dashboard: http://127.0.0.1:8081/?token=x",
        "dashboard: port 8080 is in use, so this is 8081",
        "dashboard: the ports 8080 to 8179 are in use: choose another one (--port N)",
    ]
