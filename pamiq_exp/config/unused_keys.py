"""Keys in mappings that a config spells out, and that the part they were given to never looks up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType, ref

from pamiq_exp.config.errors import ErrorDetail, nearest
from pamiq_exp.config.tree_paths import NOTHING, child_of, names_in

_ALIAS = re.compile(r"\$\{([^${}:.][^${}:]*)\}")


class UnusedKeys:
    """Watches the mappings that parts are built from.

    A key is read once anything looks it up or goes through the whole mapping. What a part keeps it may read later, so
    only mappings without references are reported: what was not read in them never will be.

    Args:
        tree: The config with its interpolations: what they bring along was not set here, and need not be read.
    """

    def __init__(self, tree: Mapping[str, object]) -> None:
        self._tree = tree
        self._seen: dict[str, _Seen] = {}

    def watched(self, mapping: dict[str, Any], key: str) -> dict[str, Any]:
        """Return a mapping that remembers what is read in it, in the place of the one that stood at `key`."""
        place = _spelled_out(self._tree, key)
        if place is None or not mapping:
            return mapping
        seen = self._seen.setdefault(place, _Seen(set(mapping)))
        watched = _Watched(mapping)
        watched.seen = seen
        seen.mappings.append(ref(watched))
        return watched

    def leave_out(self, key: str) -> None:
        """Forget a part that could not be built to the end."""
        for place in [each for each in self._seen if each == key or each.startswith((f"{key}.", f"{key}["))]:
            del self._seen[place]

    def errors(self) -> Iterator[ErrorDetail]:
        """Yield the keys that nothing can read any more. Call it while all parts are alive."""
        for place, seen in self._seen.items():
            if all(mapping() is None for mapping in seen.mappings):
                for name in sorted(seen.unread, key=str):
                    hint = nearest(str(name), {str(each) for each in seen.absent}, listing="it looks for")
                    yield ErrorDetail(f"{place}.{name}", "nothing reads it", hint or "leave it out")


@dataclass
class _Seen:
    """One mapping: its unread keys, the missing keys that were looked for, and its copies."""

    unread: set[Any]
    absent: set[Any] = field(default_factory=set)
    mappings: list[ReferenceType[_Watched]] = field(default_factory=list)


class _Watched(dict[str, Any]):
    """A mapping that notes which of its keys are looked up."""

    seen: _Seen

    def _note(self, name: Any) -> None:
        self.seen.unread.discard(name)
        if not super().__contains__(name):
            self.seen.absent.add(name)

    def __getitem__(self, name: Any) -> Any:
        self._note(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._note(name)
        return super().__contains__(name)

    def get(self, name: Any, default: Any = None) -> Any:
        self._note(name)
        return super().get(name, default)

    def pop(self, name: Any, *default: Any) -> Any:
        self._note(name)
        return super().pop(name, *default)

    def setdefault(self, name: Any, default: Any = None) -> Any:
        self._note(name)
        return super().setdefault(name, default)

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # a copy is a plain one


def _whole(method: Callable[..., Any]) -> Callable[..., Any]:
    def reads_all(self: _Watched, *arguments: Any) -> Any:
        self.seen.unread.clear()
        return method(self, *arguments)

    return reads_all


for _name in ("__eq__", "__iter__", "__or__", "__reversed__", "__ror__", "copy", "items", "keys", "popitem", "values"):
    setattr(_Watched, _name, _whole(getattr(dict, _name)))


def _spelled_out(tree: Mapping[str, object], key: str) -> str | None:
    """Return where in the config the mapping is written that reached `key`; None if it is not in the config."""
    node: object = tree
    names = names_in(key)
    for index, name in enumerate(names, start=1):
        node = child_of(node, name)
        if node is NOTHING:
            return None
        if isinstance(node, str):
            alias = _ALIAS.fullmatch(node)
            return _spelled_out(tree, ".".join([alias[1], *names[index:]])) if alias else None
    return key if isinstance(node, Mapping) else None
