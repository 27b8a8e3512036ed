"""Who may import whom: the table of the house, kept by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "pamiq_exp"

FOUNDATION = {
    "baselines", "compiling", "component", "current_folder", "files", "formatting", "lazy", "media", "scan",
    "seeding", "spaces", "streams", "trust",
}  # fmt: skip
"""Modules and packages that every room may import."""

ALLOWED = {
    "cli": {"config", "runtime", "analysis", "dashboard", "tracking"},
    "dashboard": {"analysis", "tracking"},
    "config": {"runtime"},
    "runtime": {"interaction", "buffers", "trainers", "tracking"},
    "trainers": {"buffers"},
    "agents": {"interaction", "buffers", "rewards", "models"},
    "rewards": {"models"},
    "environments": {"interaction"},
    "metrics": {"interaction", "tracking"},
    "analysis": set(),
    "interaction": set(),
    "buffers": set(),
    "models": set(),
    "tracking": set(),
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if len(path.relative_to(PACKAGE).parts) > 1)


def imported_rooms(source: str) -> Iterator[tuple[str, int]]:
    """Yield `(room, line)` of every import of this package, also below TYPE_CHECKING and inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                if first == "pamiq_exp" and rest:
                    yield rest[0], node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}: write the address out"
            first, *rest = (node.module or "").split(".")
            if first == "pamiq_exp":
                yield from ((name, node.lineno) for name in (rest[:1] or [alias.name for alias in node.names]))


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import pamiq_exp.runtime.clock
from pamiq_exp import buffers, __version__
from pamiq_exp.models.nn.layers import Mlp
def late():
    from pamiq_exp.tracking import Tracker
"""
    assert {room for room, _ in imported_rooms(source)} == {"runtime", "buffers", "__version__", "models", "tracking"}


def test_every_room_has_a_place_in_the_table() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - FOUNDATION
    assert rooms <= set(ALLOWED), f"add {rooms - set(ALLOWED)} to the table"


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_a_room_imports_only_what_lies_to_its_right(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    allowed = ALLOWED.get(room, set()) | FOUNDATION | {room, "__version__"}
    forbidden = [
        f"{path}:{line} imports pamiq_exp.{other}"
        for other, line in imported_rooms(path.read_text())
        if other not in allowed
    ]
    assert not forbidden, "\n".join(forbidden)


@pytest.mark.parametrize("name", sorted(FOUNDATION))
def test_the_foundation_rests_on_nothing_else(name: str) -> None:
    sources = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").exists() else sorted((PACKAGE / name).glob("*.py"))
    assert sources, f"neither {name}.py nor {name}/ is in the package"
    rooms = {room for source in sources for room, _ in imported_rooms(source.read_text())}
    assert rooms <= FOUNDATION


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_a_room_lists_its_public_names(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
    lists = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    ]
    assert len(lists) == 1, f"pamiq_exp/{room}/__init__.py needs one __all__"
    names = ast.literal_eval(lists[0])
    assert names == sorted(set(names)), "sorted, each once"
