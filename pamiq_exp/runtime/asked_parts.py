"""Parts by name, with a note of which were asked for: by them the dry run finds names that are not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

PartT = TypeVar("PartT")


@dataclass
class Missing:
    """Kinds and names of parts that are not there.

    Attributes:
        looked_for: That somebody asked for or about.
        demanded: In whose place somebody was given another part.
        pretend: Whether that is done, so that all that is missing shows.
        choice: Which other part it is.
    """

    looked_for: list[tuple[str, str]] = field(default_factory=list)
    demanded: list[tuple[str, str]] = field(default_factory=list)
    pretend: bool = False
    choice: dict[tuple[str, str], int] = field(default_factory=dict)


class AskedParts(dict[str, PartT]):
    """Parts by name, with a note of which were asked for."""

    def __init__(self, parts: Mapping[str, PartT], kind: str, missing: Missing) -> None:
        super().__init__(parts)
        self.kind = kind
        self.missing = missing
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> PartT:
        if super().__contains__(name):
            self.names.add(name)
        elif not self.missing.pretend:
            self.missing.looked_for.append((self.kind, name))
        elif len(self):
            self.missing.demanded.append((self.kind, name))
            return list(self.values())[self.missing.choice.get((self.kind, name), 0) % len(self)]
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        there = name in self
        return self[name] if there else default

    def __contains__(self, name: object) -> bool:
        there = super().__contains__(name)
        if isinstance(name, str) and not there:
            self.missing.looked_for.append((self.kind, name))
        return there or (self.missing.pretend and len(self) > 0)

    def items(self) -> Any:
        self.names.update(self)
        return super().items()
