"""Replicas: one config node that stands for several, each with its index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from pamiq_exp.config.checks.interpolations import value_at
from pamiq_exp.config.errors import ConfigError, ErrorDetail, nearest
from pamiq_exp.config.provenance import Provenance

REPLICATE, VALUE = "_replicate_", "_value_"
SETTINGS = ("count", "names", "index")
MOST = 1000
"""The most copies of one node."""
MOST_KEYS = 100_000
"""Nor replicas of replicas that come to more keys than this: they would fill the memory before anyone looked."""


def expand_replicas(tree: dict[str, Any], origins: Provenance | None = None) -> dict[str, Any]:
    """Put the several nodes in the place of each node with a key `_replicate_`.

        models:
          level:
            _replicate_: 3                    # level_0, level_1, level_2
            _target_: my_package.Level
            width: ${multiply:64,${index}}    # 0, 64, 128

    `${index}` stands for the number of the copy, from 0 on, wherever it is written in the node. The value is the
    number of copies, or `{count: 3, names: "stage_${index}", index: index}`: what the copies are called, or a list
    of their names (which says how many there are), and the name of the index, for replicas in replicas. In a list
    the copies follow each other, and `{_replicate_: 3, _value_: "level_${index}"}` gives plain values.

    All of them are in the config afterwards as if they had been written out: each has an address, a seed and a
    line in `config.yaml` of its own.

    Args:
        tree: A config as plain data, interpolations as they stand.
        origins: What set its keys; what set those of the copies is noted in it.

    Returns:
        The tree with all of them; the same tree if there are none.

    Raises:
        ConfigError: For a number of copies that is none, and names that are none, or that are taken.
    """
    if not has_replicas(tree):
        return tree
    expansion = _Expansion(tree, origins)
    return {key: expansion.expand(node, key) if has_replicas(node) else node for key, node in tree.items()}


@dataclass(frozen=True)
class _Replicas:
    """What `_replicate_` asks for."""

    names: tuple[str, ...]
    index: str

    def __len__(self) -> int:
        return len(self.names)


class _Expansion:
    """Expands one tree.

    Args:
        tree: The whole config, in which numbers of copies may be looked up.
        origins: What set its keys.
    """

    def __init__(self, tree: dict[str, Any], origins: Provenance | None) -> None:
        self._tree = tree
        self._origins = origins
        self._keys = 0

    def expand(self, node: Any, key: str) -> Any:
        """Return the tree with all replicas written out, the innermost first."""
        if isinstance(node, Mapping):
            return self._expand_mapping(node, key)
        if isinstance(node, list):
            expanded: list[Any] = []
            for position, item in enumerate(node):
                expanded += self._expand_item(item, f"{key}[{position}]")
            if self._origins is not None and any(map(_is_replicated, node)):
                self._origins.copy_to(key, [key])  # places have moved: all are as the least trusted of them
                self._origins.forget_below(key)
            return expanded
        return node

    def _expand_mapping(self, node: Mapping[Any, Any], key: str) -> dict[Any, Any]:
        expanded: dict[Any, Any] = {}
        for name, value in node.items():
            address = f"{key}.{name}"
            whole = self.expand(value, address)
            if not _is_replicated(whole):
                expanded[name] = whole
                continue
            replicas = self._read(whole[REPLICATE], str(name), address)
            _check_free(replicas.names, expanded.keys() | (node.keys() - {name}), address)
            self._count_keys(whole, len(replicas), address)
            for number, copy_name in enumerate(replicas.names):
                expanded[copy_name] = _copy(whole, replicas.index, number)
            if self._origins is not None:
                self._origins.copy_to(address, [f"{key}.{copy_name}" for copy_name in replicas.names])
        return expanded

    def _expand_item(self, item: Any, key: str) -> list[Any]:
        whole = self.expand(item, key)
        if not _is_replicated(whole):
            return [whole]
        replicas = self._read(whole[REPLICATE], "item", key)
        self._count_keys(whole, len(replicas), key)
        return [_copy(whole, replicas.index, number) for number in range(len(replicas))]

    def _read(self, wanted: Any, name: str, key: str) -> _Replicas:
        settings = dict(wanted) if isinstance(wanted, Mapping) else {"count": wanted}
        address = f"{key}.{REPLICATE}"
        for unknown in settings.keys() - set(SETTINGS):
            hint = nearest(str(unknown), SETTINGS, listing="there are")
            raise ConfigError(ErrorDetail(f"{address}.{unknown}", "there is no such key", hint))
        index = settings.get("index", "index")
        names = settings.get("names", f"{name}_${{{index}}}")
        if isinstance(names, list):
            settings.setdefault("count", len(names))
        count = self._count(settings.get("count"), address, isinstance(wanted, Mapping))
        each = tuple(names) if isinstance(names, list) else tuple(_written(names, index, n) for n in range(count))
        _check_names(each, count, address)
        return _Replicas(tuple(map(str, each)), str(index))

    def _count_keys(self, node: Any, copies: int, address: str) -> None:
        self._keys += copies * _size(node)
        if self._keys > MOST_KEYS:
            message = f"replicas in replicas come to more than {MOST_KEYS:,} keys"
            raise ConfigError(ErrorDetail(f"{address}.{REPLICATE}", message, "ask for fewer copies"))

    def _count(self, count: Any, address: str, in_mapping: bool) -> int:
        if isinstance(count, str):
            count = value_at(self._tree, f"{address}.count" if in_mapping else address)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST:
            message = f"expected a number of copies from 0 to {MOST}, not {count!r}"
            raise ConfigError(ErrorDetail(address, message, "write _replicate_: 3, or {count: 3, names: ...}"))
        return count


def _check_names(names: tuple[Any, ...], count: int, address: str) -> None:
    if len(names) != count:
        raise ConfigError(ErrorDetail(address, f"{count} copies, but {len(names)} names", "leave count out"))
    wrong = [name for name in names if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name))]
    if wrong:
        message = f"{wrong[0]!r} is no name for a key"
        raise ConfigError(ErrorDetail(address, message, "use letters, digits and underscores, and no digit first"))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(ErrorDetail(address, f"several copies would be called {twice[0]}", "put ${index} into names"))


def _check_free(names: Iterable[str], taken: Set[Any], address: str) -> None:
    for name in names:
        if name in taken:
            message = f"a copy would be called {name}, but there is such a key already"
            raise ConfigError(
                ErrorDetail(address, message, 'give them other names: _replicate_: {names: "NAME_${index}"}')
            )


def has_replicas(node: Any) -> bool:
    """Whether a tree holds a node that stands for several."""
    if isinstance(node, Mapping):
        return REPLICATE in node or any(has_replicas(value) for value in node.values())
    return isinstance(node, list) and any(has_replicas(item) for item in node)


def _size(node: Any) -> int:
    """Number of keys of a tree; a long text counts as many."""
    if isinstance(node, str):
        return 1 + len(node) // 100
    children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return 1 + sum(map(_size, children))


def _is_replicated(node: Any) -> bool:
    return isinstance(node, Mapping) and REPLICATE in node


def _copy(node: Mapping[Any, Any], index: str, number: int) -> Any:
    """One copy of a replicated node: its `_value_`, or everything else in it."""
    rest = {name: value for name, value in node.items() if name != REPLICATE}
    return _written(rest[VALUE] if set(rest) == {VALUE} else rest, index, number)


def _written(node: Any, index: str, number: int) -> Any:
    """The tree with `${index}` written out. A text that is nothing else becomes the number itself."""
    if isinstance(node, Mapping):
        return {_written(name, index, number): _written(value, index, number) for name, value in node.items()}
    if isinstance(node, list):
        return [_written(item, index, number) for item in node]
    if not isinstance(node, str):
        return node
    variable = f"${{{index}}}"
    return number if node == variable else node.replace(variable, str(number))
