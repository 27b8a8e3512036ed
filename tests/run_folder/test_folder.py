"""The run folder: whole files, no secrets, clear errors."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pamiq_exp.files import write_atomically
from pamiq_exp.run_folder import RunFolder, RunFolderError
from pamiq_exp.run_folder import folder as run_folder
from tests.cases import error_of


def test_run_folder_records_config_manifest_and_summary(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "run")
    config = {"seed": 3, "nested": {"list": [1, 2.5, None], "text": "é"}}
    folder.write_config(config, ["seed=3", "world=clean"])
    folder.start(
        experiment_name="experiment", seed=3, config=config, threads={"training": 1}, details={"allow": ["x."]}
    )
    running = folder.read_manifest()
    assert running["state"] == "running"
    assert running["ended"] is None
    folder.finish("finished", "max_steps", {"steps": 10, "coverage": 0.5})
    manifest = folder.read_manifest()
    assert yaml.safe_load((folder.path / "config.yaml").read_text()) == config
    assert yaml.safe_load((folder.path / "overrides.yaml").read_text()) == ["seed=3", "world=clean"]
    assert json.loads((folder.path / "summary.json").read_text()) == {"steps": 10, "coverage": 0.5}
    assert manifest["state"] == "finished"
    assert manifest["reason"] == "max_steps"
    assert manifest["ended"] >= manifest["started"]
    assert manifest["seed"] == 3
    assert manifest["threads"] == {"training": 1}
    assert manifest["allow"] == ["x."]
    assert manifest["versions"]["numpy"] == __import__("numpy").__version__
    assert manifest["machine"]["cpu_count"] == os.cpu_count()
    assert manifest["start_state"] == {"steps": 0}
    assert manifest["end_state"] == {"steps": 10}
    assert len(manifest["source_sha256"]) == 64
    assert folder.media.is_dir()
    assert folder.checkpoints.is_dir()
    assert not [path for path in folder.path.rglob("*") if path.name.startswith(".")]


def test_run_folder_manifest_keeps_earlier_sessions(tmp_path: Path) -> None:
    for state in ("stopped", "finished"):
        folder = RunFolder(tmp_path)
        folder.start(experiment_name="experiment", seed=0, command=["python", "-m", "pamiq_exp", state])
        folder.finish(state, f"because {state}")  # type: ignore[arg-type]
    manifest = folder.read_manifest()
    assert manifest["state"] == "finished"
    (earlier,) = manifest["sessions"]
    assert earlier["state"] == "stopped"
    assert earlier["reason"] == "because stopped"
    assert earlier["command"][-1] == "stopped"


def test_run_folder_manifest_has_machine_threads_and_environment_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("UNRELATED", "value")
    folder = RunFolder(tmp_path)
    folder.start(experiment_name="e", seed=0)
    manifest = folder.read_manifest()
    assert manifest["machine"]["torch"]["threads"] == torch.get_num_threads()
    assert manifest["machine"]["python"] == sys.version.split()[0]
    assert manifest["environment"]["OMP_NUM_THREADS"] == "1"
    assert "UNRELATED" not in manifest["environment"]


def test_run_folder_restores_its_files_after_a_refused_session(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_config({"seed": 1}, ["seed=1"])
    folder.start(experiment_name="e", seed=1)
    folder.finish("finished", "max_steps", {"steps": 3})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    again = RunFolder(tmp_path)

    def refuse() -> None:
        again.write_config({"seed": 2}, ["seed=2"])
        again.write_composition({"name": "config", "overrides": [], "files": {"config": "seed: 2"}})
        again.start(experiment_name="e", seed=2)
        raise ValueError("does not fit")

    with pytest.raises(ValueError, match="does not fit"), again.restored_on(ValueError):
        refuse()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_run_folder_keeps_a_diff_of_uncommitted_code(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        return subprocess.check_output(("git", "-C", str(code), *identity, *arguments), text=True).strip()

    git("init", "-q")
    (code / "a.py").write_text("x = 1\n")
    git("add", "a.py")
    git("commit", "-qm", "first")
    clean = RunFolder(tmp_path / "clean")
    clean.start(experiment_name="e", seed=0, code_folder=code)
    assert clean.read_manifest()["code"] == {"commit": git("rev-parse", "HEAD"), "dirty": False, "untracked": []}
    assert not (clean.path / "code.diff").exists()

    (code / "a.py").write_text("x = 2\n")
    (code / "b.py").write_text("new\n")
    dirty = RunFolder(tmp_path / "dirty")
    dirty.start(experiment_name="e", seed=0, code_folder=code)
    state = dirty.read_manifest()["code"]
    assert state["dirty"]
    assert state["untracked"] == ["b.py"]
    assert "+x = 2" in (dirty.path / "code.diff").read_text()
    (code / "a.py").write_text("x = 1\n")
    subprocess.run(("git", "-C", str(code), "apply", str(dirty.path / "code.diff")), check=True)
    assert (code / "a.py").read_text() == "x = 2\n"


def test_run_folder_has_no_code_state_outside_a_repository(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.start(experiment_name="e", seed=0, code_folder=Path("/"))
    assert folder.read_manifest()["code"] == {}


def test_run_folder_uses_the_commit_of_the_package_outside_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    commit = subprocess.run(
        ("git", "-C", str(repository), "rev-parse", "HEAD"), capture_output=True, text=True, check=False
    )
    if commit.returncode:
        pytest.skip("the tests do not run in a checkout")
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "run")
    folder.start(experiment_name="e", seed=0)
    assert folder.read_manifest()["code"]["commit"] == commit.stdout.strip()


def test_run_folder_writes_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = "marker-0815-secret"
    monkeypatch.setenv("SOME_API_KEY", marker)
    folder = RunFolder(tmp_path)
    config = {"a": marker, "token": "other-secret", "b": [f"https://{marker}@host"]}
    with folder.logging():
        folder.write_config(config, [f"+a={marker}", "+x.password=other-secret"])
        folder.start(experiment_name=marker, seed=0, config=config, command=["x", marker, "--token=other-secret"])
        try:
            raise ValueError(f"cannot log in with {marker}")
        except ValueError:
            logging.getLogger("test").exception("failed with %s", marker)
        folder.finish("failed", f"ValueError: {marker}", {"experiment_name": marker, "steps": 1})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {
        "config.yaml",
        "overrides.yaml",
        "manifest.json",
        "summary.json",
        "log.txt",
    }
    for path in files:
        assert marker not in path.read_text(), path
        assert "other-secret" not in path.read_text(), path
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_run_folder_log_has_only_messages_from_within_logging(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    log = logging.getLogger("pamiq_exp.test")
    log.warning("before")
    with folder.logging():
        log.info("during %d", 7)
        log.debug("too detailed")
    log.warning("after")
    with folder.logging():
        log.warning("again")
    text = (tmp_path / "log.txt").read_text()
    assert "during 7" in text
    assert "again" in text
    assert not any(word in text for word in ("before", "after", "too detailed"))


@pytest.mark.parametrize("kind", ["below a file", "read-only"])
def test_run_folder_reports_a_folder_that_cannot_be_written(tmp_path: Path, kind: str) -> None:
    if kind == "below a file":
        (tmp_path / "file").write_text("")
        place = tmp_path / "file" / "run"
    else:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        (tmp_path / "locked").mkdir(mode=0o500)
        place = tmp_path / "locked" / "run"
    with pytest.raises(RunFolderError, match=r"cannot be written: .*paths.outputs"):
        RunFolder(place)


def test_write_atomically_keeps_the_old_file_when_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "old")

    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_run_folder_start_imports_no_heavy_packages(tmp_path: Path) -> None:
    program = (
        "import sys; from pamiq_exp.run_folder import RunFolder;"
        f"RunFolder({str(tmp_path)!r}).start(experiment_name='e', seed=0);"
        "print([name for name in ('torch', 'lightning', 'wandb', 'av', 'PIL') if name in sys.modules])"
    )
    repository = Path(__file__).resolve().parents[2]
    printed = subprocess.check_output([sys.executable, "-c", program], text=True, cwd=repository)
    assert printed.strip() == "[]"


def test_run_folder_finishes_on_a_full_disk_with_reserved_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.start(experiment_name="e", seed=0)
    reserved = sum(path.stat().st_size for path in tmp_path.glob(".reserve"))
    assert reserved > 100_000
    write = run_folder.write_atomically

    def full(path: Path, content: str | bytes) -> None:
        if (tmp_path / ".reserve").exists() or len(content) > reserved:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(run_folder, "write_atomically", full)
    folder.finish("finished", "max_steps", {"steps": 3})
    assert folder.read_manifest()["state"] == "finished"
    assert (tmp_path / "summary.json").exists()


def test_run_folder_shortens_a_long_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.start(experiment_name="e", seed=0)
    folder.finish("failed", "x" * 10_000_000)
    assert (tmp_path / "manifest.json").stat().st_size < 100_000
    assert "(10000000 characters" in folder.read_manifest()["reason"]


def test_run_folder_reports_an_invalid_manifest(tmp_path: Path) -> None:
    for content in (b'{"state": "runn', b"\xff\x00\x01", b"[1]", b"[" * 100_000, b""):
        (tmp_path / "manifest.json").write_bytes(content)
        assert "remove it" in error_of(RunFolderError, RunFolder(tmp_path).read_manifest), content[:20]


def test_run_folder_refuses_links_that_lead_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    names = ("log.txt", "metrics.jsonl", "media", "checkpoints", "wandb", "wandb/run-1", "media/a.png", "x/y/z")
    for index, name in enumerate(names):
        run = tmp_path / f"run_{index}"
        (run / name).parent.mkdir(parents=True)
        (run / name).symlink_to(outside / "file" if "." in name else outside)
        assert "would go elsewhere" in error_of(RunFolderError, RunFolder, run), name
        assert list(outside.iterdir()) == [], name


def test_run_folder_refuses_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(RunFolderError, match="is a folder, and a run would write to a file"):
        RunFolder(tmp_path)


def test_run_folder_accepts_links_made_by_wandb(tmp_path: Path) -> None:
    logs = tmp_path / "run" / "wandb" / "offline-run-20260101_000000-abc" / "logs"
    logs.mkdir(parents=True)
    (logs / "debug-core.log").symlink_to(tmp_path / "core.log")
    assert RunFolder(tmp_path / "run").read_manifest() == {}


def test_run_folder_refuses_a_log_with_a_hard_link(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.txt").hardlink_to(tmp_path / "mine")
    with pytest.raises(RunFolderError, match="hard link"):
        RunFolder(tmp_path / "run")
