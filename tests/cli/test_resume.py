"""From which checkpoint a run goes on, and who decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pamiq_exp.runtime import list_checkpoints
from tests.conftest import Outcome

ALLOW = ("--allow", "tests.config.parts")


@pytest.fixture
def folder(command, doll: list[str], tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """A finished run with checkpoints at steps 10 and 20."""
    outcome: Outcome = command(*doll, "launcher.checkpoint.every_steps=10")
    assert outcome.status == 0, outcome.err
    (summary,) = (tmp_path / "outputs").rglob("summary.json")
    return summary.parent


def damage(checkpoint: Path) -> None:
    state = checkpoint / "state.json"
    state.write_bytes(state.read_bytes()[:-3] + b"???")


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_taken_only_if_asked(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    damage(list_checkpoints(folder / "checkpoints")[-1])
    refused: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30")
    assert refused.status == 2
    assert "state.json is not what was written" in refused.err
    assert "resume.checkpoint=step_000000010" in refused.err
    assert json.loads((folder / "summary.json").read_text())["steps"] == 20
    asked: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30", "resume.checkpoint=step_000000010")
    assert asked.status == 0, asked.err
    assert "from step_000000010" in asked.err
    assert json.loads((folder / "summary.json").read_text())["steps"] == 30


def test_a_checkpoint_that_does_not_exist_is_told_with_the_nearest(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("resume", str(folder), *ALLOW, "resume.checkpoint=step_000000011")
    assert outcome.status == 2
    assert "step_000000010" in outcome.err


def test_a_word_that_resume_does_not_know_is_refused(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("resume", str(folder), *ALLOW, "resume.partial=maybe")
    assert outcome.status == 2
    assert "resume.partial=true" in outcome.err


def test_parts_that_are_new_start_anew_only_if_asked(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    config = folder / "config.yaml"
    extra = "metrics:\n  episodes:\n    _target_: pamiq_exp.metrics.Episodes\n"
    config.write_text(config.read_text().replace("metrics:\n", extra))
    refused: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30")
    assert refused.status == 1
    assert "interaction part observers.episodes is not in the checkpoint" in refused.err
    assert "Traceback" not in refused.err
    asked: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30", "resume.partial=true")
    assert asked.status == 0, asked.err
