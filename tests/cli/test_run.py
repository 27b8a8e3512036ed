"""Runs and sweeps from the command line, each with its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Command


def run_folders(below: Path) -> list[Path]:
    return sorted(path.parent for path in below.rglob("manifest.json") if "checkpoints" not in path.parts)


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_run_writes_a_folder_with_config_overrides_manifest_and_summary(
    command: Command, doll: list[str], tmp_path: Path
) -> None:
    outcome = command(*doll, "seed=5", "launcher.max_steps=12")
    assert outcome.status == 0, outcome.err
    (folder,) = run_folders(tmp_path / "outputs")
    assert folder.parent == tmp_path / "outputs" / "doll"
    assert str(folder) in outcome.out
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["spaces"]["num_envs"] == 2
    assert config["launcher"]["max_steps"] == 12
    assert "hydra" not in config
    assert yaml.safe_load((folder / "overrides.yaml").read_text()) == [
        "experiment=doll",
        "seed=5",
        "launcher.max_steps=12",
    ]
    manifest = read(folder, "manifest.json")
    assert (manifest["state"], manifest["seed"], manifest["experiment_name"]) == ("finished", 5, "doll")
    assert manifest["allowed"] == ["tests.config.parts"]
    assert manifest["derived_seeds"]["interaction.agent"] == config["interaction"]["agent"]["seed"]
    summary = read(folder, "summary.json")
    assert (summary["steps"], summary["turns_counted"]) == (12, 6.0)
    assert not (folder / ".hydra").exists()


def test_run_creates_a_new_folder_each_time(command: Command, doll: list[str], tmp_path: Path) -> None:
    assert command(*doll).status == command(*doll).status == 0
    assert len(run_folders(tmp_path / "outputs")) == 2


def test_run_refuses_a_folder_that_holds_a_run(command: Command, doll: list[str], tmp_path: Path) -> None:
    words = [*doll, f"hydra.run.dir={tmp_path}/here"]
    assert command(*words).status == 0
    before = (tmp_path / "here" / "manifest.json").read_text()
    outcome = command(*words)
    assert outcome.status == 2
    assert "holds a run already" in outcome.err
    assert (tmp_path / "here" / "manifest.json").read_text() == before


def test_run_of_a_sweep_continues_after_a_job_is_stopped(command: Command, doll: list[str], tmp_path: Path) -> None:
    outcome = command("-m", *doll, "launcher.max_steps=40", "interaction.agent.stop_at=5,null")
    assert outcome.status == 1
    folders = run_folders(tmp_path / "outputs" / "sweeps")
    assert [read(folder, "manifest.json")["state"] for folder in folders] == ["stopped", "finished"]
    assert read(folders[0], "manifest.json")["reason"] == "SIGTERM"


def test_run_prints_a_short_error_and_logs_the_full_traceback(
    command: Command, doll: list[str], tmp_path: Path
) -> None:
    outcome = command(*doll, "interaction.agent.fail_at=8")  # after the dry run of the check
    (folder,) = run_folders(tmp_path / "outputs")
    assert outcome.status == 1
    assert "RuntimeError: the doll fell over" in outcome.err
    assert "thread" in outcome.err
    assert "Traceback" not in outcome.err
    assert str(folder / "log.txt") in outcome.err
    log = (folder / "log.txt").read_text()
    assert "Traceback" in log
    assert "in step" in log
    assert read(folder, "manifest.json")["state"] == "failed"


def test_run_reports_a_part_that_cannot_be_built_before_creating_a_folder(
    command: Command, doll: list[str], tmp_path: Path
) -> None:
    outcome = command(*doll, "environment.size=-1")
    assert outcome.status == 2
    assert "  environment: " in outcome.err
    assert "Traceback" not in outcome.err
    assert run_folders(tmp_path) == []
