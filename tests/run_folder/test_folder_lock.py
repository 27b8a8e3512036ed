"""The lock of a run folder, and folders that are moved or removed during a run."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import socket
import stat
from pathlib import Path

import numpy as np
import pytest

from pamiq_exp.media import Picture
from pamiq_exp.run_folder import Owner, RunFolder, RunFolderError, owner_of
from pamiq_exp.run_folder.folder_lock import LOCK
from pamiq_exp.tracking import JsonlTracker, RecordWriter, RunInfo


def run_info(folder: Path) -> RunInfo:
    return RunInfo(folder=folder, name="n", experiment_name="e", seed=0)


def steps_in(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["environment_step"] for line in lines]


def remove(folder: Path) -> None:
    """Remove a folder in one operation, so that nothing can be created in it meanwhile."""
    shutil.rmtree(folder.rename(folder.with_name("removed")))


def test_folder_lock_refuses_a_second_owner_and_names_the_first(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    with first.owned():
        owner = owner_of(tmp_path)
        assert owner is not None
        assert (owner.pid, owner.host) == (os.getpid(), socket.gethostname())
        with first.owned():  # the same run asks again
            pass
        message = rf"in use by another run \(process {os.getpid()}, since {re.escape(owner.since)}\)"
        with pytest.raises(RunFolderError, match=message), second.owned():
            pass
    assert owner_of(tmp_path) is None
    with second.owned():
        pass
    assert not (tmp_path / LOCK).exists()


def test_folder_lock_is_released_by_a_killed_process(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with RunFolder(tmp_path).owned():
            os.write(writing, b"x")
            signal.pause()
    assert os.read(reading, 1) == b"x"
    with pytest.raises(RunFolderError, match=f"process {child}, since"), RunFolder(tmp_path).owned():
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / LOCK).exists()
    with RunFolder(tmp_path).owned():
        assert owner_of(tmp_path) is not None


def test_folder_lock_is_not_kept_by_a_forked_child(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.owned():
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with RunFolder(tmp_path).owned():
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("pid", "host", "free"),
    [(os.getpid(), socket.gethostname(), False), (2**22 + 1, socket.gethostname(), True), (1, "elsewhere", False)],
    ids=["running", "ended", "on another host"],
)
def test_folder_lock_uses_the_file_where_flock_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: int, host: str, free: bool
) -> None:
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / LOCK).write_text(json.dumps({"pid": pid, "host": host, "since": "2026-01-01T00:00:00+00:00"}))
    if free:
        with RunFolder(tmp_path).owned():
            assert owner_of(tmp_path) == owner_of(tmp_path) != Owner(pid, host, "2026-01-01T00:00:00+00:00")
        return
    named = f"process {pid} on {host}" if host == "elsewhere" else f"process {pid}"
    with pytest.raises(RunFolderError, match=f"{named}, since 2026"), RunFolder(tmp_path).owned():
        pass


@pytest.mark.parametrize("lost", ["removed", "moved", "file removed", "file replaced"])
def test_run_folder_keeps_records_when_it_is_moved_or_removed(tmp_path: Path, lost: str) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.owned():
        folder.write_config({"seed": 1})
        folder.start(experiment_name="e", seed=1)
        writer = RecordWriter({"jsonl": JsonlTracker(0.0, folder.hold)}, folder.path, 0.001, hold=folder.hold)
        writer.start(run_info(folder.path))
        writer.put({"environment_step": 1})
        assert writer.flush(10.0)
        if lost == "removed":
            remove(folder.path)
        elif lost == "moved":
            folder.path.rename(tmp_path / "elsewhere")
        else:
            (folder.path / "metrics.jsonl").unlink()
        if lost == "file replaced":
            (folder.path / "metrics.jsonl").write_text("text from an editor\n")
        writer.put({"environment_step": 2})
        writer.close(0, {})
        folder.finish("finished", "max_steps", {"steps": 2})
    assert steps_in(folder.path) == [1, 2]
    assert writer.failures["jsonl"] >= 1
    assert folder.failed_writes == (1 if lost in ("removed", "moved") else 0)
    assert json.loads((folder.path / "manifest.json").read_text())["state"] == "finished"
    assert {"config.yaml", "summary.json"} <= {path.name for path in folder.path.iterdir()}


def test_jsonl_tracker_reports_a_truncated_file_and_continues(tmp_path: Path) -> None:
    tracker = JsonlTracker(0.0)
    tracker.start(run_info(tmp_path))
    tracker.write({"environment_step": 1})
    os.truncate(tmp_path / "metrics.jsonl", 0)
    with pytest.raises(OSError, match="was cut: 24 bytes"):
        tracker.write({"environment_step": 2})
    tracker.write({"environment_step": 3})
    tracker.finish(0, {})
    assert steps_in(tmp_path) == [2, 3]


def test_run_folder_never_writes_into_the_folder_of_another_run(tmp_path: Path) -> None:
    first = RunFolder(tmp_path / "run")
    with first.owned():
        first.start(experiment_name="first", seed=1)
        writer = RecordWriter({"jsonl": JsonlTracker(0.0, first.hold)}, first.path, 0.001, hold=first.hold)
        writer.start(run_info(first.path))
        writer.put({"environment_step": 1})
        assert writer.flush(10.0)
        with first._making:  # the first run does not check its folder meanwhile
            first.path.rename(tmp_path / "moved")
            second = RunFolder(tmp_path / "run")
            second._lock.acquire()
        with second.owned():
            second.start(experiment_name="second", seed=2)
            (second.path / "metrics.jsonl").write_text('{"environment_step": 100}\n')
            writer.put({"environment_step": 2})
            writer.put_media(Picture("p", np.zeros((2, 2, 3), np.uint8)), 2)
            writer.close(0, {})
            with pytest.raises(OSError, match=r"moved or removed, and .* is in use by another run"):
                first.finish("finished", "max_steps", {"steps": 2})
            assert steps_in(second.path) == [100]
            assert second.read_manifest()["experiment_name"] == "second"
            assert not list(second.media.iterdir())
    assert steps_in(tmp_path / "moved") == [1, 2]  # where the file went, so that nothing is lost
    assert writer.failures["jsonl"] >= 1


def test_run_folder_log_is_kept_when_the_folder_is_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    log = logging.getLogger("pamiq_exp.test")
    with folder.owned():
        with folder.logging():
            log.info("first")
        with folder.logging():
            log.info("second \udcff")  # a file name that is no UTF-8
            _wait_for(folder.path / "log.txt", "second")
            remove(folder.path)
            log.info("third")
            _wait_for(folder.path / "log.txt", "was moved or removed")
    text = (folder.path / "log.txt").read_text(encoding="utf-8")
    assert all(word in text for word in ("first", "second \\udcff", "third", "was moved or removed"))


def _wait_for(path: Path, word: str) -> None:
    while not path.exists() or word not in path.read_text(encoding="utf-8"):
        os.sched_yield()


def test_run_folder_makes_private_folders_and_keeps_existing_modes(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    (tmp_path / "there").chmod(0o755)
    for name, expected in (("there", 0o755), ("new", 0o700)):
        folder = RunFolder(tmp_path / name)
        assert stat.S_IMODE(folder.path.stat().st_mode) == expected
        assert stat.S_IMODE(folder.media.stat().st_mode) == 0o700


def test_run_folder_expands_a_tilde_to_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/run").path == tmp_path / "run"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(RunFolderError, match="no home folder"):
        RunFolder("~/run")
