"""Parts by name that note which of them were requested, for the dry run: it reports names that do not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

PartT = TypeVar("PartT")


@dataclass
class Missing:
    """Kinds and names of parts that do not exist.

    Attributes:
        requested: Requested, or looked up.
        replaced: For which another part was given.
        replace: Whether another part is given, so that all missing names are found.
        choice: Which other part it is.
    """

    requested: list[tuple[str, str]] = field(default_factory=list)
    replaced: list[tuple[str, str]] = field(default_factory=list)
    replace: bool = False
    choice: dict[tuple[str, str], int] = field(default_factory=dict)


class RequestedParts(dict[str, PartT]):
    """Parts by name, with a note of which were requested."""

    def __init__(self, parts: Mapping[str, PartT], kind: str, missing: Missing) -> None:
        super().__init__(parts)
        self.kind = kind
        self.missing = missing
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> PartT:
        if super().__contains__(name):
            self.names.add(name)
        elif not self.missing.replace:
            self.missing.requested.append((self.kind, name))
        elif len(self):
            self.missing.replaced.append((self.kind, name))
            return list(self.values())[self.missing.choice.get((self.kind, name), 0) % len(self)]
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        there = name in self
        return self[name] if there else default

    def __contains__(self, name: object) -> bool:
        there = super().__contains__(name)
        if isinstance(name, str) and not there:
            self.missing.requested.append((self.kind, name))
        return there or (self.missing.replace and len(self) > 0)

    def items(self) -> Any:
        self.names.update(self)
        return super().items()
