"""`--resume`: one command line that starts a run, continues it, and does nothing once it has finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pamiq_exp.run_folder import RunFolder
from tests.conftest import Command


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture
def words(doll: list[str], tmp_path: Path) -> list[str]:
    return [*doll, f"hydra.run.dir={tmp_path}/run", "interaction.agent.stop_at=7", "launcher.checkpoint.every_steps=2"]


def test_run_resume_starts_continues_and_ends_with_the_same_command(
    command: Command, words: list[str], tmp_path: Path
) -> None:
    first = command(*words, "--resume")
    assert first.status == 143, first.err
    assert read(tmp_path / "run" / "manifest.json")["state"] == "stopped"
    stopped_at = read(tmp_path / "run" / "summary.json")["steps"]
    second = command(*words, "--resume")
    assert second.status in (0, 143), second.err
    assert "going on from step_" in second.err
    while read(tmp_path / "run" / "manifest.json")["state"] != "finished":
        assert command(*words, "--resume").status in (0, 143)
    assert read(tmp_path / "run" / "summary.json")["steps"] == 20 > stopped_at
    steps = [json.loads(line)["environment_step"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert steps == sorted(set(steps))
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    again = command(*words, "--resume")
    assert again.status == 0
    assert "has finished already" in again.err
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_run_resume_without_a_checkpoint_restarts_and_keeps_the_earlier_attempt(
    command: Command, words: list[str], tmp_path: Path
) -> None:
    words = [*words, "launcher.checkpoint.every_steps=null", "launcher.checkpoint.at_end=false"]
    assert command(*words, "--resume").status == 143
    second = command(*words, "--resume")
    assert second.status == 143
    assert "there is no checkpoint to resume from" in second.err
    assert read(tmp_path / "run" / "earlier" / "0" / "manifest.json")["state"] == "stopped"
    assert not read(tmp_path / "run" / "manifest.json")["sessions"]


def test_run_resume_refuses_a_folder_with_a_run_of_another_command(
    command: Command, words: list[str], tmp_path: Path
) -> None:
    assert command(*words, "--resume").status == 143
    other = command(*words, "seed=3", "--resume")
    assert other.status == 2
    assert "holds a run of another command" in other.err
    assert f"resume {tmp_path}/run" in other.err


def test_run_resume_without_a_run_folder_prints_the_fix(command: Command, doll: list[str]) -> None:
    outcome = command(*doll, "--resume")
    assert outcome.status == 2
    assert "hydra.run.dir=FOLDER" in outcome.err
    assert "python -m pamiq_exp resume RUN" in outcome.err


def test_run_and_resume_refuse_a_folder_in_use_by_another_run(
    command: Command, words: list[str], tmp_path: Path
) -> None:
    assert command(*words).status == 143
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    with RunFolder(tmp_path / "run").owned():
        for attempt in (words, [*words, "--resume"], ["resume", str(tmp_path / "run"), *words[2:4]]):
            outcome = command(*attempt)
            assert outcome.status == 2
            assert "in use by another run (process" in outcome.err
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before
