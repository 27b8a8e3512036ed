"""YAML with line numbers, and the limits that a config file must keep.

A file is read as a stream of events, so that neither depth nor aliases can exhaust anything: an alias is a reference
here, and what it would expand to is only counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pamiq_exp import files
from pamiq_exp.config.errors import ConfigError, ErrorDetail, Origin
from pamiq_exp.files import MOST_DIGITS, is_long_number

MOST_BYTES = 1_000_000
MOST_NODES = 20_000
"""Keys, values and items of a file, those that aliases stand for included."""
MOST_DEPTH = 64

LONGEST_EXPRESSION = 4000
"""Characters of a text that holds `${...}`."""
MOST_EXPRESSIONS = 100_000
"""Characters of all of them in one file."""
MOST_NESTED = 16
"""`${` in `${`."""

MERGE_KEY = "<<"

BROKEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a value raises that is not what its tag says, such as `!!int ''`; PyYAML lets these through."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Node:
    """A value in a YAML file: a scalar, a mapping (keys and values in turn) or a sequence.

    Attributes:
        line: Where it begins, from 1 on.
        kind: `scalar`, `mapping` or `sequence`.
        text: What a scalar says.
        children: Items, or keys and values in turn.
        size, depth: Of the tree below it with aliases expanded, itself included.
        aliased: Whether an alias elsewhere stands for it, too.
    """

    line: int
    kind: str
    text: str = ""
    children: list[Node] = field(default_factory=list)
    size: int = 1
    depth: int = 1
    aliased: bool = False

    def entries(self) -> Iterator[tuple[Node, Node]]:
        """Yield keys and values of a mapping; those that it merges in (`<<`) first, because its own win."""
        pairs = list(zip(self.children[::2], self.children[1::2], strict=False))
        for key, value in pairs:
            if key.text == MERGE_KEY:
                for source in value.children if value.kind == "sequence" else [value]:
                    yield from source.entries()
        yield from ((key, value) for key, value in pairs if key.text != MERGE_KEY)


def line_of(node: Node | None, is_meant: Callable[[str], bool]) -> int:
    """Return the line of the first text that is meant; 0 if there is none."""
    if node is None or node.kind == "scalar":
        return node.line if node is not None and is_meant(node.text) else 0
    return next((line for each in node.children if (line := line_of(each, is_meant))), 0)


def read_nodes(path: Path) -> Node | None:
    """Return the tree of a YAML file; None for an empty one.

    Raises:
        ConfigError: For a file that cannot be read, is no YAML, or is beyond the limits.
    """
    return read_text_nodes(path, read_text(path))


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


def read_text_nodes(path: Path, text: str) -> Node | None:
    """Return the tree of a text, which messages call `path`. Raises ConfigError as `read_nodes`."""
    if len(text) > MOST_BYTES:
        raise _too_much(path, f"is larger than {MOST_BYTES} bytes")
    try:
        return _assemble(path, text)
    except yaml.YAMLError as error:
        raise invalid(path, error) from error


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


def _assemble(path: Path, text: str) -> Node | None:
    assembly = _Assembly(path)
    for event in yaml.parse(text, Loader=_Loader):
        assembly.take(event)
    return assembly.root


class _Assembly:
    """Puts events together to a tree, and refuses what grows beyond the limits."""

    def __init__(self, path: Path) -> None:
        self.root: Node | None = None
        self._path = path
        self._anchors: dict[str, Node] = {}
        self._open: list[tuple[Node, str | None]] = []
        self._expressions = 0

    def take(self, event: yaml.Event) -> None:
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
            self._open.append((Node(line, kind), event.anchor))
            if len(self._open) > MOST_DEPTH:
                raise _too_much(self._path, f"nests deeper than {MOST_DEPTH}", line)
        elif isinstance(event, yaml.ScalarEvent):
            if is_long_number(event.value):
                raise _too_much(self._path, f"holds a number of more than {MOST_DIGITS} digits", line)
            if "${" in event.value:
                self._count_expression(event.value, line)
            self._close(Node(line, "scalar", event.value), event.anchor, line)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _too_much(self._path, f"has an alias to itself, or to nothing: *{event.anchor}", line)
            self._anchors[event.anchor].aliased = True
            self._close(self._anchors[event.anchor], None, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(*self._open.pop(), line)

    def _count_expression(self, text: str, line: int) -> None:
        """Refuse what would take minutes to read: the grammar of `${...}` is slow."""
        self._expressions += len(text)
        if len(text) > LONGEST_EXPRESSION or self._expressions > MOST_EXPRESSIONS:
            most = f"{LONGEST_EXPRESSION:,} characters in one text, {MOST_EXPRESSIONS:,} in all"
            raise _too_much(self._path, f"has longer texts with ${{...}} than are read: {most}", line)
        depth = deepest = 0
        for part in re.findall(r"\$\{|\}", text):
            depth = depth + 1 if part != "}" else max(0, depth - 1)
            deepest = max(deepest, depth)
        if deepest > MOST_NESTED:
            raise _too_much(self._path, f"has more than {MOST_NESTED} ${{...}} in one another", line)

    def _close(self, node: Node, anchor: str | None, line: int) -> None:
        """Take in a node that is complete."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.root = self.root or node
            return
        parent = self._open[-1][0]
        parent.children.append(node)
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > MOST_NODES:
            raise _too_much(self._path, f"has more than {MOST_NODES} values, aliases expanded", line)
        if len(self._open) + node.depth > MOST_DEPTH:
            raise _too_much(self._path, f"nests deeper than {MOST_DEPTH}, aliases expanded", line)
