"""Addresses in a config tree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any


def join(key: str, name: object) -> str:
    """Return the address of the part `name` of the node at `key`: `models.encoder`, `parts[0]`."""
    if isinstance(name, int):
        return f"{key}[{name}]"
    return f"{key}.{name}" if key else str(name)


def parent(key: str) -> str:
    """Return the address of the node that holds `key`; empty at the top."""
    return re.sub(r"(\.[^.\[\]]*|\[[^\[\]]*\]|^[^.\[\]]*)$", "", key)


def leaves(node: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yield `(address, value)` for every value of a plain tree that holds no others; empty ones count."""
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from leaves(value, join(key, str(name)))
    elif isinstance(node, (list, tuple)) and node:
        for index, value in enumerate(node):
            yield from leaves(value, join(key, index))
    else:
        yield key, node


NOTHING = object()
"""Stands for what is not there."""


def names_in(key: str) -> list[str]:
    """Return the names and numbers that an address consists of."""
    return re.findall(r"[^.\[\]]+", key)


def child_of(node: object, name: str) -> Any:
    """Return what lies at a key, or an index, of plain data; NOTHING if there is none."""
    if isinstance(node, Mapping):
        found = node.get(name, NOTHING)
        return node.get(int(name), NOTHING) if found is NOTHING and name.isdecimal() else found
    if isinstance(node, (list, tuple)) and name.isdecimal() and int(name) < len(node):
        return node[int(name)]
    return NOTHING


def select(tree: object, key: str) -> Any:
    """Return what stands at an address of a plain tree. Raises KeyError if nothing does."""
    node = tree
    for name in names_in(key):
        node = child_of(node, name)
        if node is NOTHING:
            raise KeyError(key)
    return node


def mappings(node: object, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield `(address, node)` for every mapping in a plain tree, parents first."""
    if isinstance(node, Mapping):
        yield key, node
        for name, value in node.items():
            yield from mappings(value, join(key, str(name)))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from mappings(value, join(key, index))


def target_nodes(node: object, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield `(address, node)` for every node with a `_target_` in a plain tree, parents first."""
    return ((address, each) for address, each in mappings(node, key) if "_target_" in each)


def parts_of(tree: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the nodes of a group's parts by name, without those that are left out."""
    return {name: node for name, node in (tree.get(group) or {}).items() if node is not None}
