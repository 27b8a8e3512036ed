"""YAML with line numbers, and the limits that a config file must keep."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import yaml

from pamiq_exp import files
from pamiq_exp.config.errors import ConfigError, ErrorDetail, Origin
from pamiq_exp.yaml_nodes import BeyondLimitsError, YamlNode, read_yaml_nodes

MOST_BYTES = 1_000_000
MOST_NODES = 20_000
"""Keys, values and items of a file, those that aliases stand for included."""

LONGEST_EXPRESSION = 4000
"""Characters of a text that holds `${...}`."""
MOST_EXPRESSIONS = 100_000
"""Characters of all of them in one file."""
MOST_NESTED = 16
"""`${` in `${`."""

BROKEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a value raises that is not what its tag says, such as `!!int ''`; PyYAML lets these through."""


def line_of(tree: YamlNode | None, is_meant: Callable[[str], bool]) -> int:
    """Return the line of the first text that is meant; 0 if there is none."""
    return next((node.line for node in tree.scalars() if is_meant(node.text)), 0) if tree is not None else 0


def read_text(path: Path) -> str:
    """Return the text of a config file. Raises ConfigError for one that cannot be read or is too large."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _too_much(path, f"is larger than {MOST_BYTES} bytes")
        return files.read_text(path, within=Path(path.anchor)).removeprefix("\ufeff")
    except files.BrokenFileError as error:
        hint = "save it in UTF-8"
        raise ConfigError(ErrorDetail("", f"{path.name} is no text in UTF-8", hint, Origin.of_file(path))) from error
    except OSError as error:
        raise ConfigError(ErrorDetail("", f"{path} cannot be read: {error}")) from error


def read_text_nodes(path: Path, text: str) -> YamlNode | None:
    """Return the tree of a text, which messages call `path`; None for an empty one.

    Raises:
        ConfigError: For a text that is no YAML, or is beyond the limits.
    """
    if len(text) > MOST_BYTES:
        raise _too_much(path, f"is larger than {MOST_BYTES} bytes")
    try:
        tree = read_yaml_nodes(text, MOST_NODES)
    except BeyondLimitsError as error:
        raise _too_much(path, error.what, error.line) from error
    except yaml.YAMLError as error:
        raise invalid(path, error) from error
    if "${" in text and tree is not None:
        _check_expressions(path, tree)
    return tree


def invalid(path: Path, error: yaml.YAMLError) -> ConfigError:
    """Tell what is wrong with a file that is no YAML, and in which line."""
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or str(error).splitlines()[0]
    origin = Origin.of_file(path, 0 if mark is None else mark.line + 1)
    hint = "indent with spaces, not tabs; quote texts that begin with % @ `" if "start any token" in words else ""
    return ConfigError(ErrorDetail("", f"a config file is no valid YAML: {words}", hint or "correct the file", origin))


def _too_much(path: Path, what: str, line: int = 1) -> ConfigError:
    hint = "a config is a few hundred lines; data belongs in files of its own"
    return ConfigError(ErrorDetail("", f"{path.name} {what}", hint, Origin.of_file(path, line)))


def _check_expressions(path: Path, tree: YamlNode) -> None:
    """Refuse what would take minutes to read: the grammar of `${...}` is slow."""
    characters = 0
    for node in tree.scalars():
        if "${" not in node.text:
            continue
        characters += len(node.text)
        if len(node.text) > LONGEST_EXPRESSION or characters > MOST_EXPRESSIONS:
            most = f"{LONGEST_EXPRESSION:,} characters in one text, {MOST_EXPRESSIONS:,} in all"
            raise _too_much(path, f"has longer texts with ${{...}} than are read: {most}", node.line)
        depth = deepest = 0
        for part in re.findall(r"\$\{|\}", node.text):
            depth = depth + 1 if part != "}" else max(0, depth - 1)
            deepest = max(deepest, depth)
        if deepest > MOST_NESTED:
            raise _too_much(path, f"has more than {MOST_NESTED} ${{...}} in one another", node.line)
