"""`diff`: what differs between two runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Outcome

CARTPOLE = (
    "experiment=cartpole_ppo",
    "tracking=jsonl_only",
    "launcher.max_steps=600",
    "trainers.policy.epochs=1",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in seed and learning rate, made once."""
    import pamiq_exp.cli

    folder = tmp_path_factory.mktemp("finished")
    for name, words in (("one", ("seed=0",)), ("two", ("seed=1", "models.policy.learning_rate=0.002"))):
        assert pamiq_exp.cli.main([*CARTPOLE, *words, f"hydra.run.dir={folder / name}"]) == 0
    return folder


@pytest.fixture
def folders(finished: Path, tmp_path: Path) -> list[Path]:
    """Copies of them."""
    return [Path(shutil.copytree(finished / name, tmp_path / name)) for name in ("one", "two")]


def test_diff_shows_what_differs_between_two_runs(
    command, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "120")
    manifest = json.loads((folders[1] / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    manifest["code"] = {"commit": "f" * 40, "dirty": False, "untracked": []}
    (folders[1] / "manifest.json").write_text(json.dumps(manifest))
    outcome: Outcome = command("diff", *map(str, folders))
    assert outcome.status == 0, outcome.err
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "seed=1 - typed" in lines
    assert "seed 0 1" in lines
    assert "models.policy.learning_rate 0.001 0.002" in lines
    assert any(line.startswith("torch 2.") and line.endswith(" 1.0") for line in lines)
    assert any(line.startswith("commit ") and line.endswith("ffffffffffff") for line in lines)
    assert any(line.startswith("return_mean ") for line in lines)
    assert any(line.startswith("final parameters ") for line in lines)
    assert "trainers.policy.seed" not in outcome.out, "it follows from the root seed"
    assert max(map(len, outcome.out.splitlines())) <= 120


def test_diff_of_a_run_with_itself_shows_no_difference(command, folders: list[Path]) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("diff", str(folders[0]), str(folders[0]))
    assert "no difference in overrides, config, code, versions, machine, results" in " ".join(outcome.out.split())


def test_diff_removes_terminal_escapes_from_names_in_files(command, folders: list[Path]) -> None:  # type: ignore[no-untyped-def]
    summary = json.loads((folders[0] / "summary.json").read_text())
    (folders[0] / "summary.json").write_text(json.dumps(summary | {"\x1b[2Jevil [bold]": 1}))
    outcome: Outcome = command("diff", *map(str, folders))
    assert "\x1b[2J" not in outcome.out
    assert "evil [bold]" in outcome.out


def test_diff_refuses_folders_without_a_run(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("diff", str(tmp_path), str(tmp_path / "nowhere"))
    assert outcome.status == 2
    assert "no run in" in outcome.err
