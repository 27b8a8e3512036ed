"""Values of a config while what stands in `${...}` is worked out, with who had a say in each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pamiq_exp.config.errors import Origin, least
from pamiq_exp.config.tree_paths import join, parent

UNKNOWN = "\0"
"""Stands for what is not known yet in a text that is put together; YAML has no such character."""

NOTHING = object()
"""Stands for what is not there."""


@dataclass(slots=True)
class ValueNode:
    """A value that is filled in.

    Attributes:
        value: A leaf, or the nodes below it.
        origin: The least trusted that had a say in it.
        floor: The least trusted that had a say in its standing here: nothing below it is trusted more.
        waits: Whether it waits for the environment.
        values, characters: How many there are in it.
    """

    value: Any
    origin: Origin | None = None
    floor: Origin | None = None
    waits: bool = False
    values: int = 1
    characters: int = 0

    @property
    def is_container(self) -> bool:
        """Whether there are nodes below it."""
        return not self.waits and isinstance(self.value, (dict, list))

    def __str__(self) -> str:
        raise ValueError("a text cannot take up keys and values or a list")


def child_of(node: Any, name: str) -> Any:
    """Return what lies at a key, or an index, of plain data or nodes; NOTHING if there is none."""
    if isinstance(node, Mapping):
        found: Any = node.get(name, NOTHING)
        return node.get(int(name), NOTHING) if found is NOTHING and name.isdecimal() else found
    if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
        return node[int(name)]
    return NOTHING


def written_at(tree: Any, key: str) -> Any:
    """Return what is written at an address; None where references lead on."""
    node = tree
    for name in re.findall(r"[^.\[\]]+", key):
        node = child_of(node, name)
        if node is NOTHING:
            return None
    return node


def node_below(node: ValueNode, names: list[str], at: str) -> ValueNode:
    """Return the node below a node. Raises KeyError with the first key that is not there."""
    for name in names:
        if node.waits:
            return node
        found: Any = child_of(node.value, name) if isinstance(node.value, (dict, list)) else NOTHING
        at = join(at, name)
        if found is NOTHING:
            raise KeyError(at)
        floor = least_of(node.floor, found.floor)
        node = ValueNode(
            found.value, least_of(node.floor, found.origin), floor, found.waits, found.values, found.characters
        )
    return node


def least_of(one: Origin | None, other: Origin | None) -> Origin | None:
    """Return the less trusted of two, as far as they are known."""
    return one if other is None else other if one is None else least(one, other)


def least_below(node: ValueNode) -> Origin | None:
    """Return the least trusted that had a say in a node or in anything below it."""
    found = least_of(node.floor, node.origin)
    if node.is_container:
        for each in node.value.values() if isinstance(node.value, dict) else node.value:
            found = least_of(found, least_below(each))
    return found


def plain_value(node: ValueNode) -> Any:
    """Return a node as plain data; UNKNOWN for what waits."""
    if node.waits:
        return UNKNOWN
    if isinstance(node.value, dict):
        return {name: plain_value(item) for name, item in node.value.items()}
    return [plain_value(item) for item in node.value] if isinstance(node.value, list) else node.value


def holds_waiting(value: object) -> bool:
    """Whether anything in plain data waits for the environment."""
    if isinstance(value, Mapping):
        return any(map(holds_waiting, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(holds_waiting, value))
    return isinstance(value, str) and UNKNOWN in value


def characters_of(value: object) -> int:
    """Return how many characters a leaf counts for."""
    if isinstance(value, str):
        return len(value)
    return value.bit_length() // 3 + 1 if isinstance(value, int) else 8


def absolute_address(name: str, key: str) -> str:
    """Return the address that `${name}` at `key` means."""
    if not name.startswith("."):
        return name
    above = key
    while name.startswith("."):
        above, name = parent(above), name[1:]
    return f"{above}.{name}" if above and name else name or above
