from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Command

SMALL = ("environment=noise_world", "world=tvroom", "environment.image_size=24", "environment.images.size=8")


def frames_of(path: Path) -> int:
    import av

    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_play_runs_in_a_window(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("pygame", reason="the window needs pygame: extra play")
    outcome = command("play", *SMALL, "--turns", "3")
    assert outcome.status == 0, outcome.err
    assert "is written instead" not in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["display", "pygame"])
def test_play_writes_a_video_without_a_display_or_pygame(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "pygame":
        monkeypatch.setitem(sys.modules, "pygame", None)
    for variable in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    outcome = command("play", *SMALL, "--turns", "12")
    assert outcome.status == 0, outcome.err
    assert "a film of a walk is written instead" in outcome.err
    assert frames_of(tmp_path / "walk.mp4") == 12


def test_play_writes_a_video_on_request(command: Command, tmp_path: Path) -> None:
    outcome = command("play", *SMALL, "--film", "here/mine.mp4", "--turns=10")
    assert outcome.status == 0, outcome.err
    assert frames_of(tmp_path / "here" / "mine.mp4") == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("world=tvroom",), "world"),
        (("experiment=minimum",), "no picture"),
        (("environment=noise_world", "world=tvrom"), "tvroom"),
        ((*SMALL, "--turns", "many"), "no whole number"),
        ((*SMALL, "seed=${nowhere}"), "leads nowhere"),
    ],
)
def test_play_reports_invalid_requests(command: Command, words: tuple[str, ...], message: str) -> None:
    outcome = command("play", *words)
    assert outcome.status == 2
    assert message in outcome.err


def test_play_help_lists_the_keys(command: Command) -> None:
    outcome = command("play", "--help")
    assert outcome.status == 0
    assert "arrows turn" in outcome.out
