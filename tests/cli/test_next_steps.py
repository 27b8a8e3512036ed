"""The commands that a finished run prints as next steps work without changes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from pamiq_exp.jobs import next_steps
from tests.conftest import Command


def printed(out: str) -> list[list[str]]:
    _, _, after = out.partition("next:\n")
    return [shlex.split(line) for line in after.splitlines() if line.startswith("  ")]


def test_next_steps_printed_after_a_run_work_as_commands(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_steps, "find_spec", lambda name: None)  # the dashboard would not end by itself
    outcome = command("experiment=cartpole_ppo", "launcher.max_steps=300", "tracking=jsonl_only", "hydra.run.dir=a b")
    assert outcome.status == 0, outcome.err
    commands = printed(outcome.out)
    names = [words[words.index("pamiq_exp") + 1] for words in commands]
    assert names == ["report", "evaluate"]
    for words in commands:
        extra = ["--episodes", "1"] if "evaluate" in words else []
        outcome = command(*words[words.index("pamiq_exp") + 1 :], *extra)
        assert outcome.status == 0, f"{words}\n{outcome.out}\n{outcome.err}"


def test_next_steps_name_the_python_that_runs_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "outputs" / "run"
    run.mkdir(parents=True)
    monkeypatch.setattr(next_steps, "find_spec", lambda name: object())
    monkeypatch.setattr(next_steps.shutil, "which", lambda name: sys.executable)
    assert next_steps.next_steps(run, 10, [], can_be_evaluated=True) == [
        "python -m pamiq_exp dashboard outputs/run",
        "python -m pamiq_exp report outputs/run -o report",
    ]
    monkeypatch.setattr(next_steps.shutil, "which", lambda name: "/usr/bin/python")
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert next_steps.next_steps(run, 10, [], can_be_evaluated=True)[0].startswith(
        ".venv/bin/python -m pamiq_exp dashboard "
    )


def test_next_steps_of_a_real_time_environment_resume_instead_of_evaluate(
    command: Command, doll: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.config.parts.Room.has_episodes", False, raising=False)
    monkeypatch.setattr("tests.config.parts.Room.live", True, raising=False)
    outcome = command(*doll, "hydra.run.dir=run", "launcher.max_steps=12")
    assert outcome.status == 0, outcome.err
    last = printed(outcome.out)[-1]
    assert last[-4:] == ["resume", "run", "launcher.max_steps=24", "--allow=tests.config.parts"]
    assert command(*last[last.index("pamiq_exp") + 1 :]).status == 0


def test_next_steps_are_not_printed_for_jobs_of_a_sweep(command: Command, tmp_path: Path) -> None:
    words = ["-m", "experiment=minimum", "seed=0", "launcher.max_steps=20", "tracking=jsonl_only"]
    outcome = command(*words)
    assert outcome.status == 0, outcome.err
    (output,) = tmp_path.rglob("output.txt")
    assert output.read_text().strip()
    assert "next:" not in outcome.out + output.read_text()
