"""docs/reference/fidelity.md has a row for each method that is named after a paper, and names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from pamiq_exp.cli._catalogue import config_folders, groups
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reference" / "fidelity.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")][
    1:
]
VARIANTS = {
    "encoder": {"none", "pixels", "plain_features", "icm", "random_features", "ijepa_or_random_features"},
    "policy": set(),
}
"""Options of encoders that are no published method, or that stand with their reward."""


def named() -> set[str]:
    """All words in backticks of the page, without the name of their group."""
    return {word.partition("=")[2] or word for word in re.findall(r"`([\w=]+)`", PAGE)}


def test_fidelity_every_row_states_how_the_method_differs_and_names_a_test() -> None:
    assert len(ROWS) >= 25
    for row in ROWS:
        assert len(row) == 6, row[0]
        method, paper, what, differs, _, tests = row
        assert method, paper
        assert what, method
        assert differs, method
        assert "`tests/" in tests, method


def test_fidelity_every_named_test_exists() -> None:
    found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert found
    for path, name in found:
        tree = ast.parse((REPOSITORY / path).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


@pytest.mark.parametrize("group", ["reward", "core"])
def test_fidelity_every_option_is_on_the_page(group: str) -> None:
    options = {option.name for option in groups(config_folders())[group]}
    assert options - named() - {"count_oracle", "mask_oracle"} == set()


@pytest.mark.parametrize("group", ["encoder", "policy"])
def test_fidelity_every_method_of_a_group_is_on_the_page(group: str) -> None:
    options = {option.name for option in groups(config_folders())[group]} - VARIANTS[group]
    methods = {name for name in options if not any(name != other and name.startswith(f"{other}_") for other in options)}
    assert methods - named() == set()
