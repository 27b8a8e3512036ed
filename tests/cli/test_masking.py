"""Secrets stay out of all files of a run, including those of Hydra."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Command

SECRET = "secret-0123456789"


def files_with_the_secret(folder: Path) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    return [str(path.relative_to(folder)) for path in found] + [
        str(path) for path in folder.rglob("*") if SECRET in path.name
    ]


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0"]], ids=["run", "sweep"])
def test_masking_keeps_a_secret_out_of_all_files_of_runs_and_sweeps(
    command: Command, doll: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep: list[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRET)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    words = ["hydra.output_subdir=.hydra", f"hydra.job.name={SECRET}"]
    outcome = command(*sweep[:1], *doll, *words, "tracking=jsonl_only", *sweep[1:])
    assert outcome.status == 0, outcome.err
    assert list(tmp_path.rglob("multirun.yaml" if sweep else ".hydra/overrides.yaml"))
    assert files_with_the_secret(tmp_path) == []
    assert SECRET not in outcome.out + outcome.err


def test_masking_removes_a_secret_from_an_error_message(
    command: Command, doll: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, key in (("MY_PASSWORD", "launcher.device"), ("MY_API_KEY", "environment.num_envs")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, SECRET)
            outcome = command(*doll, f"{key}={SECRET}")
        assert outcome.status == 2
        assert key in outcome.err
        assert SECRET not in outcome.out + outcome.err
        assert files_with_the_secret(tmp_path) == []


def test_run_refuses_a_masked_secret_as_a_value(command: Command, doll: list[str]) -> None:
    for value in ("***", "sk-***", "/home/***/x"):
        outcome = command(*doll, f"+shared.key='{value}'")
        assert outcome.status == 2, value
        assert "shared.key: holds ***, the mask of a secret" in outcome.err
        assert "give it again: shared.key=..." in outcome.err


def test_export_reports_masked_values_and_reproduce_refuses_them(
    command: Command, doll: list[str], tmp_path: Path
) -> None:
    assert command(*doll, "hydra.run.dir=run").status == 0
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("size: 3", "size: '***'"), encoding="utf-8")
    exported = command("export", "run", "-o", "paper.yaml")
    assert exported.status == 0, exported.err
    assert "secrets are masked; give them to `reproduce` as key=value: environment.size" in exported.err
    refused = command("reproduce", "paper.yaml", "--allow", "tests.config.parts")
    assert refused.status == 2
    assert "environment.size: holds ***" in refused.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run", ["+environment.password={}"]),
        ("check", ["+environment.password={}"]),
        ("check", ["environmemt.password={}"]),
        ("run", ["+environment.password=[{}"]),
        ("run", ["+environment.api_key=[{}]", "+environment.auth_token={}"]),
        ("run", ["+environment.password={}", "--cfg", "job"]),
        ("run", ["+environment.password={}", "--cfg", "all"]),
        ("run", ["+environment.password={}", "--info", "config"]),
    ],
)
def test_masking_hides_passwords_in_errors_and_printed_configs(
    command: Command, doll: list[str], name: str, words: list[str]
) -> None:
    for password in ("abc", "a b"):
        quoted = f"'{password}'" if " " in password else password
        outcome = command(*([] if name == "run" else [name]), *doll, *(word.format(quoted) for word in words))
        printed = outcome.out + outcome.err
        assert "***" in printed
        assert not re.search(rf"(?<!\w){password}(?!\w)", printed), printed
