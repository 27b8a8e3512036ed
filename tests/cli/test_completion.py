"""Completion of command lines in a shell."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_exp.cli import command_names
from pamiq_exp.cli.completion import SCRIPTS, candidates
from tests.conftest import REPOSITORY, Outcome


def offered(*words: str) -> list[str]:
    return [word for word, _ in candidates(words)]


def test_completion_offers_commands_and_groups_as_first_word() -> None:
    assert set(command_names()) <= set(offered(""))
    assert {"experiment=", "world="} <= set(offered(""))
    assert offered("rep") == ["replay", "report", "reproduce"]
    assert offered("exper") == ["experiment="]


def test_completion_offers_options_of_a_group_also_in_a_list() -> None:
    assert offered("experiment=minimu") == ["experiment=minimum"]
    assert offered("experiment=minimum", "world=cl") == ["world=clean"]
    assert offered("-m", "experiment=minimum", "world=food,cl") == ["world=food,clean"]
    assert offered("check", "launcher=lo") == ["launcher=lockstep"]


def test_completion_offers_keys_of_the_typed_config() -> None:
    assert "launcher.max_steps=" in offered("experiment=minimum", "launcher.")
    assert "launcher.checkpoint." in offered("experiment=minimum", "launcher.ch")
    assert offered("experiment=cartpole_ppo", "models.policy.learning") == [
        "models.policy.learning_rate=",
        "models.policy.learning_rate_schedule=",
    ]
    assert offered("experiment=minimum", "models.policy.learning") == []
    assert offered("experiment=nonsense", "launcher.") == []


def test_completion_offers_nothing_where_a_file_is_expected() -> None:
    for words in (("report", ""), ("diff", "out"), ("experiment=minimum", "--config-dir", ""), ("export", "-o", "")):
        assert offered(*words) == []


def test_completion_offers_flags_and_arguments_of_commands() -> None:
    assert offered("--conf") == ["--config-dir", "--config-name"]
    assert offered("list", "rew") == ["reward_streams", "rewards"]
    assert "resume.partial=true" in offered("resume", "outputs/run", "resume")
    assert "launcher=lockstep" in offered("resume", "outputs/run", "launcher=l")
    assert offered("completion", "z") == ["zsh"]


def test_completion_offers_options_of_the_users_config_folder(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 1\n")
    assert offered("--config-dir", str(tmp_path), "experiment=mine") == ["experiment=mine"]


def test_completion_prints_each_script_and_refuses_an_unknown_shell(command) -> None:  # type: ignore[no-untyped-def]
    for shell, script in SCRIPTS.items():
        assert command("completion", shell).out == script
    outcome: Outcome = command("completion", "powershell")
    assert outcome.status == 2
    assert "bash|zsh|fish" in outcome.err


def shell_environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(tmp_path),
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python -m pamiq_exp exper", ["experiment="]),
        ("python -m pamiq_exp experiment=minimu", ["minimum"]),
        ("python -m pamiq_exp -m experiment=minimum world=food,cl", ["food,clean"]),
        ("python -m pamiq_exp resu", ["resume"]),
        ("python other.py exper", []),
    ],
)
def test_completion_in_bash_completes_the_word_at_the_cursor(line: str, expected: list[str], tmp_path: Path) -> None:
    code = f"""
        source <({sys.executable} -m pamiq_exp completion bash)
        COMP_LINE='{line}' COMP_POINT={len(line)}
        _pamiq_exp
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(
        ["bash", "-c", code], capture_output=True, text=True, env=shell_environment(tmp_path), cwd=tmp_path, check=True
    )
    assert result.stdout.split() == expected, result.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_script_has_valid_syntax(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(SCRIPTS[shell])
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_completion_takes_less_than_a_quarter_second_of_cpu_time(tmp_path: Path) -> None:
    """CPU time does not depend on other programs on the machine."""
    durations = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "pamiq_exp", "completion", "words", "--", "experiment="],
            check=True,
            capture_output=True,
            cwd=tmp_path,
            env=shell_environment(tmp_path),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        durations.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(durations) < 0.25
