"""Where commands write: the home folder of the user, if there is one, and no files if nothing runs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_exp.jobs.paths import expand_home
from tests.conftest import Command

SMALL = ("experiment=minimum", "tracking=jsonl_only", "launcher=lockstep", "launcher.max_steps=20")


@pytest.mark.parametrize("key", ["paths.outputs", "hydra.run.dir"])
def test_run_and_export_expand_the_tilde_in_output_paths(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    outcome = command(*SMALL, f"{key}=~/x")
    assert outcome.status == 0, outcome.err
    assert list((tmp_path / "home" / "x").rglob("summary.json"))
    assert not (tmp_path / "~").exists()
    (run,) = {path.parent for path in tmp_path.rglob("summary.json")}
    exported = command("export", str(run), "--output=~/paper.yaml")
    assert exported.status == 0, exported.err
    assert (tmp_path / "home" / "paper.yaml").exists()


def test_expand_home_changes_only_keys_of_output_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        "hydra.sweep.dir=~/x": "hydra.sweep.dir=/home/u/x",
        "hydra.run.dir='~/a b'": "hydra.run.dir='/home/u/a b'",
        "paths.outputs=~": "paths.outputs=/home/u",
        "paths.outputs=a~/x": "paths.outputs=a~/x",
        "environment.path=~/x": "environment.path=~/x",
        "~hydra.run.dir": "~hydra.run.dir",
    }
    monkeypatch.setenv("HOME", "/home/u")
    assert {word: expand_home(word) for word in expected} == expected


def test_expand_home_quotes_a_home_with_special_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ü, v")
    assert expand_home("paths.outputs=~/x") == "paths.outputs='/home/ü, v/x'"


@pytest.mark.parametrize("words", [("check", "experiment=minimum"), ("experiment=minimum", "seed=x"), ("--help",)])
def test_cli_leaves_no_files_when_nothing_runs(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    command(*words)
    assert list(tmp_path.iterdir()) == []


def test_run_keeps_permissions_of_an_existing_folder_and_makes_new_ones_private(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o755)
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "mine" / "notes.txt").chmod(0o644)
    assert command(*SMALL, "hydra.run.dir=mine").status == 0
    modes = {name: stat.S_IMODE((tmp_path / "mine" / name).stat().st_mode) for name in (".", "notes.txt", "media")}
    assert modes == {".": 0o755, "notes.txt": 0o644, "media": 0o700}
    assert command(*SMALL, "hydra.run.dir=new").status == 0
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


HOMELESS = """
import os, pwd, sys
def no_such_user(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = no_such_user
import pamiq_exp.cli
run = ["experiment=minimum", "tracking=default", "launcher=lockstep", "launcher.max_steps=20", "hydra.run.dir=run"]
for words in (run, ["export", "run", "-o", "paper.yaml"], ["report", "run", "-o", "report"], ["list", "experiments"]):
    status = pamiq_exp.cli.main(words)
    assert status == 0, (words, status)
"""


@pytest.mark.slow
def test_cli_works_for_a_user_without_a_home_folder(tmp_path: Path) -> None:
    named = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report").is_dir()
