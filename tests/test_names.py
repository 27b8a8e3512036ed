"""Names of tests begin with what they test: a class, a function, a module, a package or a command."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pamiq_exp.cli import command_names

TESTS = Path(__file__).resolve().parent
OURS = ("pamiq_exp", "tests", "experiments")


def snake_case(name: str) -> str:
    """`ReplayBuffer` -> `replay_buffer`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower().replace("-", "_").strip("_")


def units(path: Path, tree: ast.Module) -> set[str]:
    """Return what the tests of a file may test: its own name, its folders, what it imports of the package, commands."""
    stem = path.stem.removeprefix("test_")
    found = {stem, *stem.split("_and_"), *path.relative_to(TESTS).parts[:-1], *map(snake_case, command_names())}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "pamiq_exp",
            "tests",
            "experiments",
        ):
            found |= {snake_case(alias.asname or alias.name) for alias in node.names}
            found.add(str(node.module).split(".")[-1])
    return found | {name.removesuffix("s") for name in found}


def test_names_begin_with_the_unit() -> None:
    wrong = []
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        known = units(path, tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                words = node.name.removeprefix("test_").split("_")
                if not any("_".join(words[:count]) in known for count in range(1, len(words) + 1)):
                    wrong.append(f"{path.relative_to(TESTS)}: {node.name}")
    assert not wrong, f"{len(wrong)} names begin with no unit:\n" + "\n".join(wrong)
