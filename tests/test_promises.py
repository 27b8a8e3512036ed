"""The tests that docs/promises.md names exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "promises.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 50
    missing = [f"{path}::{name}" for path, name in NAMED if name not in functions(REPOSITORY / path)]
    assert not missing


def test_every_row_names_a_test_or_gives_a_reason() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    for row in rows:
        promise, kept_by = (cell.strip() for cell in row.strip("|").split(" | "))
        assert promise
        assert len(kept_by) > 20, f"nothing keeps the promise: {promise}"
