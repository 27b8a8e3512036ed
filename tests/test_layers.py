"""Packages import only what the table of docs/architecture.md allows, and there are no circular imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pamiq_exp"

FOUNDATION = {
    "_version",
    "baselines",
    "compiling",
    "component",
    "current_folder",
    "every",
    "extras",
    "files",
    "formatting",
    "lazy",
    "machine",
    "media",
    "nonfinite",
    "option_files",
    "plasticity",
    "publishable",
    "pytrees",
    "ray_cluster",
    "remote_errors",
    "scan",
    "seeding",
    "shared_memory",
    "spaces",
    "streams",
    "trust",
    "yaml_nodes",
}
"""Modules and packages that every package may import."""

ALLOWED = {
    "cli": {"jobs", "sweeps", "config", "runtime", "analysis", "dashboard", "run_folder", "tracking", "recording"},
    "dashboard": {"jobs", "sweeps", "analysis", "run_folder"},
    "sweeps": {"jobs", "config", "run_folder"},
    "jobs": {"config", "runtime", "tracking", "run_folder"},
    "config": {"runtime", "run_folder"},
    "runtime": {"interaction", "buffers", "trainers", "lightning_loop", "tracking", "run_folder"},
    "trainers": {"buffers", "lightning_loop"},
    "lightning_loop": set(),
    "agents": {"interaction", "recording", "buffers", "rewards", "models"},
    "rewards": {"models"},
    "environments": {"interaction", "recording"},
    "recording": {"interaction", "tracking"},
    "metrics": {"interaction", "tracking"},
    "tracking": {"run_folder"},
    "analysis": {"run_folder"},
    "interaction": set(),
    "buffers": set(),
    "models": set(),
    "run_folder": set(),
}

FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in FILES if len(path.relative_to(PACKAGE).parts) > 1]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in FILES}


def imports(source: str, *, at_import_time: bool = False) -> Iterator[tuple[str, int]]:
    """Yield `(module, line)` of every import of this package: the module of each imported name, if it is one.

    With `at_import_time` only those that run when the file is imported: outside functions and TYPE_CHECKING.
    """
    for node in _statements(ast.parse(source), at_import_time):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name.startswith("pamiq_exp."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}: write the whole name"
            if (node.module or "").split(".")[0] == "pamiq_exp":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield (inner if inner in NAMES or node.module == "pamiq_exp" else str(node.module)), node.lineno


def _statements(tree: ast.AST, at_import_time: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        skipped = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        )
        if at_import_time and skipped:
            continue
        yield node
        yield from _statements(node, at_import_time)


def package(module: str) -> str:
    return module.split(".")[1]


def test_layers_imports_are_found_in_every_form() -> None:
    source = """
import pamiq_exp.runtime.clock
from pamiq_exp import buffers, __version__
from pamiq_exp.models.layers import Mlp
def late():
    from pamiq_exp.tracking import Tracker
"""
    assert {package(name) for name, _ in imports(source)} == {
        "runtime", "buffers", "__version__", "models", "tracking",
    }  # fmt: skip
    assert "pamiq_exp.tracking" not in {name for name, _ in imports(source, at_import_time=True)}


def test_layers_table_in_the_documentation_matches() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ?([\w, ]*?) ?\|$", page, re.MULTILINE)
    assert {name: {other for other in imported.split(", ") if other} for name, imported in rows} == ALLOWED


def test_layers_table_lists_every_package() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - FOUNDATION
    assert packages == set(ALLOWED)


def test_layers_packages_import_only_what_the_table_allows() -> None:
    forbidden = [
        f"{path}:{line} imports {name}"
        for path in MODULES
        for own in [package(module_name(path))]
        for name, line in imports(path.read_text())
        if package(name) not in ALLOWED.get(own, set()) | FOUNDATION | {own, "__version__"}
    ]
    assert not forbidden, "\n".join(forbidden)


def test_layers_foundation_imports_only_itself() -> None:
    sources = {name: [PACKAGE / f"{name}.py", *(PACKAGE / name).glob("*.py")] for name in FOUNDATION}
    sources = {name: [path for path in paths if path.exists()] for name, paths in sources.items()}
    assert not [name for name, paths in sources.items() if not paths]
    forbidden = [
        f"{path}:{line} imports {module}"
        for paths in sources.values()
        for path in paths
        for module, line in imports(path.read_text())
        if package(module) not in FOUNDATION
    ]
    assert not forbidden, "\n".join(forbidden)


def test_layers_have_no_circular_imports() -> None:
    graph = {
        name: {
            other
            for other, _ in imports(path.read_text())
            if other in NAMES and other != name and NAMES[other].name != "__init__.py"
        }
        for name, path in NAMES.items()
        if path.name != "__init__.py"
    }
    found = circles(graph)
    assert not found, "\n".join(" -> ".join(circle) for circle in found)


def test_layers_circular_imports_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of files that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for other in graph.get(waiting.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {tuple(sorted(b for b in graph if b in reach[a] and a in reach[b])) for a in graph if a in reach[a]}
    return [list(group) for group in sorted(groups)]


def test_layers_private_modules_are_imported_only_in_their_package() -> None:
    forbidden = [
        f"{path}:{line} imports {name}"
        for path in MODULES
        for name, line in imports(path.read_text())
        if any(part.startswith("_") for part in name.split(".")[2:]) and package(name) != package(module_name(path))
    ]
    assert not forbidden, "\n".join(forbidden)


def test_layers_private_modules_of_hydra_are_imported_in_one_file() -> None:
    places = {
        str(path.relative_to(ROOT))
        for path in [*FILES, *(ROOT / "hydra_plugins").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] in ("hydra", "omegaconf")
        and any(part.startswith("_") for part in str(node.module).split("."))
    }
    assert places == {"pamiq_exp/config/hydra_internals.py"}


def test_layers_package_lists_its_public_names_sorted() -> None:
    for path in sorted(PACKAGE.glob("*/__init__.py")):
        lists = [
            node.value
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and any(
                isinstance(t, ast.Name) and t.id == "__all__"
                for t in (node.targets if isinstance(node, ast.Assign) else [node.target])
            )
        ]
        assert len(lists) == 1, f"{path.relative_to(ROOT)} needs one __all__"
        names = ast.literal_eval(lists[0])  # type: ignore[arg-type]
        assert names == sorted(set(names)), f"{path.relative_to(ROOT)}: sort __all__, each name once"
