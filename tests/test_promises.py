"""The tests that docs/reference/promises.md names exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reference" / "promises.md").read_text()
OTHER_PEOPLE = "## Files from other people"
REQUIREMENTS = [
    *(f"{letter}{number}" for letter, count in {"V": 8, "L": 8, "S": 6, "C": 7, "W": 7}.items()
      for number in range(1, count + 1)),
    "7",
]  # fmt: skip


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def rows(text: str) -> list[tuple[str, str]]:
    """The first two columns of every table of promises."""
    table = False
    found = []
    for line in text.splitlines():
        table = line.startswith("| what must hold") or (table and line.startswith("|"))
        if table and not line.startswith(("| what must hold", "|---")):
            promise, kept_by = (cell.strip() for cell in line.strip("|").split(" | "))
            found.append((promise, kept_by))
    return found


def test_promises_name_only_tests_that_exist() -> None:
    named = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
    assert len(named) > 100
    missing = [f"{path}::{name}" for path, name in named if name not in functions(REPOSITORY / path)]
    assert not missing


def test_promises_rows_state_what_keeps_them() -> None:
    for promise, kept_by in rows(PAGE):
        assert promise
        assert len(kept_by) > 20, f"no test or reason is given for: {promise}"


def test_promises_have_a_row_for_every_security_requirement() -> None:
    assert [promise.split()[0] for promise, _ in rows(PAGE.partition(OTHER_PEOPLE)[2])] == REQUIREMENTS
