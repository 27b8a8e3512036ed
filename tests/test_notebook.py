"""The notebook holds the Python of the first tutorial, cell by cell, and runs from top to bottom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.test_docs import blocks

FOLDER = REPOSITORY / "docs" / "tutorials"
NOTEBOOK = json.loads((FOLDER / "first_script.ipynb").read_text())


def code_cells() -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_notebook_matches_the_tutorial_and_has_no_outputs() -> None:
    page = (FOLDER / "first_experiment.md").read_text()
    scripts = [block for block in blocks(page) if block.language == "python" and not block.after("file:")]
    assert code_cells() == [script.text.rstrip("\n") for script in scripts]
    texts = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown"]
    assert all(text in page for text in texts)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in NOTEBOOK["cells"])
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)


def test_notebook_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in code_cells():
        exec(compile(cell, "first_script.ipynb", "exec"), names)
    assert "300 steps," in capsys.readouterr().out
