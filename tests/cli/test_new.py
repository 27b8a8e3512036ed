"""`new`: a project that runs without changes and equals the one of the tutorial."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_exp.cli.new import TEMPLATE_NAME, template_files, template_folder
from tests.conftest import REPOSITORY, Command


@pytest.fixture(autouse=True)
def forget_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the project are imported anew in each test."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "ring_study"]:
        monkeypatch.delitem(sys.modules, name)


def test_new_project_runs_with_the_printed_commands(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = command("new", "ring_study")
    assert outcome.status == 0, outcome.err
    change_folder, run = [line.split() for line in outcome.out.splitlines() if line.startswith("    ")]
    assert change_folder == ["cd", "ring_study"]
    assert run[:3] == ["python", "-m", "pamiq_exp"]
    monkeypatch.chdir(tmp_path / "ring_study")
    outcome = command(*run[3:], "launcher.max_steps=300", "tracking=jsonl_only")
    assert outcome.status == 0, outcome.err
    assert list(Path("outputs/ring").glob("*/summary.json"))
    written = {"outputs", "__pycache__"}
    texts = [path.read_text() for path in Path().rglob("*") if path.is_file() and not written & set(path.parts)]
    assert not [text for text in texts if TEMPLATE_NAME in text]


def test_new_project_passes_its_own_tests(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("new", "ring_study").status == 0
    monkeypatch.chdir(tmp_path / "ring_study")
    monkeypatch.syspath_prepend(str(tmp_path / "ring_study"))
    tests: dict[str, object] = {"__file__": str(tmp_path / "ring_study" / "tests" / "test_ring_study.py")}
    exec(compile(Path(str(tests["__file__"])).read_text(), str(tests["__file__"]), "exec"), tests)
    named = [each for name, each in tests.items() if name.startswith("test_")]
    assert len(named) == 2
    for test in named:
        assert callable(test)
        test()


def test_new_refuses_an_unusable_name_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for name, message in (
        ("ring-study", "is no name of a Python package"),
        ("import", "is no name of a Python package"),
        ("json", "is the name of another package"),
        ("pamiq_exp", "is the name of another package"),
        ("taken", "exists already"),
    ):
        outcome = command("new", name)
        assert outcome.status == 2, name
        assert message in outcome.err
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["taken"]


def test_new_template_matches_the_files_in_the_tutorial() -> None:
    page = (REPOSITORY / "docs" / "tutorials" / "your_own_parts.md").read_text()
    files = dict(re.findall(r"<!-- file: (\S+) -->\n```\w*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert len(files) > 5
    assert {name: (template_folder() / name).read_text() for name in files} == files


@pytest.mark.slow
def test_new_project_from_an_installed_wheel_runs_and_passes_its_tests(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*words: str, folder: Path) -> str:
        result = subprocess.run(
            [sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    out = run("pamiq_exp", "new", "ring_study", folder=work)
    words = out.splitlines()[-1].split()
    assert "finished" in run(*words[2:], "launcher.max_steps=300", folder=work / "ring_study")
    assert "2 passed" in run("pytest", "-q", folder=work / "ring_study")


def test_new_template_is_listed_in_the_package_build_settings() -> None:
    settings = (REPOSITORY / "pyproject.toml").read_text()
    assert 'project_template = "pamiq_exp/project_template"' in settings
    assert settings.count('"project_template"') == 2
    assert len(template_files()) > 10
