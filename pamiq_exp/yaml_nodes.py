"""YAML as a tree with line numbers, within limits: neither depth nor aliases can exhaust anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MOST_VALUES = 100_000
"""Values and keys in a tree, with what YAML aliases stand for."""
MOST_DEPTH = 64
MOST_DIGITS = 400
"""Of a number. Reading a longer one takes time that grows with the square of its length."""

_MERGE_KEY = "<<"
_BYTES = "tag:yaml.org,2002:binary"
_FIRST_DIGITS = "+-.0123456789"
_DIGITS = "+-0123456789_:.abcdefoxABCDEFOX"


class BeyondLimitsError(ValueError):
    """A tree is beyond the limits.

    Attributes:
        what: What is too much, as the end of a sentence.
        line: Where, from 1 on; 0 where it is not known.
    """

    def __init__(self, what: str, line: int) -> None:
        self.what = what
        self.line = line
        super().__init__(f"it {what} (line {line})" if line else f"it {what}")


@dataclass(slots=True)
class YamlNode:
    """A value in YAML text: a scalar, a mapping (keys and values in turn) or a sequence.

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
    children: list[YamlNode] = field(default_factory=list)
    size: int = 1
    depth: int = 1
    aliased: bool = False

    def entries(self) -> Iterator[tuple[YamlNode, YamlNode]]:
        """Yield keys and values of a mapping; those that it merges in (`<<`) first, because its own win."""
        pairs = list(zip(self.children[::2], self.children[1::2], strict=False))
        for key, value in pairs:
            if key.text == _MERGE_KEY:
                for source in value.children if value.kind == "sequence" else [value]:
                    yield from source.entries()
        yield from ((key, value) for key, value in pairs if key.text != _MERGE_KEY)

    def scalars(self) -> Iterator[YamlNode]:
        """Yield all scalars in it, those that aliases stand for included."""
        if self.kind == "scalar":
            yield self
        for child in self.children:
            yield from child.scalars()


def read_yaml_nodes(text: str, most: int = MOST_VALUES) -> YamlNode | None:
    """Return the tree of YAML text with line numbers; None for an empty one.

    It is read as a stream of events, so that neither depth nor aliases can exhaust anything: an alias is a reference
    to a node here, and what it would expand to is only counted.

    Args:
        text: The text.
        most: How many values it may have, aliases expanded.

    Raises:
        BeyondLimitsError: It is beyond the limits.
        yaml.YAMLError: It is no YAML.
    """
    import yaml

    anchors: dict[str | None, YamlNode] = {}
    documents = YamlNode(1, "sequence", size=0, depth=0)
    above: list[tuple[YamlNode, str | None]] = [(documents, None)]
    for event in yaml.parse(text, Loader=yaml_loader()):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
            above.append((YamlNode(line, kind), event.anchor))
            require(len(above) <= MOST_DEPTH + 1, f"nests deeper than {MOST_DEPTH}", line)
            continue
        if isinstance(event, yaml.ScalarEvent):
            node, anchor = YamlNode(line, "scalar", event.value), event.anchor
            require(not is_long_number(event.value), f"holds a number of more than {MOST_DIGITS} digits", line)
            require(event.tag != _BYTES, "holds bytes (!!binary), which might be a place that no check can read", line)
        elif isinstance(event, yaml.AliasEvent):
            require(event.anchor in anchors, f"has an alias to itself, or to nothing: *{event.anchor}", line)
            node, anchor = anchors[event.anchor], None
            node.aliased = True
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor = above.pop()
        else:
            continue
        if anchor is not None:
            anchors[anchor] = node
        holder = above[-1][0]
        holder.children.append(node)
        holder.size += node.size
        holder.depth = max(holder.depth, node.depth + 1)
        require(holder.size <= most, f"has more than {most} values, aliases expanded", line)
        deepest = len(above) - 1 + node.depth
        require(deepest <= MOST_DEPTH, f"nests deeper than {MOST_DEPTH}, aliases expanded", line)
    return documents.children[0] if documents.children else None


def yaml_loader() -> Any:
    """Return the safe reader of YAML, ten times as fast where the C library is there."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def is_long_number(text: str) -> bool:
    """Whether YAML may take a text for a number of more than `MOST_DIGITS` digits."""
    return len(text) > MOST_DIGITS and text[0] in _FIRST_DIGITS and not text.strip(_DIGITS)


def require(holds: bool, what: str, line: int = 0) -> None:
    """Raise BeyondLimitsError unless something holds."""
    if not holds:
        raise BeyondLimitsError(what, line)
