"""Watching and controlling a live run through its socket, with one request for all viewers."""

from __future__ import annotations

import base64
import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pamiq_exp.dashboard.live import CONTROLS, LivePicture, LiveRun, ReadOnlyError
from pamiq_exp.dashboard.watched import WatchedRun
from pamiq_exp.jobs.console_socket import ConsoleError, ask
from pamiq_exp.run_folder.reader import Place
from pamiq_exp.runtime import handle
from tests.cases import error_of
from tests.dashboard.live_parts import LiveWalk


def pictures(live: LiveRun) -> list[LivePicture]:
    """Wait for the first pictures: the first request only begins to keep them."""
    while not (found := live.pictures()):
        time.sleep(0.05)
    return found


def decoded(picture: LivePicture) -> np.ndarray:
    data = base64.b64decode(picture.address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)))


def test_live_run_returns_status_and_pictures_and_sends_commands(tmp_path: Path) -> None:
    with LiveWalk(tmp_path):
        live = LiveRun(tmp_path, control=True)
        status = live.status()
        assert status is not None
        assert {"steps", "step_milliseconds_p50", "step_milliseconds_p99", "deadline_misses", "observation_age_seconds",
                "dropped", "records_waiting", "memory_bytes", "load", "model_version"} <= status.keys()  # fmt: skip
        first = pictures(live)
        assert [each.name for each in first] == ["image 0", "image 1", "map"]
        assert decoded(first[0]).shape == (32, 32, 3)
        assert live.command("pause") == "paused"
        watched = WatchedRun(Place(".", tmp_path, "run"), control=True)
        watched.look()
        assert watched.status().state == "paused"
        assert live.command("resume") == "running"
        assert live.command("save").startswith("saved step_")
        time.sleep(0.3)
        assert [each.address for each in live.pictures()] != [each.address for each in first]
    watched = WatchedRun(Place(".", tmp_path, "run"), control=True)
    watched.look()
    assert (watched.status().state, watched.status().live) == ("stopped", None)


def test_live_run_without_control_sends_no_command(tmp_path: Path) -> None:
    asked: list[str] = []
    live = LiveRun(tmp_path, ask=lambda folder, word, seconds: asked.append(word), control=False)
    for command in (*CONTROLS, "status", "rm -rf /", ""):
        assert "--control" in error_of(ReadOnlyError, live.command, command), command
        assert asked == []


def test_live_run_with_control_sends_only_the_listed_commands(tmp_path: Path) -> None:
    live = LiveRun(tmp_path, ask=lambda folder, word, seconds: word, control=True)
    assert live.command("pause") == "pause"
    with pytest.raises(ReadOnlyError):
        live.command("view")


def test_live_run_asks_once_for_many_viewers(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(folder: Path, word: str, seconds: float) -> Any:
        asked.append(word)
        return {"status": {"state": "running"}} if word == "status" else []

    with LiveWalk(tmp_path):
        live = LiveRun(tmp_path, ask=answer, control=False)
        viewers = [threading.Thread(target=lambda: (live.status(), live.pictures())) for _ in range(20)]
        for viewer in viewers:
            viewer.start()
        for viewer in viewers:
            viewer.join()
    assert sorted(asked) == ["status", "view"]


def test_run_keeps_no_turns_when_no_page_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "WATCHED_SECONDS", 0.1)
    with LiveWalk(tmp_path) as walk:
        assert walk.interaction.watcher is None
        pictures(LiveRun(tmp_path, control=False))
        while walk.interaction.watcher is not None:
            time.sleep(0.02)


def test_watched_run_reports_a_killed_run_as_died(tmp_path: Path) -> None:
    with LiveWalk(tmp_path):
        pass
    manifest = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace('"state": "stopped"', '"state": "running"'))
    import socket

    abandoned = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    abandoned.bind(str(tmp_path / "console.sock"))
    abandoned.close()
    watched = WatchedRun(Place(".", tmp_path, "run"), control=False)
    watched.look()
    status = watched.status()
    assert status.state == "died"
    assert "was killed" in status.reason
    assert f"python -m pamiq_exp resume {tmp_path}" in status.reason


def test_watched_run_reports_a_damaged_manifest(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "manifest.json").write_text('{"state": "fini')
    watched = WatchedRun(Place(".", tmp_path, "run"), control=False)
    watched.look()
    assert watched.status().state == "unknown"
    assert watched.status().reason == "its manifest.json does not say how it ended"


def test_live_run_ignores_invalid_answers_from_the_socket(tmp_path: Path) -> None:
    import socket

    answers: list[Any] = [
        None,
        3,
        [3],
        [{}],
        {"status": 3},
        [{"name": "x", "height": 2, "width": 2, "pixels": "AAAA"}],
        [{"name": "x", "height": -1, "width": 1, "pixels": "!"}],
        [{"name": "x", "height": "y", "width": 1, "pixels": ""}],
    ]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "console.sock"))
    for answer in answers:
        live = LiveRun(tmp_path, ask=lambda folder, word, seconds, answer=answer: answer, control=False)
        assert live.pictures() == [], answer
        assert live.status() is None, answer
    listener.close()


def test_ask_raises_an_error_if_no_run_is_alive(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="no run is alive"):
        ask(tmp_path, "status", 0.1)
