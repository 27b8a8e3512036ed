"""What there is to choose, read from files: config groups, their options, and the classes that a config may name.

Nothing is imported and nothing is composed, so that shell completion is fast.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pamiq_exp.formatting import one_line
from pamiq_exp.option_files import config_folder, places, text_in
from pamiq_exp.run_folder import file_names

PACKAGE = Path(__file__).resolve().parent.parent
MODELINE = "yaml-language-server:"
"""Begins the comment by which a file names its JSON schema to an editor."""

_NO_OPTIONS = {"_parents"}
_SENTENCE = re.compile(r"(.+?[.?!])(?=\s|$)")


@dataclass(frozen=True)
class Entry:
    """One thing to choose: an option of a group, or a class.

    Attributes:
        name: What to write.
        description: One line on it.
        path: The file that it stands in.
        text: What an option says.
    """

    name: str
    description: str
    path: Path
    text: str = ""


def config_folders(own: str | None = None) -> list[Path]:
    """Return the shipped config folder and the user's own, if there is one."""
    return [config_folder(), *([Path(own)] if own else [])]


def groups(folders: Sequence[Path]) -> dict[str, list[Entry]]:
    """Return the options of every config group, by its name; both sorted."""
    found: dict[str, dict[str, Entry]] = {}
    for folder in folders:
        for place, path in places(folder, skip=file_names.MANIFEST):
            group, _, name = place.rpartition("/")
            if group and not _NO_OPTIONS & set(group.split("/")):
                text = text_in(path, place)
                found.setdefault(group, {}).setdefault(name, Entry(name, describe_config(text), path, text))
    return {group: [options[name] for name in sorted(options)] for group, options in sorted(found.items())}


def classes(package: str) -> list[Entry]:
    """Return the public classes and functions of a package of this package, by the name that `_target_` takes."""
    init = ast.parse((PACKAGE / package / "__init__.py").read_text(encoding="utf-8"))
    public: list[str] = next(
        (ast.literal_eval(node.value) for node in init.body
         if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)),
        [],
    )  # fmt: skip
    homes = {
        alias.asname or alias.name: _module_path(node.module)
        for node in _imports(init)
        if node.module is not None
        for alias in node.names
    }
    entries = (_class_entry(package, name, homes.get(name), set()) for name in public)
    return [entry for entry in entries if entry is not None]


def describe_config(text: str) -> str:
    """Return the first sentence of the comment that a config file begins with; empty without one."""
    lines: list[str] = []
    for line in text.splitlines():
        words = line.removeprefix("#").strip()
        if not line.startswith("#"):
            break
        if words.startswith(("@package", MODELINE)):
            continue
        if not words and lines:
            break
        if words:
            lines.append(words)
    return first_sentence(" ".join(lines))


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, as one line that cannot steer a terminal."""
    match = _SENTENCE.match(text)
    return one_line(match[1] if match else text)


def fills(options: Sequence[Entry], key: str) -> bool:
    """Whether the files of a group set the key at the top of the config."""
    return any(re.search(rf"^{key}:", option.text, re.MULTILINE) for option in options)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _class_entry(package: str, name: str, path: Path | None, seen: set[Path]) -> Entry | None:
    """Find a name where it is defined, following imports; None for what is neither class nor function."""
    if path is None or path in seen:
        return None
    for node in _parsed(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            doc = ast.get_docstring(node) or ""
            return Entry(f"pamiq_exp.{package}.{name}", first_sentence(" ".join(doc.split("\n\n")[0].split())), path)
    for each in _imports(_parsed(path)):
        if each.module and any(alias.name == name for alias in each.names):
            return _class_entry(package, name, _module_path(each.module), seen | {path})
    return None


def _imports(tree: ast.Module) -> Iterator[ast.ImportFrom]:
    """Yield the imports of a file, with those for type checkers: there are the names that a package loads late."""
    for node in tree.body:
        for each in node.body if isinstance(node, ast.If) else [node]:
            if isinstance(each, ast.ImportFrom):
                yield each


def _module_path(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != "pamiq_exp":
        return None
    base = PACKAGE.joinpath(*parts[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
