"""What there is to choose, read from files: config groups, their options, and the classes that a config may name.

Nothing is imported and nothing is composed, so that shell completion is fast.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pamiq_exp.files import read_text
from pamiq_exp.formatting import one_line
from pamiq_exp.run_folder import file_names

PACKAGE = Path(__file__).resolve().parent.parent
ROOMS = (
    "agents",
    "buffers",
    "environments",
    "interaction",
    "metrics",
    "models",
    "recording",
    "rewards",
    "tracking",
    "trainers",
)
"""Folders of this package whose public classes are parts of experiments."""

_NO_OPTIONS = {"_parents"}
_SENTENCE = re.compile(r"(.+?[.?!])(?=\s|$)")


@dataclass(frozen=True)
class Entry:
    """One thing to choose: an option of a group, or a class.

    Attributes:
        name: What to write.
        description: One line on it.
        path: The file that it stands in.
    """

    name: str
    description: str
    path: Path


def config_folders(own: str | None = None) -> list[Path]:
    """Return the shipped config folder and the user's own, if there is one."""
    shipped = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())
    return [shipped, *([Path(own)] if own else [])]


def groups(folders: Sequence[Path]) -> dict[str, list[Entry]]:
    """Return the options of every config group, by its name; both sorted."""
    found: dict[str, dict[str, Entry]] = {}
    for folder in folders:
        for path in _yaml_files(folder):
            group = path.parent.relative_to(folder).as_posix()
            if group != "." and not _NO_OPTIONS & set(group.split("/")):
                found.setdefault(group, {}).setdefault(path.stem, Entry(path.stem, describe_config(path), path))
    return {group: [options[name] for name in sorted(options)] for group, options in sorted(found.items())}


def classes(room: str) -> list[Entry]:
    """Return the public classes and functions of a room of this package, by the name that `_target_` takes."""
    init = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    public: list[str] = next(
        (ast.literal_eval(node.value) for node in init.body
         if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)),
        [],
    )  # fmt: skip
    homes = {
        alias.asname or alias.name: _module_path(node.module)
        for node in init.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }
    entries = (_class_entry(room, name, homes.get(name), set()) for name in public)
    return [entry for entry in entries if entry is not None]


def describe_config(path: Path) -> str:
    """Return the first sentence of the comment that a config file begins with; empty without one."""
    lines: list[str] = []
    for line in _text(path).splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#"):
            break
        if text.startswith("@package"):
            continue
        if not text and lines:
            break
        if text:
            lines.append(text)
    return first_sentence(" ".join(lines))


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, as one line that cannot steer a terminal."""
    match = _SENTENCE.match(text)
    return one_line(match[1] if match else text)


def fills(options: Sequence[Entry], key: str) -> bool:
    """Whether the files of a group set the key at the top of the config."""
    return any(re.search(rf"^{key}:", _text(option.path), re.MULTILINE) for option in options)


def _text(path: Path) -> str:
    """Return the text of a config file; nothing of one that cannot be read. A run or a check reports it."""
    try:
        return read_text(path)
    except OSError:
        return ""


def _yaml_files(folder: Path) -> Iterator[Path]:
    for name, below, files in os.walk(folder):
        below[:] = sorted(each for each in below if not each.startswith(".") and each != "outputs")
        if file_names.MANIFEST in files:
            below.clear()
            continue
        yield from (Path(name) / file for file in sorted(files) if file.endswith(".yaml"))


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _class_entry(room: str, name: str, path: Path | None, seen: set[Path]) -> Entry | None:
    """Find a name where it is defined, following imports; None for what is neither class nor function."""
    if path is None or path in seen:
        return None
    for node in _parsed(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            doc = ast.get_docstring(node) or ""
            return Entry(f"pamiq_exp.{room}.{name}", first_sentence(" ".join(doc.split("\n\n")[0].split())), path)
        if isinstance(node, ast.ImportFrom) and node.module and any(each.name == name for each in node.names):
            return _class_entry(room, name, _module_path(node.module), seen | {path})
    return None


def _module_path(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != "pamiq_exp":
        return None
    base = PACKAGE.joinpath(*parts[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
