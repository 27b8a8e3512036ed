"""Malicious files, read by every command: they run no code and touch no file elsewhere, and a message is printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pamiq_exp.config import ConfigError
from pamiq_exp.jobs.evaluate import choose_checkpoint
from tests.cases import error_of
from tests.conftest import Command, Outcome
from tests.security.corpus import (
    CONFIG_FOLDERS,
    ESCAPE,
    EXPORTED_FILES,
    PICTURES,
    PLANS,
    RUNS,
    SECRET,
    SWEEP_FILES,
    TEXTS,
    TRACES,
    VIDEOS,
    run_folder,
    trace_folder,
)
from tests.security.guard import Actions, watched

MOST_SECONDS, MOST_MEGABYTES = 10, 1000


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of private files beside the current one, which must stay the same."""
    folder, here = tmp_path / "outside", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    (folder / "secret.txt").write_text(SECRET)
    (folder / "target.txt").write_text("mine\n")
    (folder / "config.yaml").write_text(f"# {SECRET}\n# @package _global_\ndefaults: [minimum]\n")
    (folder / "_options.yaml").write_text(f"{SECRET}: 1\n")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "picture.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.chdir(here)
    yield folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (here / "marker").exists()


@pytest.fixture
def run(command: Command, outside: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in the current folder of the user, and check that it was harmless."""
    monkeypatch.chdir(outside.parent / "here")

    def harmless(*words: str) -> Outcome:
        with watched(outside) as actions:
            outcome = command(*words)
        assert_harmless(actions)
        assert not any("/sent/" in name for name in open_files()), "a file of the sender's is left open"
        shown = outcome.out + outcome.err
        assert SECRET not in shown
        assert "Traceback" not in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert shown.strip() or words[0] == "completion", "no message was printed"
        return outcome

    return harmless


def open_files() -> list[str]:
    """Return what this process has open; nothing where there is no /proc."""
    folder = Path("/proc/self/fd")
    return [str(path.readlink()) for path in folder.iterdir() if path.is_symlink()] if folder.is_dir() else []


def assert_harmless(actions: Actions) -> None:
    assert actions.seen == []
    assert actions.cpu_seconds < MOST_SECONDS
    assert actions.megabytes < MOST_MEGABYTES


def test_guard_detects_processes_file_reads_and_connections(tmp_path: Path) -> None:
    import socket
    import subprocess

    (tmp_path / "secret.txt").write_text("x")
    with watched(tmp_path) as actions:
        subprocess.check_call(("true",))
        (tmp_path / "secret.txt").read_text()
        with socket.socket() as connection, pytest.raises(OSError, match="refused"):
            connection.connect(("127.0.0.1", 9))
    words = " ".join(actions.seen)
    assert "subprocess.Popen" in words
    assert "secret.txt" in words
    assert "socket.connect" in words
    with watched(tmp_path) as actions:
        pass
    assert actions.seen == []


def some(names: Iterable[str], every: int, always: Callable[[str], bool] = lambda name: False) -> list[object]:
    """Return all names, of which one in `every` and those of `always` are not marked slow."""
    return [
        name if index % every == 0 or always(name) else pytest.param(name, marks=pytest.mark.slow)
        for index, name in enumerate(names)
    ]


def sent_run(name: str, outside: Path) -> str:
    folder = outside.parent / "here" / "sent"
    run_folder(folder)
    RUNS[name](folder, outside)
    return "sent"


@pytest.mark.parametrize("name", some(RUNS, 4))
def test_diff_export_sweep_status_and_console_of_a_malicious_run_are_harmless(
    run: Command, outside: Path, name: str
) -> None:
    folder = sent_run(name, outside)
    assert run("diff", folder, folder).status in (0, 2)
    assert run("export", folder, "-o", "paper.yaml").status in (0, 2)
    assert run("sweep-status", folder).status == 2
    assert run("console", folder).status in (1, 2)
    run("completion", "words", "--", "resume", folder, "")
    if (paper := Path("paper.yaml")).exists():
        assert SECRET not in paper.read_text()


def is_read_by_reports(name: str) -> bool:
    """Whether only reports read the part of the folder that this case changes."""
    return name.startswith(("media", "wandb", "a map", "markup"))


@pytest.mark.parametrize("name", some(RUNS, 9, is_read_by_reports))
def test_report_of_a_malicious_run_folder_is_harmless(run: Command, outside: Path, name: str) -> None:
    folder = sent_run(name, outside)
    assert run("report", folder, "-o", "page", "--resamples", "10").status in (0, 2)
    assert all(SECRET.encode() not in path.read_bytes() for path in Path("page").rglob("*") if path.is_file())
    page = Path("page/report.html")
    if page.exists():
        assert "<script" not in page.read_text(encoding="utf-8")
        for table in Path("page").rglob("*.csv"):
            assert not any(line.startswith(("=", "@")) or ",=" in line for line in table.read_text().splitlines())
        for table in Path("page/tables").glob("*.md"):
            assert "](javascript:" not in table.read_text().replace(r"\[a]", "")


@pytest.mark.parametrize("name", some(RUNS, 9))
def test_resume_refuses_a_malicious_run_folder(run: Command, outside: Path, name: str) -> None:
    folder = sent_run(name, outside)
    before = {path: path.lstat().st_mtime_ns for path in Path(folder).rglob("*")}
    assert run("resume", folder).status == 2
    assert {path: path.lstat().st_mtime_ns for path in Path(folder).rglob("*")} == before


@pytest.mark.parametrize("name", some(RUNS, 9))
def test_evaluate_refuses_a_malicious_run_folder(run: Command, outside: Path, name: str) -> None:
    folder = sent_run(name, outside)
    before = {path: path.lstat().st_mtime_ns for path in Path(folder).rglob("*")}
    assert run("evaluate", folder, "--checkpoint", "best").status == 2
    assert {path: path.lstat().st_mtime_ns for path in Path(folder).rglob("*")} == before


@pytest.mark.parametrize("name", some(RUNS, 9))
def test_replay_of_a_malicious_run_folder_changes_no_file(run: Command, outside: Path, name: str) -> None:
    folder = sent_run(name, outside)
    trace_folder(Path(folder))
    before = {path: path.lstat().st_mtime_ns for path in Path(folder).rglob("*")}
    assert run("replay", folder, "--check").status in (0, 1, 2)
    assert {path: path.lstat().st_mtime_ns for path in Path(folder).rglob("*")} == before


@pytest.mark.parametrize("name", some(TRACES, 3))
def test_replay_refuses_a_malicious_trace(run: Command, outside: Path, name: str) -> None:
    folder = outside.parent / "here" / "sent"
    run_folder(folder)
    trace_folder(folder)
    TRACES[name](folder / "trace" / "000000000", outside)
    assert run("replay", "sent", "--check").status == 2


def test_choose_checkpoint_refuses_a_malicious_best_file(run: Command, outside: Path) -> None:
    folder = outside.parent / "here" / "sent"
    run_folder(folder)
    (folder / "checkpoints" / "step_000000010").mkdir(parents=True)
    names = ["../../outside", str(outside), 5, ["step_000000010"], "x" * 5000, SECRET, ESCAPE]
    for content in (*TEXTS.values(), *(json.dumps({"checkpoint": name}).encode() for name in names)):
        (folder / "checkpoints" / "best.json").write_bytes(content)
        with watched(outside) as actions, pytest.raises(ConfigError):
            choose_checkpoint(folder, "best")
        assert_harmless(actions)


def test_sweep_status_of_a_malicious_plan_is_harmless(run: Command, outside: Path) -> None:
    sweep = outside.parent / "here" / "sweep"
    run_folder(sweep / "0")
    for name, plan in PLANS.items():
        (sweep / "sweep.json").write_bytes(plan)
        assert run("sweep-status", "sweep").status in (0, 1, 2), name


@pytest.mark.parametrize("name", some(RUNS, 4))
def test_sweep_status_of_a_malicious_job_folder_is_harmless(run: Command, outside: Path, name: str) -> None:
    sweep = outside.parent / "here" / "sweep"
    run_folder(sweep / "0")
    RUNS[name](sweep / "0", outside)
    plan = b'{"schema": 1, "words": [], "command": [], "experiment_name": "sent", "jobs": [], "expected": 2}'
    (sweep / "sweep.json").write_bytes(plan)
    assert run("sweep-status", "sweep").status in (0, 1)


@pytest.mark.parametrize("name", some(SWEEP_FILES, 4))
def test_run_refuses_a_malicious_sweep_file(run: Command, outside: Path, name: str) -> None:
    folder = outside.parent / "here" / "conf" / "sweep"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_bytes(SWEEP_FILES[name])
    assert run("--config-dir", "conf", "-m", "sweep=evil").status == 2
    run("list", "sweeps", "--config-dir", "conf")
    assert not list(Path.cwd().glob("outputs"))


@pytest.mark.parametrize("name", some(EXPORTED_FILES, 4))
def test_reproduce_refuses_a_malicious_exported_file(run: Command, outside: Path, name: str) -> None:
    Path("paper.yaml").write_bytes(EXPORTED_FILES[name])
    assert run("reproduce", "paper.yaml", "--yes").status == 2
    assert not list(Path.cwd().glob("outputs"))


@pytest.mark.parametrize("name", some(CONFIG_FOLDERS, 5))
def test_config_folder_that_is_malicious_is_listed_but_refused_by_check_run_and_play(
    run: Command, outside: Path, name: str
) -> None:
    folder = outside.parent / "here" / "conf"
    folder.mkdir()
    CONFIG_FOLDERS[name](folder, outside)
    assert run("list", "experiments", "--config-dir", "conf").status == 0
    assert run("completion", "words", "--described", "--", "--config-dir", "conf", "experiment=").status == 0
    assert run("check", "--config-dir", "conf", "experiment=evil").status in (1, 2)
    assert run("--config-dir", "conf", "experiment=evil").status == 2
    assert run("play", "--config-dir", "conf", "experiment=evil").status == 2


def test_picture_folder_and_load_folder_refuse_malicious_files(outside: Path) -> None:
    from pamiq_exp.environments.noise_world.pictures import load_folder
    from pamiq_exp.environments.recorded import PictureFolder

    for number, (name, make) in enumerate(PICTURES.items()):
        folder = outside.parent / "here" / str(number)
        folder.mkdir()
        make(folder, outside)
        with watched(outside) as actions:
            loaded = error_of(ValueError, partial(load_folder, folder, 1, 8))
            shown = error_of(ValueError, partial(PictureFolder, str(folder), image_size=8))
        assert "no readable picture" in loaded, name
        assert "no readable picture" in shown, name
        assert_harmless(actions)


def test_video_files_refuses_playlists_and_malformed_videos(outside: Path) -> None:
    pytest.importorskip("av", reason="videos need PyAV: extra video")
    from pamiq_exp.environments.recorded import VideoFiles

    for name, content in VIDEOS.items():
        (outside.parent / "here" / "a.mp4").write_bytes(content)
        with watched(outside) as actions:
            message = error_of(ValueError, lambda: VideoFiles("a.mp4", image_size=8))
        assert "is no video that can be read" in message, name
        assert_harmless(actions)
